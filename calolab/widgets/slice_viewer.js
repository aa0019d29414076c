// SliceViewer: slices of reference and generated showers side by side, in one colour scale.

import { axes, clipped, line, number, steps, surface } from "./drawing.js";
import { axisLabel, cellAt, colourScale, cut, drawCells, drawColourBar, planeSums, planeValues, projection, unpack } from "./showers.js";
import { assign, choice, element, frame, onKeys, slider, watch } from "./controls.js";

const TRAITS = ["axis", "position", "event", "log", "total"];

async function render({ model, el }) {
  const { space, samples, note } = model.get("about");
  const numbers = await unpack(model.get("showers"));
  const nEvents = samples[0].visible.length;
  const size = space.starts.at(-1);
  const values = (sample, event) => numbers.subarray((sample * nEvents + event) * size, (sample * nEvents + event + 1) * size);
  const axisNames = space.hasDepth && space.regular ? space.axes : space.axes.slice(-1);

  let hovered = null;
  // What the traits choose, computed once per change and drawn by several canvases.
  let scene = null;
  function compose() {
    const event = model.get("event");
    const total = model.get("total");
    const cuts = cut(space, model.get("axis"));
    const position = Math.min(model.get("position"), cuts.planes.length - 1);
    const plane = total ? cuts.planes[0] : cuts.planes[position];
    const events = samples.map((_, sample) => values(sample, event));
    const cells = events.map((shower) => (total ? projection(shower, cuts.planes) : planeValues(shower, plane)));
    // The scale holds still while the slider moves: the largest cell of the whole event, not of the slice.
    const largest = Math.max(...(total ? cells : events).map((array) => array.reduce((a, b) => Math.max(a, b), 0)));
    scene = { event, total, cuts, position, plane, cells, colours: colourScale(largest, model.get("log")), sums: events.map((shower) => planeSums(shower, cuts.planes)) };
  }

  const panels = samples.map((sample, which) => {
    const canvas = surface(`${sample.name} shower`, "calolab-panel", (pen, width, height, look) => {
      panel.scales = drawCells(pen, width, height, scene.plane, scene.cells[which], scene.colours, space, look, hovered);
    });
    canvas.node.tabIndex = 0;
    canvas.node.addEventListener("pointermove", ({ offsetX, offsetY }) => hover(cellAt(scene.plane, panel.scales, offsetX, offsetY)));
    canvas.node.addEventListener("pointerleave", () => hover(null));
    const title = element("div", { class: "calolab-title" });
    const panel = { canvas, title, node: element("figure", {}, title, canvas.node) };
    return panel;
  });
  const bar = surface("colour scale", "calolab-bar", (pen, width, height, look) => {
    const what = scene.total ? `${space.quantity}, summed along ${scene.cuts.axis}` : `${space.quantity} per cell`;
    drawColourBar(pen, width, height, scene.colours, `${what} [${space.unit}]`, look);
  });
  const profile = surface("energy in each slice", "calolab-strip", drawProfile);
  const readout = element("output", { class: "calolab-readout", "aria-live": "polite" });

  const move = (change) => assign(model, { position: clamp(scene.position + change, scene.cuts.planes.length), total: false });
  const turn = (change) => assign(model, { event: clamp(scene.event + change, nEvents) });
  const lay = (axis) => {
    if (axis === model.get("axis")) return;
    const sums = planeSums(values(0, scene.event), cut(space, axis).planes);
    assign(model, { axis, position: sums.indexOf(Math.max(...sums)) });
  };
  const swap = (name) => () => assign(model, { [name]: !model.get(name) });

  const eventSlider = slider({ label: "event", title: "event (keys: up and down)", describe: (event) => `${event} of ${nEvents}`, onmove: (event) => assign(model, { event }) });
  const slicer = slider({
    label: "slice", title: "slice (keys: left and right)", onmove: (position) => assign(model, { position, total: false }),
    describe: (position) => `${scene.cuts.axis} ${position}: ${span(scene.cuts.borders, position)} ${space.units[space.axes.indexOf(scene.cuts.axis)]}`,
  });
  const axisChoice = choice({ label: "along", options: axisNames.map((name) => [name, name]), onpick: lay });
  const colourChoice = choice({ label: "colour", options: [["log", "log"], ["linear", "linear"]], onpick: (kind) => assign(model, { log: kind === "log" }) });
  const showChoice = choice({ label: "show", options: [["slice", "slice"], ["sum", "sum"]], onpick: (kind) => assign(model, { total: kind === "sum" }) });

  const deep = space.hasDepth;
  const root = frame(
    el, "Slice viewer",
    element("div", { class: "calolab-bar-of-controls" }, eventSlider.node, ...(deep && axisNames.length > 1 ? [axisChoice.node, showChoice.node] : []), colourChoice.node),
    element("div", { class: "calolab-panels" }, ...panels.map((panel) => panel.node)),
    bar.node,
    readout,
    ...(deep ? [element("div", { class: "calolab-bar-of-controls" }, slicer.node), profile.node] : []),
    element("div", { class: "calolab-note" }, `${note ? `${note} ` : ""}Keys: ← → slice, ↑ ↓ event, ${axisNames.length > 1 ? `${axisNames.join(" ")} axis, s sum, ` : ""}l colour.`),
  );
  const keys = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => turn(1), ArrowDown: () => turn(-1), l: swap("log") };
  if (axisNames.length > 1) {
    keys.s = swap("total");
    for (const name of axisNames) keys[name] = () => lay(name);
  }
  onKeys(root, keys);

  function hover(cell) {
    if (String(cell) === String(hovered)) return;
    hovered = cell;
    panels.forEach((panel) => panel.canvas.redraw());
    readout.textContent = cell ? describe(cell) : "";
  }

  function describe([column, row]) {
    const { plane, cuts, position, total, cells } = scene;
    const index = { [plane.columnAxis]: column, [plane.rowAxis]: row, ...(deep && !total ? { [cuts.axis]: position } : {}) };
    const where = { [plane.columnAxis]: plane.columns, [plane.rowAxis]: plane.rows, ...(deep && !total ? { [cuts.axis]: cuts.borders } : {}) };
    const named = space.axes.filter((axis) => axis in index);
    const middles = named.map((axis) => {
      const unit = space.units[space.axes.indexOf(axis)];
      return `${axis} ${number((where[axis][index[axis]] + where[axis][index[axis] + 1]) / 2)}${unit ? ` ${unit}` : ""}`;
    });
    const nRows = plane.rows.length - 1;
    const energies = samples.map((sample, which) => `${sample.name} ${number(cells[which][column * nRows + row], 4)} ${space.unit}`);
    return `cell (${named.map((axis) => index[axis]).join(", ")}) · ${middles.join(", ")} · ${energies.join(" · ")}`;
  }

  function drawProfile(pen, width, height, look) {
    const { cuts, position, sums, total } = scene;
    const box = { left: 52, top: 6, right: width - 12, bottom: height - 42 };
    const high = Math.max(...sums.flat()) * 1.08 || 1;
    const unit = { low: cuts.borders[0], high: cuts.borders.at(-1), label: axisLabel(space, cuts.axis) };
    const scales = axes(pen, box, unit, { low: 0, high, label: `slice [${space.unit}]` }, look);
    profile.pick = (pixel) => clamp(cuts.borders.findIndex((edge) => pixel < scales.x(edge)) - 1, cuts.planes.length);
    clipped(pen, box, () => {
      if (!total) {
        pen.fillStyle = look.grid;
        pen.fillRect(scales.x(cuts.borders[position]), box.top, scales.x(cuts.borders[position + 1]) - scales.x(cuts.borders[position]), box.bottom - box.top);
      }
      [look.reference, look.generated].slice(0, samples.length).forEach((colour, which) => {
        pen.strokeStyle = colour;
        pen.lineWidth = 2;
        steps(pen, cuts.borders, sums[which], scales);
        pen.stroke();
      });
    });
  }
  const drag = (event) => event.buttons && assign(model, { position: profile.pick(event.offsetX), total: false });
  profile.node.addEventListener("pointerdown", drag);
  profile.node.addEventListener("pointermove", drag);

  function show() {
    compose();
    eventSlider.show(scene.event, 0, nEvents - 1);
    slicer.show(scene.position, 0, scene.cuts.planes.length - 1);
    axisChoice.show(model.get("axis"));
    colourChoice.show(model.get("log") ? "log" : "linear");
    showChoice.show(scene.total ? "sum" : "slice");
    panels.forEach(({ title, canvas }, which) => {
      const { name, labels, visible } = samples[which];
      const facts = labels.map(({ symbol, values: column, unit }) => `${symbol} ${number(column[scene.event])} ${unit}`);
      title.replaceChildren(
        element("b", { class: which ? "calolab-generated" : "calolab-reference" }, name),
        ` ${facts.join(", ")}, visible ${number(visible[scene.event])} ${space.unit}`,
      );
      canvas.redraw();
    });
    bar.redraw();
    profile.redraw();
    if (hovered) readout.textContent = describe(hovered);
  }
  const unwatch = watch(model, TRAITS, show);
  show();
  return () => {
    unwatch();
    [...panels.map((panel) => panel.canvas), bar, profile].forEach((canvas) => canvas.remove());
  };
}

const clamp = (index, length) => Math.min(Math.max(index, 0), length - 1);
const span = (borders, k) => `${number(borders[k])} to ${number(borders[k + 1])}`;

export default { render };
