// Axes: scales from values to pixels, ticks, frames and titles.

/** @import { AxisRange, Box, Look, Pen, Range, Scale, Scales } from "./types.js" */

import { number, superscript, withMinus, withUnit } from "./numbers.js";
import { line } from "./shapes.js";
import { clamp } from "./values.js";

/** Map a range onto the pixels from `start` to `end`.
 *
 * @param {Range} range
 * @param {number} start
 * @param {number} end
 * @returns {Scale}
 */
export function scale({ low, high, log, linear }, start, end) {
  /** @type {Scale} */
  const transform = linear
    ? (value) => Math.asinh(value / linear)
    : log
      ? (value) => Math.log10(Math.max(value, low * 1e-6))
      : (value) => value;
  const [first, last] = [transform(low), transform(high)];
  return (value) => start + ((transform(value) - first) / (last - first)) * (end - start);
}

/** Round values for the ticks of a range, about `count` of them.
 *
 * @param {Range} range
 * @returns {number[]}
 */
export function ticks({ low, high, log, linear }, count = 5) {
  if (low > high) return ticks({ low: high, high: low, log, linear }, count);
  if (linear) {
    const first = Math.ceil(Math.log10(linear) - 1e-9);
    const powers = Array.from({ length: Math.floor(Math.log10(high) + 1e-9) - first + 1 }, (_, k) =>
      Number(`1e${first + k}`),
    );
    return [...powers.map((power) => -power).reverse(), 0, ...powers];
  }
  if (log) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const step = Math.ceil((last - first) / (count + 1));
    // If there are few decades, also 2 and 5 times the powers of ten.
    const factors = last - first <= 2 ? [1, 2, 5] : [1];
    const powers = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, k) => first + k * step);
    const marks = powers.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)));
    return marks.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  const marks = Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) =>
    Number(((first + k) * step).toPrecision(12)),
  );
  // A single number does not define a scale.
  return marks.length > 1 || count > 8 ? marks : ticks({ low, high }, 2 * count);
}

/** Ticks of an axis; if a logarithmic one contains few powers of ten, also values between them.
 *
 * @param {Range} range
 */
export function fineTicks(range, count = 5) {
  const coarse = ticks(range, count);
  if (!range.log || coarse.length > 2) return coarse;
  const first = Math.floor(Math.log10(range.low));
  const powers = Array.from({ length: Math.ceil(Math.log10(range.high)) - first + 1 }, (_, k) => first + k);
  const finer = powers
    .flatMap((power) => [1, 2, 5].map((factor) => Number(`${factor}e${power}`)))
    .filter((value) => value >= range.low && value <= range.high);
  return finer.length > 2 ? finer : ticks({ low: range.low, high: range.high }, count);
}

/** Ticks at integers only, about `count` of them.
 *
 * @param {Range} range
 * @param {number} count
 */
export function wholeTicks(range, count) {
  return ticks(range, Math.max(2, Math.round(count))).filter(Number.isInteger);
}

/** The numbers of ticks, at most `room` pixels wide, and the power of ten that moves from them to the axis title.
 *
 * @param {Pen} pen
 * @param {number[]} marks
 * @param {Range} range
 * @param {number} room
 */
function tickTexts(pen, marks, range, room) {
  const plain = marks.map((value) => tickText(value, range));
  const isWide = (/** @type {string} */ text) => pen.measureText(text).width > room;
  if (!plain.some((text) => isWide(text) || text.includes("×"))) return { texts: plain, exponent: 0 };
  // A logarithmic axis keeps its powers of ten; ticks between them need no number.
  if (range.log || range.linear) return { texts: plain.map((text) => (isWide(text) ? "" : text)), exponent: 0 };
  const exponent = Math.floor(Math.log10(Math.max(...marks.map(Math.abs))));
  const texts = marks.map((value) => withMinus(String(Number((value / 10 ** exponent).toPrecision(6)))));
  return { texts, exponent };
}

/** The title of an axis with its unit and the power of ten that its ticks omit.
 *
 * @param {AxisRange} range
 * @param {number} exponent
 */
function axisTitle({ label, unit }, exponent) {
  const power = exponent ? `10${superscript(exponent)}` : "";
  return withUnit(label, `${power} ${unit ?? ""}`.trim());
}

/** Draw frame, ticks and titles around `box`.
 *
 * @param {Pen} pen
 * @param {Box} box
 * @param {AxisRange} horizontal
 * @param {AxisRange} vertical
 * @param {Look} look
 * @returns {Scales}
 */
export function axes(pen, box, horizontal, vertical, look) {
  const x = scale(horizontal, box.left, box.right);
  const y = scale(vertical, box.bottom, box.top);
  // In CSS pixels, also for a canvas that is not part of the page.
  const [width, height] = [pen.canvas.width, pen.canvas.height].map((size) => size / pen.getTransform().a);
  pen.lineWidth = 1;
  pen.strokeStyle = look.faint;
  pen.fillStyle = look.ink;
  pen.font = look.font(11);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  const across = horizontal.ticks ?? ticks(horizontal, Math.max(2, Math.round((box.right - box.left) / 70)));
  const below = tickTexts(pen, across, horizontal, 60);
  let free = 0;
  across.forEach((value, k) => {
    line(pen, x(value), box.bottom, x(value), box.bottom + 4);
    if (horizontal.bare) return;
    const half = pen.measureText(below.texts[k]).width / 2;
    // Numbers are not cut off at the end of the canvas and do not overlap.
    const middle = clamp(x(value), half + 1, width - half - 1);
    if (middle - half < free) return;
    pen.fillText(below.texts[k], middle, box.bottom + 6);
    free = middle + half + 4;
  });
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const up = vertical.ticks ?? ticks(vertical, Math.max(2, Math.round((box.bottom - box.top) / 45)));
  const beside = tickTexts(pen, up, vertical, box.left - 21);
  up.forEach((value, k) => {
    line(pen, box.left - 4, y(value), box.left, y(value));
    pen.fillText(beside.texts[k], box.left - 6, y(value));
  });
  pen.strokeRect(
    Math.round(box.left) - 0.5,
    Math.round(box.top) - 0.5,
    Math.round(box.right - box.left) + 1,
    Math.round(box.bottom - box.top) + 1,
  );
  if (!horizontal.bare) {
    pen.textBaseline = "bottom";
    drawTitle(pen, axisTitle(horizontal, below.exponent), (box.left + box.right) / 2, box.bottom + 34, width, look);
  }
  pen.save();
  pen.translate(Math.max(box.left - 54, 0), 0);
  pen.rotate(-Math.PI / 2);
  pen.textBaseline = "top";
  // After the rotation by 90 degrees, up is to the right.
  pen.translate(-height, 0);
  drawTitle(pen, axisTitle(vertical, beside.exponent), height - (box.top + box.bottom) / 2, 0, height, look);
  pen.restore();
  return { x, y };
}

/** A title centred at `place` of a line of `room` pixels, shifted and, if necessary, scaled down to fit in.
 *
 * @param {Pen} pen
 * @param {string} text
 * @param {number} place
 * @param {number} baseline
 * @param {number} room
 * @param {Look} look
 */
function drawTitle(pen, text, place, baseline, room, look) {
  pen.font = look.font(12);
  const full = pen.measureText(text).width;
  if (full > room - 2) pen.font = look.font(Math.max((12 * (room - 2)) / full, 8));
  const half = Math.min(pen.measureText(text).width, room - 2) / 2;
  pen.textAlign = "center";
  pen.fillText(text, clamp(place, half + 1, room - half - 1), baseline);
}

/** @param {number} value @param {Range} range */
function tickText(value, range) {
  const exponent = Math.log10(value);
  if (range.log && Math.abs(exponent - Math.round(exponent)) < 1e-9 && (exponent < -0.5 || exponent > 2.5)) {
    return `10${superscript(Math.round(exponent))}`;
  }
  const rounded = Number(value.toPrecision(6));
  return Math.abs(rounded) >= 1e5 || (rounded !== 0 && Math.abs(rounded) < 1e-3)
    ? number(rounded, 2)
    : withMinus(String(rounded));
}
