// Slices side by side: panels of cells in one colour scale, with controls, keys, readout and the energy of each slice.
// slicing.py is the Python side.

/** @import { Cuts, CellPanel, ColourScale, Keys, Look, Model, Pen, Plane, Role, Scales, Space, Values } from "../shared/types.js" */

import { axes } from "../shared/axes.js";
import { surface } from "../shared/canvas.js";
import { axisSymbol, cellAt, cut, drawCells, planeSums, planeValues, projection } from "../shared/cells.js";
import { colourScale, drawColourBar, scaleTop, sharedTop } from "../shared/colours.js";
import { assign, choice, element, logChoice, onDrag, slider, toggle, watch } from "../shared/controls.js";
import { amount, number } from "../shared/numbers.js";
import { markBeyond } from "../shared/ratios.js";
import { centres, clipped, steps } from "../shared/shapes.js";
import { binAt, clamp, highest, last } from "../shared/values.js";

/** @typedef {{ axis: string, position: number, log: boolean, total: boolean }} SlicingTraits */

/** @typedef {{
 *   cuts: Cuts,
 *   total: boolean,
 *   position: number,
 *   plane: Plane,
 *   cells: (Values | null)[],
 *   colours: ColourScale,
 *   sums: (number[] | null)[],
 * }} Scene
 */

/** Draws below the lines of the energies of the slices; `highest` is the largest value that it draws.
 *
 * @typedef {{ draw(pen: Pen, cuts: Cuts, at: Scales, look: Look): void, highest(cuts: Cuts): number }} Background
 */

const TRAITS = /** @type {const} */ (["axis", "position", "log", "total"]);

/** Build the panels.
 *
 * Returns nodes to insert and the keys for `frame`; `show(captions)` repaints after `showers` has changed, with a caption
 * for each panel.
 *
 * @param {{
 *   model: Model<SlicingTraits>,
 *   space: Space,
 *   sides: { name: string, role: Role }[],
 *   showers: () => (Values | null)[],
 *   signed?: boolean,
 *   largest?: (showers: (Values | null)[], signed: boolean) => number,
 *   background?: Background,
 * }} options `showers()` returns the values of one event for each side, null for an empty panel; `largest(showers)` is the
 *   end of the colour scale; `signed` is whether the quantity can be negative
 */
export function slicing({ model, space, sides, showers, signed = false, largest = sharedTop, background }) {
  const hasDirections = space.hasDepth && space.regular;
  const symbol = (/** @type {string | null} */ axis) => (axis == null ? "" : axisSymbol(space, axis));
  const unitOf = (/** @type {string | null} */ axis) => (axis == null ? "" : space.units[space.axes.indexOf(axis)]);
  let scene = compose();
  /** @type {number[] | null} */
  let hovered = null;

  /** @returns {Scene} */
  function compose() {
    const cuts = cut(space, model.get("axis"));
    const total = model.get("total") && cuts.summable;
    const position = clamp(model.get("position"), 0, cuts.planes.length - 1);
    const plane = cuts.planes[total ? 0 : position];
    const events = showers();
    const cells = events.map(
      (values) => values && (total ? projection(values, cuts.planes) : planeValues(values, plane)),
    );
    // The scale is that of the whole event, not of the slice: it does not change while the slider moves.
    const colours = colourScale((total ? sharedTop : largest)(total ? cells : events, signed), model.get("log"), {
      signed,
    });
    const sums = events.map((values) => values && planeSums(values, cuts.planes));
    return { cuts, total, position, plane, cells, colours, sums };
  }

  const lines = sides.map(() => element("span", {}));
  /** @type {CellPanel[]} */
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
  const bar = surface("colour scale", "calolab-bar", (pen, width, _, look) => {
    const what = scene.total
      ? `${space.quantity}, summed along ${symbol(scene.cuts.axis)}`
      : `${space.quantity} per cell`;
    drawColourBar(pen, width, scene.colours, what, space.unit, look, scene.cells);
  });
  const readout = element("output", { class: "calolab-readout" });
  const strip = surface("energy in each slice", "calolab-strip", drawStrip);
  let sliceAt = (/** @type {number} */ _pixel) => 0;

  /** @param {number[] | null} cell */
  function hover(cell) {
    if (String(cell) === String(hovered)) return;
    hovered = cell;
    panels.forEach((panel) => panel.redraw());
    showReadout();
  }

  /** Show the cell at the pointer: its indices, its centre and its value in each shower. */
  function showReadout() {
    const { plane, cuts, position, total, cells } = scene;
    const nRows = plane.rows.length - 1;
    if (!hovered || hovered[0] >= plane.columns.length - 1 || hovered[1] >= nRows) {
      readout.textContent = "";
      return;
    }
    const [column, row] = hovered;
    const index = { [plane.columnAxis]: column, [plane.rowAxis]: row };
    const edges = { [plane.columnAxis]: plane.columns, [plane.rowAxis]: plane.rows };
    if (cuts.axis && !total) {
      index[cuts.axis] = position;
      edges[cuts.axis] = cuts.borders;
    }
    const at = space.axes.filter((axis) => axis in index);
    const places = at.map((axis) => {
      const middle = (edges[axis][index[axis]] + edges[axis][index[axis] + 1]) / 2;
      return `${symbol(axis)} ${amount(middle, unitOf(axis))}`;
    });
    const values = sides.map(({ name }, which) => {
      const shown = cells[which];
      return shown && `${name} ${amount(shown[column * nRows + row], space.unit, 4)}`;
    });
    readout.textContent = `cell (${at.map((axis) => index[axis]).join(", ")}) · ${places.join(", ")} · ${values.filter(Boolean).join(" · ")}`;
  }

  /** @param {Pen} pen @param {number} width @param {number} height @param {Look} look */
  function drawStrip(pen, width, height, look) {
    const { cuts, position, sums, total } = scene;
    const box = { left: 56, top: 6, right: width - 12, bottom: height - 40 };
    const [first, ...others] = sums.map((one) => highest(one ?? []));
    const high = 1.08 * scaleTop(first, Math.max(...others, background?.highest(cuts) ?? 0));
    const ends = { low: cuts.borders[0], high: last(cuts.borders) };
    const depth = { ...ends, label: symbol(cuts.axis), unit: unitOf(cuts.axis) };
    const at = axes(pen, box, depth, { low: 0, high, label: "per slice", unit: space.unit }, look);
    sliceAt = (pixel) => binAt(cuts.borders.map(at.x), pixel);
    clipped(pen, box, () => {
      if (!total) {
        const [left, right] = [at.x(cuts.borders[position]), at.x(cuts.borders[position + 1])];
        pen.fillStyle = look.grid;
        pen.fillRect(left, box.top, right - left, box.bottom - box.top);
      }
      background?.draw(pen, cuts, at, look);
      const middles = centres(cuts.borders, at.x);
      sides.forEach(({ name, role }, which) => {
        const energies = sums[which];
        if (!energies) return;
        pen.strokeStyle = look[role];
        pen.lineWidth = 2;
        steps(pen, cuts.borders, energies, at);
        markBeyond(pen, box, middles, energies, high, name, look[role], look, { unit: space.unit });
      });
    });
  }
  onDrag(strip.node, (pixel) => assign(model, { position: sliceAt(pixel), total: false }));

  const move = (/** @type {number} */ change) => () =>
    assign(model, { position: clamp(scene.position + change, 0, scene.cuts.planes.length - 1), total: false });
  const view = (/** @type {string} */ axis) => {
    if (axis === model.get("axis")) return;
    const sums = planeSums(showers().find(Boolean) ?? [], cut(space, axis).planes);
    assign(model, { axis, position: sums.indexOf(Math.max(...sums)) });
  };
  const slicer = slider({
    label: "slice",
    title: "slice (keys: left and right)",
    onmove: (position) => assign(model, { position, total: false }),
    describe: (position) => {
      const { axis, borders } = scene.cuts;
      const place = `${number(borders[position])} to ${amount(borders[position + 1], unitOf(axis))}`;
      return scene.total ? `all along ${symbol(axis)}` : `${symbol(axis)} = ${position}: ${place}`;
    },
  });
  const along = choice({
    label: "along",
    options: space.axes.map((name) => /** @type {[string, string]} */ ([name, symbol(name)])),
    onpick: view,
  });
  const what = choice({
    label: "show",
    options: [
      [false, "slice"],
      [true, "sum"],
    ],
    onpick: (total) => assign(model, { total }),
  });
  const colour = logChoice(model, "colours");

  function show() {
    scene = compose();
    if (space.hasDepth) slicer.show(scene.position, 0, scene.cuts.planes.length - 1);
    along.show(model.get("axis"));
    what.show(scene.total);
    colour.show(model.get("log"));
    [...panels, bar, strip].forEach((canvas) => canvas.redraw());
    showReadout();
  }
  const unwatch = watch(model, [...TRAITS], show);

  const slices = { ArrowLeft: move(-1), ArrowRight: move(1), Home: move(-Infinity), End: move(Infinity) };
  /** @type {Keys} */
  const keys = {
    ...(space.hasDepth && { slice: slices }),
    ...(hasDirections && {
      axis: Object.fromEntries(space.axes.map((axis) => [axis, () => view(axis)])),
      sum: { s: () => toggle(model, "total") },
    }),
    colours: { l: () => toggle(model, "log") },
  };
  const figures = panels.map((panel, which) => {
    const name = element("b", { class: `calolab-${sides[which].role}` }, sides[which].name);
    return element("figure", {}, element("figcaption", { class: "calolab-title" }, name, lines[which]), panel.node);
  });
  const row = element("div", { class: "calolab-controls" }, slicer.node);
  return {
    controls: hasDirections ? [along.node, what.node, colour.node] : [colour.node],
    body: [
      element("div", { class: "calolab-panels" }, ...figures),
      bar.node,
      readout,
      ...(space.hasDepth ? [row, strip.node] : []),
    ],
    keys,
    /** @param {string[]} captions */
    show(captions) {
      captions.forEach((text, which) => {
        lines[which].textContent = text;
      });
      show();
    },
    remove() {
      unwatch();
      [...panels, bar, strip].forEach((canvas) => canvas.remove());
    },
  };
}
