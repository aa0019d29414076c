// Colours of cells: scales that the reference sets, of quantities above zero and of signed ones, and what lies beyond them.
// calolab/plots/scales.py is the same for pictures without JavaScript.

import { axes, number, plural, scale } from "./drawing.js";

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
// Empty cells are black; the faintest deposit starts visibly above it.
const FAINTEST = 0.14;
export const EMPTY = "rgb(0, 0, 4)";
// A generated sample extends the scale of its reference to at most this multiple.
const SCALE_REACH = 2;
// Cells beyond the scale.
const OVER = "#1fd6b5";
const UNDER = "#8a3ffc";
// Up to this fraction of its end a signed logarithmic scale is linear.
const LINEAR = 0.01;
// An end that is a cell's own value may be rounded.
const ROUNDING = 1 + 1e-6;

/** Upper end of a scale: the largest value of all, but at most twice that of the reference. */
export function scaleTop(reference, others = 0) {
  if (reference > 0) return Math.min(Math.max(reference, others), SCALE_REACH * reference);
  return others > 0 ? others : 1;
}

function mixed(table, fraction) {
  const place = Math.min(Math.max(fraction, 0), 1) * (table.length - 1);
  const below = Math.min(Math.floor(place), table.length - 2);
  const channels = table[below].map((c, k) => Math.round(c + (place - below) * (table[below + 1][k] - c)));
  return `rgb(${channels.join(", ")})`;
}

/** One colour scale for all panels that ends at `high`: {low, high, log, linear, signed, colour(value)}.
 *
 * It begins `decades` below its end, linear at zero, and of a signed quantity at `-high`. An empty cell has no colour.
 */
export function colourScale(high, log, { decades = 4, signed = false } = {}) {
  const range = signed
    ? { low: -high, high, linear: log ? LINEAR * high : 0 }
    : { low: log ? high * 10 ** -decades : 0, high, log };
  const fraction = scale(range, 0, 1);
  const place = (at) => (signed ? mixed(SIGNED, at) : mixed(INFERNO, FAINTEST + (1 - FAINTEST) * Math.max(at, 0)));
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

/** In words, how many cells lie beyond either end of a colour scale, and how far; empty if none does. */
export function beyond(cells, { high, signed }, unit) {
  const found = { over: 0, under: 0, most: 0, least: 0 };
  for (const value of cells) {
    if (value > high * ROUNDING) found.over += 1;
    if (value < (signed ? -high * ROUNDING : 0)) found.under += 1;
    if (value > found.most) found.most = value;
    if (value < found.least) found.least = value;
  }
  const lines = [];
  if (found.over) lines.push(`${plural(found.over, "cell")} above the scale, up to ${number(found.most)} ${unit}`.trim());
  if (found.under)
    lines.push(
      `${plural(found.under, "cell")} ${signed ? "below the scale" : "below zero"}, down to ${number(found.least)} ${unit}`.trim(),
    );
  return lines;
}

/** The largest value of some arrays, of a signed quantity the largest size of one. */
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

/** The end of a scale for the arrays of one event each, the reference first; an array may be null. */
export function sharedTop(arrays, signed = false) {
  const [first, ...others] = arrays;
  return scaleTop(largest([first], signed), largest(others, signed));
}

/** The colour bar: horizontal, with its ticks and title; `ends` says whether cells lie {under, over} it. */
export function drawColourBar(pen, width, height, colours, title, unit, look, ends = {}) {
  const box = { left: 56, top: 2, right: width - 12, bottom: 16 };
  for (let pixel = box.left; pixel < box.right; pixel += 1) {
    pen.fillStyle = colours.place((pixel - box.left) / (box.right - box.left));
    pen.fillRect(pixel, box.top, Math.min(1.5, box.right - pixel), box.bottom - box.top);
  }
  const middle = (box.top + box.bottom) / 2;
  for (const [shown, colour, from, to] of [
    [ends.over, OVER, box.right + 1, box.right + 10],
    [ends.under, UNDER, box.left - 1, box.left - 10],
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

/** Text in a panel's upper left corner that can be read on any cell. */
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

/** What a widget says of one value: with its unit, if it has one. */
export function amount(value, unit, digits = 3) {
  return `${number(value, digits)} ${unit}`.trim();
}
