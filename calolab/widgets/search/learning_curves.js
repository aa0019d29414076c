// The learning curves of trials: one metric against the epoch.

/** @import { Look, Pen, Range, Scales } from "../shared/types.js" */
/** @import { LayeredSurface } from "./trial_lines.js" */
/** @import { Trial } from "./trials.js" */

import { axes, fineTicks, wholeTicks } from "../shared/axes.js";
import { clipped, curve, drawEmpty } from "../shared/shapes.js";
import { extent } from "../shared/values.js";
import { layered, strokeAll } from "./trial_lines.js";

/** @typedef {{
 *   rows: Trial[],
 *   empty: string,
 *   metric: string,
 *   log: boolean,
 *   best: number | null,
 *   selected: number[],
 *   hovered: number | null,
 * }} Facts
 */
/** @typedef {{ number: number, epoch: number, value: number }} Point */
/** @typedef {{ row: Trial, number: number, points: [number, number][] }} Curve */

const REACH = 40; // largest distance of the pointer from a curve that it selects [pixels]

/** The canvas of the learning curves; `onhover` receives the nearest point of a trial.
 *
 * @param {{
 *   facts: () => Facts,
 *   onhover: (point: Point | null) => void,
 *   onpick: (number: number) => void,
 * }} options
 * @returns {LayeredSurface}
 */
export function learningCurves({ facts, onhover, onpick }) {
  /** @type {Scales | null} */
  let at = null;
  /** @type {Curve[]} */
  let drawn = [];

  /** @param {Pen} pen @param {number} width @param {number} height @param {Look} look */
  function drawAll(pen, width, height, look) {
    const { rows, metric, log, best, selected } = facts();
    const isDrawable = (/** @type {number} */ value) => Number.isFinite(value) && (!log || value > 0);
    drawn = rows.flatMap((row) => {
      const points = (row.curves[metric] ?? []).flatMap((value, k) =>
        isDrawable(value) ? [/** @type {[number, number]} */ ([row.epochs[k], value])] : [],
      );
      return points.length ? [{ row, number: row.number, points }] : [];
    });
    at = null;
    if (!drawn.length) return drawEmpty(pen, width, height, look, reasonFor(rows, metric, facts().empty));
    const [along, up] = [0, 1].map((axis) => extent(drawn.flatMap(({ points }) => points.map((point) => point[axis]))));
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 40 };
    if (along.low === along.high) Object.assign(along, { low: along.low - 0.5, high: along.high + 0.5 });
    const vertical = log ? { low: up.low / 1.08, high: up.high * 1.08, log } : withMargin(up);
    at = axes(
      pen,
      box,
      { ...along, label: "epoch", ticks: wholeTicks(along, width / 70) },
      { ...vertical, label: metric, ticks: fineTicks(vertical) },
      look,
    );
    const scales = at;
    clipped(pen, box, () => {
      strokeAll(pen, drawn, { best, selected, look }, ({ points }) => trace(pen, scales, points));
    });
  }

  /** @param {Pen} pen @param {Scales} scales @param {[number, number][]} points */
  function trace(pen, { x, y }, points) {
    curve(
      pen,
      points.map(([epoch]) => x(epoch)),
      points.map(([, value]) => y(value)),
    );
  }

  /** @param {Pen} pen @param {Look} look */
  function drawOne(pen, look) {
    const hovered = drawn.find(({ number }) => number === facts().hovered);
    if (!at || !hovered) return;
    pen.strokeStyle = look.ink;
    pen.lineWidth = 2.6;
    trace(pen, at, hovered.points);
  }

  /** The point nearest to a place of the canvas, or null.
   *
   * @param {number} x
   * @param {number} y
   */
  function pointNear(x, y) {
    /** @type {Point | null} */
    let closest = null;
    let least = REACH;
    if (!at) return null;
    for (const { row, points } of drawn) {
      for (const [epoch, value] of points) {
        const distance = Math.hypot(at.x(epoch) - x, at.y(value) - y);
        if (distance < least) [closest, least] = [{ number: row.number, epoch, value }, distance];
      }
    }
    return closest;
  }

  const canvas = layered("learning curves of the displayed trials", "calolab-curves", drawAll, drawOne);
  canvas.node.addEventListener("pointermove", (event) => onhover(pointNear(event.offsetX, event.offsetY)));
  canvas.node.addEventListener("pointerleave", () => onhover(null));
  canvas.node.addEventListener("click", (event) => {
    const point = pointNear(event.offsetX, event.offsetY);
    if (point) onpick(point.number);
  });
  return canvas;
}

/** Why there is no curve.
 *
 * @param {Trial[]} rows
 * @param {string} metric
 * @param {string} empty
 */
function reasonFor(rows, metric, empty) {
  if (!rows.length) return empty;
  const values = rows.flatMap(({ curves }) => curves[metric] ?? []).filter(Number.isFinite);
  if (values.length) return `no value of ${metric} above 0: select the linear scale`;
  return rows.some(({ epochs }) => epochs.length)
    ? `no trial has reported ${metric}`
    : "no trial has completed an epoch";
}

/** A range with a margin.
 *
 * @param {Range} range
 */
function withMargin({ low, high }) {
  const margin = 0.05 * (high - low || Math.abs(high) || 1);
  return { low: low - margin, high: high + margin };
}
