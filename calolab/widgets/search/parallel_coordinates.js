// Parallel coordinates: an axis for each parameter and one for the metric, a line for each trial; brushing filters.

/** @import { Look, Pen } from "../shared/types.js" */
/** @import { LayeredSurface } from "./trial_lines.js" */
/** @import { Parameter, Trial } from "./trials.js" */

import { fineTicks, scale } from "../shared/axes.js";
import { powerOfTen } from "../shared/numbers.js";
import { curve, drawEmpty, line, outlined } from "../shared/shapes.js";
import { clamp, extent } from "../shared/values.js";
import { layered, strokeAll } from "./trial_lines.js";
import { setting } from "./trials.js";

/** An axis; `place(row)` is 0 at its lower end, 1 at its upper end and null without a value; `ticks` are places and texts.
 *
 * @typedef {{
 *   name: string,
 *   log?: boolean,
 *   place: (row: Trial) => number | null,
 *   ticks: [number, string][],
 *   last?: boolean,
 * }} Axis
 */
/** @typedef {{ low: number, high: number }} Brush */
/** @typedef {{
 *   rows: Trial[],
 *   empty: string,
 *   axes: Axis[],
 *   brushes: Map<string, Brush>,
 *   best: number | null,
 *   selected: number[],
 *   hovered: number | null,
 * }} Facts
 */
/** @typedef {{ number: number, points: (number | null)[] }} Line */
/** @typedef {(row: Trial) => number | string | null | undefined} Read */

const AXIS_REACH = 14; // largest distance of the pointer from an axis that it brushes [pixels]
const LINE_REACH = 10; // largest distance of the pointer from a line that it selects [pixels]

/** The axes of all parameters and of the metric to optimise.
 *
 * @param {Parameter[]} space
 * @param {Trial[]} rows
 * @param {string} objective
 * @param {boolean} log whether the metric is logarithmic
 * @returns {Axis[]}
 */
export function parallelAxes(space, rows, objective, log) {
  const known = new Set(space.map(({ name }) => name));
  const more = new Set(rows.flatMap(({ parameters }) => Object.keys(parameters)).filter((name) => !known.has(name)));
  /** @type {Parameter[]} */
  const all = [...space, ...[...more].map((name) => ({ name }))];
  const parameters = all.map((one) => {
    const read = (/** @type {Trial} */ row) => row.parameters[one.name];
    const values = rows.map(read).filter((value) => value != null);
    const texts = values.some((value) => typeof value !== "number") || one.choices?.some((v) => typeof v !== "number");
    if (one.choices || texts) return choiceAxis(one.name, read, one.choices ?? [], values);
    const numbers = [one.low, one.high, ...values].filter((value) => typeof value === "number");
    return rangeAxis(one.name, read, numbers.filter(Number.isFinite), Boolean(one.log));
  });
  const results = rows.map(({ value }) => value).filter((value) => value != null);
  const isLog = log && results.length > 0 && results.every((value) => value > 0);
  return [...parameters, { ...rangeAxis(objective, ({ value }) => value, results, isLog), last: true }];
}

/** @param {string} name @param {Read} read @param {(number | string)[]} choices @param {(number | string)[]} values @returns {Axis} */
function choiceAxis(name, read, choices, values) {
  const all = [...new Set([...choices, ...values])];
  if (all.every((value) => typeof value === "number")) all.sort((a, b) => Number(a) - Number(b));
  const height = (/** @type {number | string} */ value) =>
    all.length > 1 ? all.indexOf(value) / (all.length - 1) : 0.5;
  const place = (/** @type {Trial} */ row) => {
    const value = read(row);
    return value != null && all.includes(value) ? height(value) : null;
  };
  return { name, place, ticks: all.map((value) => [height(value), shortened(setting(value))]) };
}

/** @param {string} name @param {Read} read @param {number[]} values @param {boolean} log @returns {Axis} */
function rangeAxis(name, read, values, log) {
  if (!values.length) return { name, log: false, place: () => null, ticks: [] };
  let { low, high } = extent(values);
  const margin = 0.1 * Math.abs(low) || 0.5;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - margin, high + margin];
  const at = scale({ low, high, log }, 0, 1);
  const place = (/** @type {Trial} */ row) => {
    const value = read(row);
    return value == null ? null : at(Number(value));
  };
  const marks = fineTicks({ low, high, log }, 4);
  // If one of them needs a power of ten, all those below 0.1 have one.
  const least = marks.some((value) => value !== 0 && Math.abs(value) < 1e-2) ? 0.1 : 1e-2;
  const text = (/** @type {number} */ value) =>
    value !== 0 && (Math.abs(value) < least || Math.abs(value) >= 1e5) ? powerOfTen(value) : setting(value);
  return { name, log, place, ticks: marks.map((value) => [at(value), text(value)]) };
}

const shortened = (/** @type {string} */ text) => (text.length > 11 ? `${text.slice(0, 10)}…` : text);

/** Whether a row is inside all brushes.
 *
 * @param {Trial} row
 * @param {Axis[]} axes
 * @param {Map<string, Brush>} brushes by the name of the axis
 */
export function insideBrushes(row, axes, brushes) {
  return axes.every(({ name, place }) => {
    const brush = brushes.get(name);
    if (!brush) return true;
    const height = place(row);
    return height != null && height >= brush.low - 1e-9 && height <= brush.high + 1e-9;
  });
}

/** The canvas of the parallel coordinates; `onbrush(name, brush)` sets a brush, or clears it if it is null.
 *
 * @param {{
 *   facts: () => Facts,
 *   onhover: (number: number | null) => void,
 *   onpick: (number: number) => void,
 *   onbrush: (name: string, brush: Brush | null) => void,
 * }} options
 * @returns {LayeredSurface}
 */
export function parallelCoordinates({ facts, onhover, onpick, onbrush }) {
  /** @type {Line[]} */
  let lines = [];
  /** @type {number[]} */
  let positions = [];
  let top = 0;
  let bottom = 1;
  /** @type {{ name: string, from: number, to: number } | null} */
  let brushing = null;

  /** @param {Pen} pen @param {number} width @param {number} height @param {Look} look */
  function drawAll(pen, width, height, look) {
    const { rows, axes, brushes, best, selected } = facts();
    pen.font = look.font(12);
    const room = (width - 96) / Math.max(axes.length - 1, 1);
    // Names that would overlap are written in two lines alternately.
    const crowded = axes.some(({ name }) => pen.measureText(name).width > room - 8);
    [top, bottom] = [crowded ? 44 : 28, height - 14];
    positions = axes.map((_, k) => 52 + k * room);
    lines = rows.map((row) => ({ number: row.number, points: axes.map(({ place }) => place(row)) }));
    strokeAll(pen, lines, { best, selected, look }, ({ points }) => trace(pen, points));
    axes.forEach((axis, k) => drawAxis(pen, axis, positions[k], crowded && k % 2 === 0, brushes.get(axis.name), look));
    if (!rows.length) drawEmpty(pen, width, height, look, facts().empty);
  }

  const heightAt = (/** @type {number} */ place) => bottom - place * (bottom - top);

  /** @param {Pen} pen @param {(number | null)[]} points */
  function trace(pen, points) {
    curve(
      pen,
      positions,
      points.map((place) => (place == null ? NaN : heightAt(place))),
    );
  }

  /** @param {Pen} pen @param {Axis} axis @param {number} x @param {boolean} raised @param {Brush | undefined} brush @param {Look} look */
  function drawAxis(pen, { name, ticks, last }, x, raised, brush, look) {
    pen.strokeStyle = look.ink;
    pen.lineWidth = last ? 2 : 1;
    line(pen, x, top, x, bottom);
    pen.font = look.font(11);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const [place, text] of ticks) {
      const y = heightAt(place);
      pen.lineWidth = 1;
      pen.strokeStyle = look.ink;
      line(pen, x - 4, y, x, y);
      // Outlined in the colour of the background, the text is readable on the lines.
      outlined(pen, text, x - 6, y, { colour: look.ink, outline: look.paper });
    }
    pen.font = `${last ? "bold " : ""}${look.font(12)}`;
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.fillStyle = look.ink;
    pen.fillText(name, x, top - (raised ? 24 : 8));
    if (!brush) return;
    pen.globalAlpha = 0.35;
    pen.fillStyle = look.accent;
    pen.fillRect(x - 7, heightAt(brush.high), 14, heightAt(brush.low) - heightAt(brush.high));
    pen.globalAlpha = 1;
  }

  /** @param {Pen} pen @param {Look} look */
  function drawOne(pen, look) {
    const hovered = lines.find((one) => one.number === facts().hovered);
    if (!hovered) return;
    pen.strokeStyle = look.ink;
    pen.lineWidth = 2.6;
    trace(pen, hovered.points);
  }

  const axisAt = (/** @type {number} */ x) => positions.findIndex((position) => Math.abs(position - x) < AXIS_REACH);
  const placeAt = (/** @type {number} */ y) => clamp((bottom - y) / (bottom - top), 0, 1);

  /** The number of the trial whose line is nearest to a place of the canvas, or null.
   *
   * @param {number} x
   * @param {number} y
   */
  function trialNear(x, y) {
    const k = positions.findIndex(
      (left, which) => which + 1 < positions.length && x >= left && x <= positions[which + 1],
    );
    if (k < 0) return null;
    const fraction = (x - positions[k]) / (positions[k + 1] - positions[k]);
    /** @type {number | null} */
    let closest = null;
    let least = LINE_REACH;
    for (const { number: one, points } of lines) {
      const [left, right] = [points[k], points[k + 1]];
      if (left == null || right == null) continue;
      const distance = Math.abs(heightAt(left + fraction * (right - left)) - y);
      if (distance < least) [closest, least] = [one, distance];
    }
    return closest;
  }

  const canvas = layered("parameters and results of the displayed trials", "calolab-parallel", drawAll, drawOne);
  const node = canvas.node;
  node.addEventListener("pointerdown", (event) => {
    const k = axisAt(event.offsetX);
    if (k < 0) return;
    node.setPointerCapture(event.pointerId);
    brushing = { name: facts().axes[k].name, from: event.offsetY, to: event.offsetY };
  });
  node.addEventListener("pointermove", (event) => {
    node.style.cursor = axisAt(event.offsetX) >= 0 ? "ns-resize" : "pointer";
    if (!brushing) return onhover(trialNear(event.offsetX, event.offsetY));
    brushing.to = event.offsetY;
    const ends = [placeAt(brushing.from), placeAt(brushing.to)];
    if (Math.abs(brushing.to - brushing.from) > 3)
      onbrush(brushing.name, { low: Math.min(...ends), high: Math.max(...ends) });
  });
  node.addEventListener("pointerup", (event) => {
    if (brushing && Math.abs(brushing.to - brushing.from) <= 3) onbrush(brushing.name, null);
    if (!brushing) {
      const trial = trialNear(event.offsetX, event.offsetY);
      if (trial != null) onpick(trial);
    }
    brushing = null;
  });
  node.addEventListener("pointercancel", () => {
    brushing = null;
  });
  node.addEventListener("pointerleave", () => onhover(null));
  return canvas;
}
