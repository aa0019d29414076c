// How trials are told apart in curves and parallel coordinates: the best in orange, the selected in their colours.

import { surface } from "../shared/drawing.js";

/** A surface in two layers: all trials, painted when they change, and the one under the pointer, painted at each move. */
export function layered(label, className, drawAll, drawOne) {
  const kept = document.createElement("canvas");
  let state = "";
  const canvas = surface(label, className, (pen, width, height, look) => {
    const now = [width, height, window.devicePixelRatio, look.ink, look.paper, ...look.series].join();
    if (state !== now) {
      Object.assign(kept, { width: pen.canvas.width, height: pen.canvas.height });
      const below = kept.getContext("2d");
      below.setTransform(pen.getTransform());
      drawAll(below, width, height, look);
      state = now;
    }
    pen.drawImage(kept, 0, 0, width, height);
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

/** The CSS colour of each selected trial, by number. */
export function keysOf(selected) {
  return new Map(selected.map((number, k) => [number, `var(--calolab-series-${(k % 5) + 2})`]));
}

/** Call `stroke(row)` for every row, the plain ones first, with the pen in each row's colour and width. */
export function strokeAll(pen, rows, { best, selected, look }, stroke) {
  const marked = (row) => (row.number === best ? 1 : selected.includes(row.number) ? 2 : 0);
  const order = [...rows].sort((a, b) => marked(a) - marked(b));
  for (const row of order) {
    const place = selected.indexOf(row.number);
    pen.globalAlpha = marked(row) ? 1 : Math.min(Math.max(60 / rows.length, 0.08), 0.5);
    pen.strokeStyle = place >= 0 ? look.series[(place % 5) + 1] : row.number === best ? look.series[0] : look.faint;
    pen.fillStyle = pen.strokeStyle;
    pen.lineWidth = marked(row) ? 2.2 : 1;
    stroke(row);
  }
  pen.globalAlpha = 1;
}

/** Words in the middle of an empty drawing, with a rim in the paper's colour over what is there. */
export function sayEmpty(pen, width, height, look, text) {
  pen.fillStyle = look.faint;
  pen.strokeStyle = look.paper;
  pen.lineWidth = 6;
  pen.font = look.font(13);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.strokeText(text, width / 2, height / 2);
  pen.fillText(text, width / 2, height / 2);
}
