// Colours of cells: scales that the reference sets, for non-negative and for signed quantities, and values beyond them.
// calolab/plots/scales.py does the same for pictures without JavaScript.

/** @import { Box, ColourScale, Look, Pen, Values } from "./types.js" */

import { axes, scale } from "./axes.js";
import { number, plural } from "./numbers.js";

const INFERNO = [
  [0, 0, 4],
  [5, 4, 23],
  [17, 10, 48],
  [33, 12, 74],
  [50, 10, 94],
  [69, 10, 105],
  [87, 16, 110],
  [103, 22, 110],
  [120, 28, 109],
  [138, 34, 106],
  [154, 40, 101],
  [171, 47, 94],
  [188, 55, 84],
  [202, 64, 74],
  [216, 76, 62],
  [228, 90, 49],
  [237, 105, 37],
  [245, 123, 23],
  [249, 142, 9],
  [252, 161, 8],
  [251, 182, 26],
  [249, 203, 53],
  [244, 223, 83],
  [242, 242, 125],
  [252, 255, 164],
];
// Blue below zero, red above.
const SIGNED = [
  [5, 48, 97],
  [33, 102, 172],
  [67, 147, 195],
  [146, 197, 222],
  [209, 229, 240],
  [247, 247, 247],
  [253, 219, 199],
  [244, 165, 130],
  [214, 96, 77],
  [178, 24, 43],
  [103, 0, 31],
];
// Empty cells are black; the smallest deposit is clearly brighter.
const FAINTEST = 0.14;
export const EMPTY = "rgb(0, 0, 4)";
// A generated sample extends the scale of its reference by at most this factor.
const MAX_EXTENSION = 2;
// Cells beyond the scale.
const OVER = "#1fd6b5";
const UNDER = "#8a3ffc";
// A signed logarithmic scale is linear up to this fraction of its end.
const LINEAR = 0.01;
// The end of a scale is often the value of a cell, up to rounding.
const ROUNDING = 1 + 1e-6;

/** Upper end of a scale: the largest value of all, but at most twice that of the reference.
 *
 * @param {number} reference
 */
export function scaleTop(reference, others = 0) {
  if (reference > 0) return Math.min(Math.max(reference, others), MAX_EXTENSION * reference);
  return others > 0 ? others : 1;
}

/** Interpolate in a table of colours.
 *
 * @param {number[][]} table
 * @param {number} fraction
 */
function interpolated(table, fraction) {
  const place = Math.min(Math.max(fraction, 0), 1) * (table.length - 1);
  const below = Math.min(Math.floor(place), table.length - 2);
  const channels = table[below].map((c, k) => Math.round(c + (place - below) * (table[below + 1][k] - c)));
  return `rgb(${channels.join(", ")})`;
}

/** One colour scale for all panels that ends at `high`.
 *
 * A logarithmic scale begins `decades` below its end, a linear one at zero, that of a signed quantity at `-high`.
 *
 * @param {number} high
 * @param {boolean} log
 * @param {{ decades?: number, signed?: boolean }} options
 * @returns {ColourScale}
 */
export function colourScale(high, log, { decades = 4, signed = false } = {}) {
  const range = signed
    ? { low: -high, high, linear: log ? LINEAR * high : 0 }
    : { low: log ? high * 10 ** -decades : 0, high, log };
  const fraction = scale(range, 0, 1);
  const place = (/** @type {number} */ at) =>
    signed ? interpolated(SIGNED, at) : interpolated(INFERNO, FAINTEST + (1 - FAINTEST) * Math.max(at, 0));
  return {
    ...range,
    signed,
    place,
    colour(value) {
      if (value > high * ROUNDING) return OVER;
      if (value < (signed ? -high * ROUNDING : 0)) return UNDER;
      return signed || value > 0 ? place(fraction(value)) : null;
    },
  };
}

/** For each end of a colour scale, the number of cells beyond it and the most extreme value; empty if there are none.
 *
 * @param {Values} cells
 * @param {ColourScale} scale
 * @param {string} unit
 */
export function beyond(cells, { high, signed }, unit) {
  const found = { over: 0, under: 0, most: 0, least: 0 };
  for (const value of cells) {
    if (value > high * ROUNDING) found.over += 1;
    if (value < (signed ? -high * ROUNDING : 0)) found.under += 1;
    if (value > found.most) found.most = value;
    if (value < found.least) found.least = value;
  }
  const lines = [];
  if (found.over)
    lines.push(`${plural(found.over, "cell")} above the scale, up to ${number(found.most)} ${unit}`.trim());
  if (found.under)
    lines.push(
      `${plural(found.under, "cell")} ${signed ? "below the scale" : "below zero"}, down to ${number(found.least)} ${unit}`.trim(),
    );
  return lines;
}

/** The largest value of several arrays, for a signed quantity the largest absolute value.
 *
 * @param {(Values | null)[]} arrays
 */
export function largest(arrays, signed = false) {
  let high = 0;
  for (const values of arrays) {
    if (!values) continue;
    for (const value of values) {
      if (value > high) high = value;
      if (signed && -value > high) high = -value;
    }
  }
  return high;
}

/** The end of a scale for the values of one event of each sample, the reference first; an array may be null.
 *
 * @param {(Values | null)[]} arrays
 */
export function sharedTop(arrays, signed = false) {
  const [first, ...others] = arrays;
  return scaleTop(largest([first], signed), largest(others, signed));
}

/** A horizontal colour bar with ticks and title.
 *
 * @param {Pen} pen
 * @param {number} width
 * @param {ColourScale} colours
 * @param {string} title
 * @param {string} unit
 * @param {Look} look
 * @param {{ under?: boolean, over?: boolean }} ends whether there are cells beyond either end
 */
export function drawColourBar(pen, width, colours, title, unit, look, ends = {}) {
  const box = { left: 56, top: 2, right: width - 12, bottom: 16 };
  for (let pixel = box.left; pixel < box.right; pixel += 1) {
    pen.fillStyle = colours.place((pixel - box.left) / (box.right - box.left));
    pen.fillRect(pixel, box.top, Math.min(1.5, box.right - pixel), box.bottom - box.top);
  }
  const middle = (box.top + box.bottom) / 2;
  for (const { shown, colour, from, to } of [
    { shown: ends.over, colour: OVER, from: box.right + 1, to: box.right + 10 },
    { shown: ends.under, colour: UNDER, from: box.left - 1, to: box.left - 10 },
  ]) {
    if (!shown) continue;
    pen.fillStyle = colour;
    pen.beginPath();
    pen.moveTo(from, box.top);
    pen.lineTo(to, middle);
    pen.lineTo(from, box.bottom);
    pen.fill();
  }
  const scales = axes(
    pen,
    box,
    { low: colours.low, high: colours.high, log: colours.log, linear: colours.linear, label: title, unit },
    { low: 0, high: 1, label: "", ticks: [] },
    look,
  );
  if (!colours.signed) return;
  pen.strokeStyle = "black";
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(scales.x(0), box.top);
  pen.lineTo(scales.x(0), box.bottom);
  pen.stroke();
}

/** Text in the upper left corner of a panel, outlined to be readable on every cell.
 *
 * @param {Pen} pen
 * @param {Box} box
 * @param {string[]} lines
 * @param {ColourScale} colours
 * @param {Look} look
 */
export function drawLines(pen, box, lines, colours, look) {
  pen.font = look.font(11);
  pen.textAlign = "left";
  pen.textBaseline = "top";
  pen.lineWidth = 3;
  pen.lineJoin = "round";
  pen.strokeStyle = colours.signed ? "white" : "black";
  pen.fillStyle = colours.signed ? "black" : "white";
  lines.forEach((text, k) => {
    pen.strokeText(text, box.left + 5, box.top + 5 + 14 * k, box.right - box.left - 10);
    pen.fillText(text, box.left + 5, box.top + 5 + 14 * k, box.right - box.left - 10);
  });
}
