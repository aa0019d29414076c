// Slices side by side: panels of cells in one colour scale, with their controls, keys, hover and the energy in each slice.
// The traits axis, position, log and total belong to it; slicing.py is the Python side.

import { axes, clipped, number, steps, surface } from "../shared/drawing.js";
import { amount, colourScale, drawColourBar, scaleTop, sharedTop } from "../shared/colours.js";
import { axisLabel, axisSymbol, cellAt, cut, drawCells, planeSums, planeValues, projection } from "../shared/cells.js";
import { markBeyond } from "../shared/ratios.js";
import { assign, choice, element, slider, watch } from "../shared/controls.js";

const TRAITS = ["axis", "position", "log", "total"];
const clamp = (index, length) => Math.min(Math.max(index, 0), length - 1);

/** Build the panels. `sides` are {name, role}: what a panel is called, and whether it is the "reference" or "generated".
 * `showers()` returns one array of an event's values per side, or null for a panel with nothing to show; `largest(showers)`
 * the value at the end of the colours; `behind` draws under the lines of the strip of slice energies. The quantity is
 * `signed` where it can be negative.
 *
 * Returns {controls, body, keys, show, remove}: nodes to place and the keys for `frame`; `show(facts)` repaints after
 * `showers` changed and writes a line of facts under each name.
 */
export function slicing({ model, space, sides, showers, signed = false, largest = sharedTop, behind = () => {} }) {
  const turns = space.hasDepth && space.regular;
  const symbol = (axis) => axisSymbol(space, axis);
  let scene = null;
  let hovered = null;

  function compose() {
    const cuts = cut(space, model.get("axis"));
    const total = model.get("total") && cuts.summable;
    const position = clamp(model.get("position"), cuts.planes.length);
    const plane = cuts.planes[total ? 0 : position];
    const events = showers();
    const cells = events.map(
      (values) => values && (total ? projection(values, cuts.planes) : planeValues(values, plane)),
    );
    // The scale holds still while the slider moves: it belongs to the whole event, not to the slice.
    const colours = colourScale((total ? sharedTop : largest)(total ? cells : events, signed), model.get("log"), { signed });
    scene = {
      cuts,
      total,
      position,
      plane,
      cells,
      colours,
      sums: events.map((values) => values && planeSums(values, cuts.planes)),
    };
  }

  const lines = sides.map(() => element("span", {}));
  const scales = [];
  const panels = sides.map(({ name }, which) => {
    const panel = surface(`${name}: cells of the slice`, "calolab-panel", (pen, width, height, look) => {
      const cells = scene.cells[which] ?? [];
      scales[which] = drawCells(pen, width, height, scene.plane, cells, scene.colours, space, look, hovered);
    });
    panel.node.addEventListener("pointermove", (event) => {
      if (scales[which]) hover(cellAt(scene.plane, scales[which], event.offsetX, event.offsetY));
    });
    panel.node.addEventListener("pointerleave", () => hover(null));
    return panel;
  });
  const bar = surface("colour scale", "calolab-bar", (pen, width, height, look) => {
    const what = scene.total
      ? `${space.quantity}, summed along ${symbol(scene.cuts.axis)}`
      : `${space.quantity} per cell`;
    const { high, low } = scene.colours;
    const some = (test) => scene.cells.some((cells) => cells?.some(test));
    const ends = { over: some((value) => value > high * (1 + 1e-6)), under: some((value) => value < Math.min(low, 0)) };
    drawColourBar(pen, width, height, scene.colours, what, space.unit, look, ends);
  });
  const readout = element("output", { class: "calolab-readout" });
  const strip = surface("energy in each slice", "calolab-strip", drawStrip);

  function hover(cell) {
    if (String(cell) === String(hovered)) return;
    hovered = cell;
    panels.forEach((panel) => panel.redraw());
    tell();
  }

  /** What is under the pointer: cell indices, place of the cell's middle, and what each shower has there. */
  function tell() {
    const { plane, cuts, position, total, cells } = scene;
    const nRows = plane.rows.length - 1;
    if (!hovered || hovered[0] >= plane.columns.length - 1 || hovered[1] >= nRows) {
      readout.textContent = "";
      return;
    }
    const [column, row] = hovered;
    const index = { [plane.columnAxis]: column, [plane.rowAxis]: row };
    const edges = { [plane.columnAxis]: plane.columns, [plane.rowAxis]: plane.rows };
    if (cuts.axis && !total)
      Object.assign(index, { [cuts.axis]: position }) && Object.assign(edges, { [cuts.axis]: cuts.borders });
    const at = space.axes.filter((axis) => axis in index);
    const places = at.map((axis) => {
      const middle = (edges[axis][index[axis]] + edges[axis][index[axis] + 1]) / 2;
      return `${symbol(axis)} ${amount(middle, space.units[space.axes.indexOf(axis)])}`;
    });
    const found = sides.map(
      ({ name }, which) => cells[which] && `${name} ${amount(cells[which][column * nRows + row], space.unit, 4)}`,
    );
    readout.textContent = `cell (${at.map((axis) => index[axis]).join(", ")}) · ${places.join(", ")} · ${found.filter(Boolean).join(" · ")}`;
  }

  function drawStrip(pen, width, height, look) {
    const { cuts, position, sums, total } = scene;
    const box = { left: 56, top: 6, right: width - 12, bottom: height - 40 };
    const highest = (values) => values.reduce((most, value) => Math.max(most, value), 0);
    const [first, ...others] = sums.map((one) => highest(one ?? []));
    const high = 1.08 * scaleTop(first, Math.max(...others, behind.highest?.(cuts) ?? 0));
    const depth = { low: cuts.borders[0], high: cuts.borders.at(-1), ...axisLabel(space, cuts.axis) };
    const at = axes(pen, box, depth, { low: 0, high, label: "per slice", unit: space.unit }, look);
    strip.pick = (pixel) => clamp(cuts.borders.findIndex((edge) => pixel < at.x(edge)) - 1, cuts.planes.length);
    clipped(pen, box, () => {
      if (!total) {
        const [left, right] = [at.x(cuts.borders[position]), at.x(cuts.borders[position + 1])];
        pen.fillStyle = look.grid;
        pen.fillRect(left, box.top, right - left, box.bottom - box.top);
      }
      behind(pen, cuts, at, look);
      const middles = cuts.planes.map((_, k) => (at.x(cuts.borders[k]) + at.x(cuts.borders[k + 1])) / 2);
      sides.forEach(({ name, role }, which) => {
        if (!sums[which]) return;
        pen.strokeStyle = look[role];
        pen.lineWidth = 2;
        steps(pen, cuts.borders, sums[which], at);
        markBeyond(pen, box, middles, sums[which], high, name, look[role], look, { unit: space.unit });
      });
    });
  }
  const drag = (event) => {
    if (event.buttons & 1) assign(model, { position: event.offsetX > 0 ? strip.pick(event.offsetX) : 0, total: false });
  };
  strip.node.addEventListener("pointerdown", drag);
  strip.node.addEventListener("pointermove", drag);

  const move = (change) => () =>
    assign(model, { position: clamp(scene.position + change, scene.cuts.planes.length), total: false });
  const lay = (axis) => {
    if (axis === model.get("axis")) return;
    const sums = planeSums(showers().find(Boolean), cut(space, axis).planes);
    assign(model, { axis, position: sums.indexOf(Math.max(...sums)) });
  };
  const slicer = slider({
    label: "slice",
    title: "slice (keys: left and right)",
    onmove: (position) => assign(model, { position, total: false }),
    describe: (position) => {
      const { axis, borders } = scene.cuts;
      const place = `${number(borders[position])} to ${amount(borders[position + 1], space.units[space.axes.indexOf(axis)])}`;
      return scene.total ? `all along ${symbol(axis)}` : `${symbol(axis)} = ${position}: ${place}`;
    },
  });
  const along = choice({ label: "along", options: space.axes.map((name) => [name, symbol(name)]), onpick: lay });
  const what = choice({
    label: "show",
    options: [
      [false, "slice"],
      [true, "sum"],
    ],
    onpick: (total) => assign(model, { total }),
  });
  const colour = choice({
    label: "colours",
    options: [
      [true, "log"],
      [false, "linear"],
    ],
    onpick: (log) => assign(model, { log }),
  });

  function show() {
    compose();
    if (space.hasDepth) slicer.show(scene.position, 0, scene.cuts.planes.length - 1);
    along.show(model.get("axis"));
    what.show(scene.total);
    colour.show(model.get("log"));
    [...panels, bar, strip].forEach((canvas) => canvas.redraw());
    tell();
  }
  const unwatch = watch(model, TRAITS, show);

  const slices = { ArrowLeft: move(-1), ArrowRight: move(1), Home: move(-Infinity), End: move(Infinity) };
  const keys = {
    ...(space.hasDepth && { slice: slices }),
    ...(turns && {
      axis: Object.fromEntries(space.axes.map((axis) => [axis, () => lay(axis)])),
      sum: { s: () => assign(model, { total: !scene.total }) },
    }),
    colours: { l: () => assign(model, { log: !model.get("log") }) },
  };
  const figures = panels.map((panel, which) => {
    const name = element("b", { class: `calolab-${sides[which].role}` }, sides[which].name);
    return element("figure", {}, element("figcaption", { class: "calolab-title" }, name, lines[which]), panel.node);
  });
  const row = element("div", { class: "calolab-controls" }, slicer.node);
  return {
    controls: turns ? [along.node, what.node, colour.node] : [colour.node],
    body: [
      element("div", { class: "calolab-panels" }, ...figures),
      bar.node,
      readout,
      ...(space.hasDepth ? [row, strip.node] : []),
    ],
    keys,
    show(facts) {
      facts.forEach((text, which) => (lines[which].textContent = text));
      show();
    },
    remove() {
      unwatch();
      [...panels, bar, strip].forEach((canvas) => canvas.remove());
    },
  };
}
