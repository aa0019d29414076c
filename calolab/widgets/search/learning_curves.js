// The learning curves of trials: one metric against the epoch.

import { axes, clipped, fineTicks, ticks } from "../shared/drawing.js";
import { layered, sayEmpty, strokeAll } from "./trial_lines.js";

const REACH = 40; // pixels from a curve at which the pointer still means it

/** The drawing; `facts()` gives {rows, metric, log, best, selected, hovered}, `onhover` the trial and epoch meant. */
export function learningCurves({ facts, onhover, onpick }) {
  let at = null;
  let drawn = [];

  function drawAll(pen, width, height, look) {
    const { rows, metric, log, best, selected } = facts();
    const usable = (value) => Number.isFinite(value) && (!log || value > 0);
    drawn = rows.flatMap((row) => {
      const points = (row.curves[metric] ?? []).flatMap((value, k) => (usable(value) ? [[row.epochs[k], value]] : []));
      return points.length ? [{ row, number: row.number, points }] : [];
    });
    at = null;
    if (!drawn.length) return sayEmpty(pen, width, height, look, reasonFor(rows, metric, log, facts().empty));
    const [along, up] = [0, 1].map((axis) => extent(drawn, axis));
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 40 };
    if (along.low === along.high) Object.assign(along, { low: along.low - 0.5, high: along.high + 0.5 });
    const vertical = log ? { low: up.low / 1.08, high: up.high * 1.08, log } : spread(up);
    const whole = ticks(along, Math.max(2, Math.round(width / 70))).filter(Number.isInteger);
    at = axes(
      pen,
      box,
      { ...along, label: "epoch", ticks: whole },
      { ...vertical, label: metric, ticks: fineTicks(vertical) },
      look,
    );
    clipped(pen, box, () => strokeAll(pen, drawn, { best, selected, look }, (one) => trace(pen, one.points)));
  }

  function trace(pen, points) {
    pen.beginPath();
    for (const [epoch, value] of points) pen.lineTo(at.x(epoch), at.y(value));
    pen.stroke();
    if (points.length > 1) return;
    pen.beginPath();
    pen.arc(at.x(points[0][0]), at.y(points[0][1]), 2.5, 0, 2 * Math.PI);
    pen.fill();
  }

  function drawOne(pen, look) {
    const meant = at && drawn.find(({ number }) => number === facts().hovered);
    if (!meant) return;
    pen.strokeStyle = look.ink;
    pen.fillStyle = look.ink;
    pen.lineWidth = 2.6;
    trace(pen, meant.points);
  }

  /** The trial and its point nearest to a place, or null. */
  function nearest(x, y) {
    let [found, least] = [null, REACH];
    if (!at) return null;
    for (const { row, points } of drawn) {
      for (const [epoch, value] of points) {
        const away = Math.hypot(at.x(epoch) - x, at.y(value) - y);
        if (away < least) [found, least] = [{ number: row.number, epoch, value }, away];
      }
    }
    return found;
  }

  const canvas = layered("learning curves of the trials shown", "calolab-curves", drawAll, drawOne);
  canvas.node.addEventListener("pointermove", (event) => onhover(nearest(event.offsetX, event.offsetY)));
  canvas.node.addEventListener("pointerleave", () => onhover(null));
  canvas.node.addEventListener("click", (event) => {
    const found = nearest(event.offsetX, event.offsetY);
    if (found) onpick(found.number);
  });
  return canvas;
}

/** Why there is no curve. */
function reasonFor(rows, metric, log, empty) {
  if (!rows.length) return empty;
  const values = rows.flatMap(({ curves }) => curves[metric] ?? []).filter(Number.isFinite);
  if (values.length) return `no value of ${metric} above 0: choose the linear scale`;
  return rows.some(({ epochs }) => epochs.length) ? `no trial has reported ${metric}` : "no trial has ended an epoch";
}

function extent(drawn, axis) {
  let [low, high] = [Infinity, -Infinity];
  for (const { points } of drawn) {
    for (const point of points) {
      low = Math.min(low, point[axis]);
      high = Math.max(high, point[axis]);
    }
  }
  return { low, high };
}

/** A range with some room around it. */
function spread({ low, high }) {
  const room = 0.05 * (high - low || Math.abs(high) || 1);
  return { low: low - room, high: high + room };
}
