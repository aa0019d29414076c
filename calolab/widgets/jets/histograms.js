// Histograms of jets of real and generated events with their ratio; the reference sets binning and height.

/** @import { AxisRange, Look, Pen, Role } from "../shared/types.js" */
/** @import { Contents, Names, Variable } from "./types.js" */

import { axes, wholeTicks } from "../shared/axes.js";
import { scaleTop } from "../shared/colours.js";
import { drawBand, drawRatio, markBeyond, markOverflow, ratioLabel } from "../shared/ratios.js";
import { centres, clipped, drawEmpty, fillSteps, steps } from "../shared/shapes.js";
import { binAt, highest, last } from "../shared/values.js";

export const ROLES = /** @type {Role[]} */ (["reference", "generated"]);

/** Draw one variable; returns a function from a pixel to a bin.
 *
 * @param {Pen} pen
 * @param {number} width
 * @param {number} height
 * @param {Look} look
 * @param {Variable} variable
 * @param {Names} names
 * @returns {(pixel: number) => number}
 */
export function drawHistogram(pen, width, height, look, variable, names) {
  const { edges, reference, generated, alone } = variable;
  const lower = generated ? 84 : 0;
  const box = { left: 58, top: 6, right: width - 18, bottom: height - 42 - lower };
  const integers = variable.name === "multiplicity";
  /** @type {AxisRange} */
  const along = {
    low: edges[0],
    high: last(edges),
    label: variable.label,
    unit: variable.unit,
    bare: Boolean(generated),
    ...(integers && { ticks: wholeTicks({ low: edges[0], high: last(edges) }, 10) }),
  };
  const sides = [reference, ...(generated ? [generated] : [])].map(({ contents, errors }) => ({
    middle: contents,
    half: errors,
  }));
  const [first, ...others] = sides.map(({ middle, half }) => highest(middle.map((value, k) => value + half[k])));
  const most = Math.max(0, ...others, highest(alone?.contents ?? []));
  const high = 1.06 * scaleTop(first, most);
  const at = axes(pen, box, along, { low: 0, high, label: `fraction of ${variable.per}` }, look);
  if (!first && !most) drawEmpty(pen, box.left + box.right, box.top + box.bottom, look, `no ${variable.per}`);
  clipped(pen, box, () => {
    pen.globalAlpha = 0.45;
    pen.fillStyle = look["reference-fill"];
    fillSteps(pen, edges, reference.contents, at);
    pen.globalAlpha = 1;
    sides.forEach(({ middle, half }, which) => drawBand(pen, edges, middle, half, at, look, ROLES[which]));
    if (alone) drawAlone(alone);
    const middles = centres(edges, at.x);
    const roles = /** @type {(Role | "alone")[]} */ ([...ROLES, "alone"]);
    const shown = roles.flatMap((role) => (variable[role] ? [{ role, ...variable[role] }] : []));
    shown.forEach(({ role, contents, beyond }, k) => {
      const colour = role === "alone" ? look.series[1] : look[role];
      if (k) markBeyond(pen, box, middles, contents, high, names[role], colour, look, { line: k - 1 });
      markOverflow(pen, box, edges, at.x, beyond, colour, look, k);
    });
  });
  /** @param {Contents} events those without pile-up */
  function drawAlone(events) {
    pen.strokeStyle = look.series[1];
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    steps(pen, edges, events.contents, at);
    pen.setLineDash([]);
  }
  if (generated) {
    const below = { ...box, top: box.bottom + 12, bottom: box.bottom + lower - 2 };
    drawRatio(pen, below, { ...along, bare: false }, edges, sides[0], sides[1], look, ratioLabel([names.reference]));
  }
  return (pixel) => binAt(edges.map(at.x), pixel);
}
