// Colours of cells: scales that the reference sets, for non-negative and for signed quantities, and values beyond them.
// calolab/plots/scales.py does the same for pictures without JavaScript.

/** @import { Box, ColourScale, Look, Pen, Values } from "./types.js" */

import { axes, scale } from "./axes.js";
import { amount, plural } from "./numbers.js";
import { line, outlined } from "./shapes.js";
import { clamp, extent, highest, isAbove } from "./values.js";

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
  const place = clamp(fraction, 0, 1) * (table.length - 1);
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
  const isOver = (/** @type {number} */ value) => isAbove(value, high);
  const isUnder = (/** @type {number} */ value) => (signed ? isAbove(-value, high) : value < 0);
  return {
    ...range,
    signed,
    place,
    isOver,
    isUnder,
    colour(value) {
      if (isOver(value)) return OVER;
      if (isUnder(value)) return UNDER;
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
export function beyond(cells, { isOver, isUnder, signed }, unit) {
  const [over, under] = [cells.filter(isOver), cells.filter(isUnder)];
  const { high } = extent(over);
  const { low } = extent(under);
  return [
    over.length ? `${plural(over.length, "cell")} above the scale, up to ${amount(high, unit)}` : "",
    under.length
      ? `${plural(under.length, "cell")} below ${signed ? "the scale" : "zero"}, down to ${amount(low, unit)}`
      : "",
  ].filter(Boolean);
}

/** The largest value of several arrays, for a signed quantity the largest absolute value.
 *
 * @param {(Values | null)[]} arrays
 */
export function largest(arrays, signed = false) {
  const ends = arrays.map((values) => extent(values ?? []));
  return highest(ends.flatMap(({ low, high }) => (signed ? [-low, high] : [high])));
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
 * @param {(Values | null)[]} arrays the displayed cells; an end with cells beyond it is a triangle in their colour
 */
export function drawColourBar(pen, width, colours, title, unit, look, arrays) {
  const box = { left: 56, top: 2, right: width - 12, bottom: 16 };
  for (let pixel = box.left; pixel < box.right; pixel += 1) {
    pen.fillStyle = colours.place((pixel - box.left) / (box.right - box.left));
    pen.fillRect(pixel, box.top, Math.min(1.5, box.right - pixel), box.bottom - box.top);
  }
  const middle = (box.top + box.bottom) / 2;
  for (const { isBeyond, colour, from, to } of [
    { isBeyond: colours.isOver, colour: OVER, from: box.right + 1, to: box.right + 10 },
    { isBeyond: colours.isUnder, colour: UNDER, from: box.left - 1, to: box.left - 10 },
  ]) {
    if (!arrays.some((values) => values?.some(isBeyond))) continue;
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
  line(pen, scales.x(0), box.top, scales.x(0), box.bottom);
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
  const [colour, outline] = colours.signed ? ["black", "white"] : ["white", "black"];
  const room = box.right - box.left - 10;
  // In a narrow panel, a text continues in another line after its comma.
  const fits = (/** @type {string} */ text) => pen.measureText(text).width <= room;
  const parts = lines.flatMap((text) => (fits(text) ? [text] : text.split(/(?<=,) /)));
  parts.forEach((text, k) => outlined(pen, text, box.left + 5, box.top + 5 + 14 * k, { colour, outline, room }));
}
