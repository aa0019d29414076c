// The lines of trials in curves and parallel coordinates: the best in orange, the selected ones in colours of their own.

/** @import { Draw, Look, Pen } from "../shared/types.js" */
/** @import { Trial } from "./trials.js" */

import { context, surface } from "../shared/canvas.js";
import { clamp } from "../shared/values.js";

/** @typedef {{ node: HTMLCanvasElement, redraw: () => void, hover: () => void, remove: () => void }} LayeredSurface */

/** A canvas in two layers: all trials, drawn when they change, and the one at the pointer, drawn at each move.
 *
 * @param {string} label
 * @param {string} className
 * @param {Draw} drawAll
 * @param {(pen: Pen, look: Look) => void} drawOne
 * @returns {LayeredSurface}
 */
export function layered(label, className, drawAll, drawOne) {
  const background = document.createElement("canvas");
  let state = "";
  const canvas = surface(label, className, (pen, width, height, look) => {
    const now = [width, height, window.devicePixelRatio, look.ink, look.paper, ...look.series].join();
    if (state !== now) {
      Object.assign(background, { width: pen.canvas.width, height: pen.canvas.height });
      const below = context(background);
      below.setTransform(pen.getTransform());
      drawAll(below, width, height, look);
      state = now;
    }
    pen.drawImage(background, 0, 0, width, height);
    drawOne(pen, look);
  });
  return {
    node: canvas.node,
    remove: canvas.remove,
    hover: canvas.redraw,
    redraw() {
      state = "";
      canvas.redraw();
    },
  };
}

/** The CSS colour of each selected trial, by number.
 *
 * @param {number[]} selected
 */
export function keysOf(selected) {
  return new Map(selected.map((one, k) => [one, `var(--calolab-series-${(k % 5) + 2})`]));
}

/** Call `stroke(row)` for every row with the colour and width of its line, the marked ones last.
 *
 * @template {{ number: number }} T
 * @param {Pen} pen
 * @param {T[]} rows
 * @param {{ best: number | null, selected: number[], look: Look }} marks
 * @param {(row: T) => void} stroke
 */
export function strokeAll(pen, rows, { best, selected, look }, stroke) {
  const marked = (/** @type {T} */ row) => (row.number === best ? 1 : selected.includes(row.number) ? 2 : 0);
  const order = [...rows].sort((a, b) => marked(a) - marked(b));
  for (const row of order) {
    const place = selected.indexOf(row.number);
    pen.globalAlpha = marked(row) ? 1 : clamp(60 / rows.length, 0.08, 0.5);
    pen.strokeStyle = place >= 0 ? look.series[(place % 5) + 1] : row.number === best ? look.series[0] : look.faint;
    pen.fillStyle = pen.strokeStyle;
    pen.lineWidth = marked(row) ? 2.2 : 1;
    stroke(row);
  }
  pen.globalAlpha = 1;
}
