// Parallel coordinates: an axis for each parameter and one for the metric, a line for each trial; brushing filters.

import { fineTicks, line, number, scale } from "../shared/drawing.js";
import { setting } from "./trials.js";
import { layered, sayEmpty, strokeAll } from "./trial_lines.js";

const NEAR = 14; // pixels from an axis at which the pointer brushes it
const REACH_LINE = 10; // pixels from a line at which it is meant

/** The axes: {name, log, place(row)} where `place` is 0 at the foot, 1 at the top, null without a value. */
export function parallelAxes(space, rows, objective, log) {
  const known = new Set(space.map(({ name }) => name));
  const more = new Set(rows.flatMap(({ parameters }) => Object.keys(parameters)).filter((name) => !known.has(name)));
  const parameters = [...space, ...[...more].map((name) => ({ name }))].map((one) => {
    const read = (row) => row.parameters[one.name];
    const values = rows.map(read).filter((value) => value != null);
    const texts = values.some((value) => typeof value !== "number") || one.choices?.some((v) => typeof v !== "number");
    if (one.choices || texts) return choiceAxis(one.name, read, one.choices ?? [], values);
    return rangeAxis(one.name, read, [one.low, one.high, ...values].filter(Number.isFinite), one.log);
  });
  const reached = rows.map(({ value }) => value).filter((value) => value != null);
  const bends = log && reached.length > 0 && reached.every((value) => value > 0);
  return [...parameters, { ...rangeAxis(objective, ({ value }) => value, reached, bends), last: true }];
}

function choiceAxis(name, read, choices, values) {
  const all = [...new Set([...choices, ...values])];
  if (all.every((value) => typeof value === "number")) all.sort((a, b) => a - b);
  const height = (value) => (all.length > 1 ? all.indexOf(value) / (all.length - 1) : 0.5);
  const place = (row) => (all.includes(read(row)) ? height(read(row)) : null);
  return { name, place, ticks: all.map((value) => [height(value), short(setting(value))]) };
}

function rangeAxis(name, read, values, log) {
  if (!values.length) return { name, log: false, place: () => null, ticks: [] };
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = 0.1 * Math.abs(low) || 0.5;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - room, high + room];
  const at = scale({ low, high, log }, 0, 1);
  const place = (row) => (read(row) == null ? null : at(read(row)));
  const text = (value) => (Math.abs(value) < 1e-2 || Math.abs(value) >= 1e5 ? number(value, 1).replace(/^1×/, "") : setting(value));
  return { name, log, place, ticks: fineTicks({ low, high, log }, 4).map((value) => [at(value), text(value)]) };
}

const short = (text) => (text.length > 11 ? `${text.slice(0, 10)}…` : text);

/** Whether a row lies inside all brushes, a map from an axis's name to {low, high}. */
export function insideBrushes(row, axes, brushes) {
  return axes.every(({ name, place }) => {
    const brush = brushes.get(name);
    if (!brush) return true;
    const height = place(row);
    return height != null && height >= brush.low - 1e-9 && height <= brush.high + 1e-9;
  });
}

/** The drawing; `facts()` gives {rows, axes, brushes, best, selected, hovered}; `onbrush(name, brush)` sets or clears. */
export function parallelCoordinates({ facts, onhover, onpick, onbrush }) {
  let lines = [];
  let spots = [];
  let top = 0;
  let foot = 1;
  let brushing = null;

  function drawAll(pen, width, height, look) {
    const { rows, axes, brushes, best, selected } = facts();
    pen.font = look.font(12);
    const room = (width - 96) / Math.max(axes.length - 1, 1);
    // Names that would touch each other take turns in two lines.
    const crowded = axes.some(({ name }) => pen.measureText(name).width > room - 8);
    [top, foot] = [crowded ? 44 : 28, height - 14];
    spots = axes.map((_, k) => 52 + k * room);
    lines = rows.map((row) => ({ number: row.number, points: axes.map(({ place }) => place(row)) }));
    strokeAll(pen, lines, { best, selected, look }, ({ points }) => trace(pen, points));
    axes.forEach((axis, k) => drawAxis(pen, axis, spots[k], crowded && k % 2 === 0, brushes.get(axis.name), look));
    if (!rows.length) sayEmpty(pen, width, height, look, facts().empty);
  }

  const heightAt = (place) => foot - place * (foot - top);

  function trace(pen, points) {
    pen.beginPath();
    points.forEach((place, k) => place != null && pen.lineTo(spots[k], heightAt(place)));
    pen.stroke();
  }

  function drawAxis(pen, { name, ticks, last }, x, raised, brush, look) {
    pen.strokeStyle = look.ink;
    pen.lineWidth = last ? 2 : 1;
    line(pen, x, top, x, foot);
    pen.font = look.font(11);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    pen.lineJoin = "round";
    for (const [place, text] of ticks) {
      const y = heightAt(place);
      pen.lineWidth = 1;
      pen.strokeStyle = look.ink;
      line(pen, x - 4, y, x, y);
      // A rim in the paper's colour keeps the text readable over the lines.
      pen.strokeStyle = look.paper;
      pen.lineWidth = 3;
      pen.strokeText(text, x - 6, y);
      pen.fillStyle = look.ink;
      pen.fillText(text, x - 6, y);
    }
    pen.font = `${last ? "bold " : ""}${look.font(12)}`;
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.fillText(name, x, top - (raised ? 24 : 8));
    if (!brush) return;
    pen.globalAlpha = 0.35;
    pen.fillStyle = look.accent;
    pen.fillRect(x - 7, heightAt(brush.high), 14, heightAt(brush.low) - heightAt(brush.high));
    pen.globalAlpha = 1;
  }

  function drawOne(pen, look) {
    const meant = lines.find(({ number: one }) => one === facts().hovered);
    if (!meant) return;
    pen.strokeStyle = look.ink;
    pen.lineWidth = 2.6;
    trace(pen, meant.points);
  }

  const axisAt = (x) => spots.findIndex((spot) => Math.abs(spot - x) < NEAR);
  const placeAt = (y) => Math.min(Math.max((foot - y) / (foot - top), 0), 1);

  /** The number of the trial whose line passes nearest to a place, or null. */
  function nearest(x, y) {
    const k = spots.findIndex((spot, which) => which + 1 < spots.length && x >= spot && x <= spots[which + 1]);
    if (k < 0) return null;
    const part = (x - spots[k]) / (spots[k + 1] - spots[k]);
    let [found, least] = [null, REACH_LINE];
    for (const { number: one, points } of lines) {
      if (points[k] == null || points[k + 1] == null) continue;
      const away = Math.abs(heightAt(points[k] + part * (points[k + 1] - points[k])) - y);
      if (away < least) [found, least] = [one, away];
    }
    return found;
  }

  const canvas = layered("parameters of the trials shown, and their result", "calolab-parallel", drawAll, drawOne);
  const node = canvas.node;
  node.addEventListener("pointerdown", (event) => {
    const k = axisAt(event.offsetX);
    if (k < 0) return;
    node.setPointerCapture(event.pointerId);
    brushing = { name: facts().axes[k].name, from: event.offsetY, to: event.offsetY };
  });
  node.addEventListener("pointermove", (event) => {
    node.style.cursor = axisAt(event.offsetX) >= 0 ? "ns-resize" : "pointer";
    if (!brushing) return onhover(nearest(event.offsetX, event.offsetY));
    brushing.to = event.offsetY;
    const ends = [placeAt(brushing.from), placeAt(brushing.to)];
    if (Math.abs(brushing.to - brushing.from) > 3)
      onbrush(brushing.name, { low: Math.min(...ends), high: Math.max(...ends) });
  });
  node.addEventListener("pointerup", (event) => {
    if (brushing && Math.abs(brushing.to - brushing.from) <= 3) onbrush(brushing.name, null);
    if (!brushing) {
      const found = nearest(event.offsetX, event.offsetY);
      if (found != null) onpick(found);
    }
    brushing = null;
  });
  node.addEventListener("pointercancel", () => (brushing = null));
  node.addEventListener("pointerleave", () => onhover(null));
  return canvas;
}
