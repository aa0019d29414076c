// Reference and generated histograms with bands, and their ratio; values outside the panel are marked at its border.

/** @import { AxisRange, Band, Box, Look, Pen, Role, Scales } from "./types.js" */

import { axes } from "./axes.js";
import { amount } from "./numbers.js";
import { band, centres, clipped, outlined, steps } from "./shapes.js";
import { clamp, extent, isAbove } from "./values.js";

/** The line of a histogram with a band within `half` above and below it, in the colours of a role.
 *
 * @param {Pen} pen
 * @param {number[]} edges
 * @param {number[]} middle
 * @param {number[]} half
 * @param {Scales} at
 * @param {Look} look
 * @param {Role} role
 */
export function drawBand(pen, edges, middle, half, at, look, role) {
  pen.fillStyle = look[`${role}-fill`];
  band(pen, edges, middle, half, at);
  pen.strokeStyle = look[role];
  pen.lineWidth = 1.8;
  steps(pen, edges, middle, at);
}

/** The ratio of the generated to the reference histogram.
 *
 * @param {Pen} pen
 * @param {Box} box
 * @param {AxisRange} along the horizontal axis
 * @param {number[]} edges
 * @param {Band} reference
 * @param {Band} generated
 * @param {Look} look
 */
export function drawRatio(pen, box, along, edges, reference, generated, look, label = "gen. / ref.") {
  const relative = (/** @type {number[]} */ values) => values.map((value, k) => value / reference.middle[k]);
  const quotient = relative(generated.middle);
  const outside = quotient.filter((value) => Number.isFinite(value) && Math.abs(value - 1) > 0.5).length;
  const wide = outside > quotient.length / 4;
  const range = { low: wide ? 0 : 0.5, high: wide ? 2 : 1.5, label, ticks: wide ? [0, 1, 2] : [0.5, 1, 1.5] };
  const at = axes(pen, box, along, range, look);
  clipped(pen, box, () => {
    const one = quotient.map(() => 1);
    drawBand(pen, edges, one, relative(reference.half), at, look, "reference");
    drawBand(pen, edges, quotient, relative(generated.half), at, look, "generated");
    // Ratios outside the panel are marked at its border.
    pen.fillStyle = look.generated;
    const middles = centres(edges, at.x);
    quotient.forEach((value, k) => {
      if (value > range.high) arrow(pen, middles[k], box.top + 1, 6);
      if (value < range.low) arrow(pen, middles[k], box.bottom - 1, -6);
    });
  });
}

/** The label of a ratio panel.
 *
 * @param {string[]} names of the reference and the generated sample
 */
export function ratioLabel(names) {
  return ["reference", "real"].includes(names[0]) ? "gen. / ref." : `ratio to ${names[0]}`;
}

/** Arrows at the borders of `box` where `heights` are above `high` or below zero, and the most extreme ones as text.
 *
 * @param {Pen} pen
 * @param {Box} box
 * @param {number[]} places [pixels]
 * @param {number[]} heights
 * @param {number} high
 * @param {string} name
 * @param {string} colour
 * @param {Look} look
 * @param {{ unit?: string, line?: number }} options
 */
export function markBeyond(pen, box, places, heights, high, name, colour, look, { unit = "", line = 0 } = {}) {
  const ends = extent(heights);
  const isBelow = (/** @type {number} */ height) => -height > 1e-6 * high;
  pen.fillStyle = colour;
  heights.forEach((height, k) => {
    // An arrow at the first or last point of a line is not cut off.
    const place = clamp(places[k], box.left + 5, box.right - 5);
    if (isAbove(height, high)) arrow(pen, place, box.top + 1, 6);
    if (isBelow(height)) arrow(pen, place, box.bottom - 1, -6);
  });
  const left = box.left + 6;
  if (isAbove(ends.high, high))
    mark(pen, `${name} up to ${amount(ends.high, unit)}`, left, box.top + 10 + 14 * line, "left", colour, look);
  if (isBelow(ends.low))
    mark(pen, `${name} down to ${amount(ends.low, unit)}`, left, box.bottom - 24 - 14 * line, "left", colour, look);
}

/** Arrows at both ends of the horizontal axis with the fractions of entries beyond the edges.
 *
 * @param {Pen} pen
 * @param {Box} box
 * @param {number[]} edges
 * @param {(value: number) => number} x
 * @param {[number, number]} fractions below and above
 * @param {string} colour
 * @param {Look} look
 */
export function markOverflow(pen, box, edges, x, [below, above], colour, look, line = 0) {
  const height = (box.top + box.bottom) / 2 + 15 * line;
  const [left, right] = [x(edges[1]) + 4, x(edges[edges.length - 2]) - 4];
  if (above >= LEAST_BEYOND) mark(pen, `${percent(above)} beyond ▸`, right, height, "right", colour, look);
  if (below >= LEAST_BEYOND) mark(pen, `◂ ${percent(below)} beyond`, left, height, "left", colour, look);
}

// Smaller fractions beyond the edges are the tails of any sample.
const LEAST_BEYOND = 0.02;

/** @param {number} fraction */
function percent(fraction) {
  return `${fraction >= 0.095 ? (100 * fraction).toFixed(0) : Number((100 * fraction).toPrecision(2))} %`;
}

/** A small text with an outline in the colour of the background.
 *
 * @param {Pen} pen
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {CanvasTextAlign} align
 * @param {string} colour
 * @param {Look} look
 */
function mark(pen, text, x, y, align, colour, look) {
  pen.font = look.font(11);
  pen.textAlign = align;
  pen.textBaseline = "top";
  outlined(pen, text, x, y, { colour, outline: look.paper });
}

/** @param {Pen} pen @param {number} x @param {number} y @param {number} size negative for an arrow that points down */
function arrow(pen, x, y, size) {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - 4, y + size);
  pen.lineTo(x + 4, y + size);
  pen.fill();
}
