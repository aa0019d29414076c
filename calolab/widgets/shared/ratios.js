// Reference and generated histograms with bands, and their ratio below; what leaves the panel is marked at its border.

import { axes, band, clipped, number, steps } from "./drawing.js";

/** A histogram line with a band `half` above and below it, in the colours of a `role`. */
export function drawBand(pen, edges, middle, half, at, look, role) {
  pen.fillStyle = look[`${role}-fill`];
  band(pen, edges, middle, half, at);
  pen.strokeStyle = look[role];
  pen.lineWidth = 1.8;
  steps(pen, edges, middle, at);
}

/** The ratio of generated to reference in `box`; both are {middle, half}, `along` is the horizontal axis. */
export function drawRatio(pen, box, along, edges, reference, generated, look, label = "gen. / ref.") {
  const relative = (values) => values.map((value, k) => value / reference.middle[k]);
  const quotient = relative(generated.middle);
  const off = quotient.filter((value) => Number.isFinite(value) && Math.abs(value - 1) > 0.5).length;
  const vast = off > quotient.length / 4;
  const range = { low: vast ? 0 : 0.5, high: vast ? 2 : 1.5, label, ticks: vast ? [0, 1, 2] : [0.5, 1, 1.5] };
  const to = axes(pen, box, along, range, look);
  clipped(pen, box, () => {
    const one = quotient.map(() => 1);
    drawBand(pen, edges, one, relative(reference.half), to, look, "reference");
    drawBand(pen, edges, quotient, relative(generated.half), to, look, "generated");
    // A ratio beyond the panel is marked at its edge, not lost.
    pen.fillStyle = look.generated;
    quotient.forEach((value, k) => {
      const middle = (to.x(edges[k]) + to.x(edges[k + 1])) / 2;
      if (value > range.high) arrow(pen, middle, box.top + 1, 6);
      if (value < range.low) arrow(pen, middle, box.bottom - 1, -6);
    });
  });
}

/** What stands at a ratio panel. */
export function ratioLabel(names) {
  return ["reference", "real"].includes(names[0]) ? "gen. / ref." : `ratio to ${names[0]}`;
}

/** Arrows at the upper border of `box` over the `places` (pixels) whose `heights` exceed `high`, and how far they reach. */
export function markBeyond(pen, box, places, heights, high, name, colour, look, { unit = "", line = 0 } = {}) {
  const outside = heights.flatMap((height, k) => (height > high * (1 + 1e-6) ? [k] : []));
  if (!outside.length) return;
  pen.fillStyle = colour;
  for (const k of outside) arrow(pen, places[k], box.top + 1, 6);
  const most = outside.reduce((found, k) => Math.max(found, heights[k]), 0);
  outlined(pen, `${name} up to ${number(most)} ${unit}`.trim(), box.left + 6, box.top + 10 + 14 * line, "left", colour, look);
}

/** Arrows at the ends of the horizontal axis with the fractions of entries that stand in the outermost bins from beyond. */
export function markOverflow(pen, box, edges, x, [below, above], colour, look, line = 0) {
  const height = (box.top + box.bottom) / 2 + 15 * line;
  const [left, right] = [x(edges[1]) + 4, x(edges.at(-2)) - 4];
  if (above >= LEAST_BEYOND) outlined(pen, `${percent(above)} beyond ▸`, right, height, "right", colour, look);
  if (below >= LEAST_BEYOND) outlined(pen, `◂ ${percent(below)} beyond`, left, height, "left", colour, look);
}

// Smaller fractions beyond the edges are what any sample has in its tails.
const LEAST_BEYOND = 0.02;

function percent(fraction) {
  return `${fraction >= 0.095 ? (100 * fraction).toFixed(0) : Number((100 * fraction).toPrecision(2))} %`;
}

function outlined(pen, text, x, y, align, colour, look) {
  pen.font = look.font(11);
  pen.textAlign = align;
  pen.textBaseline = "top";
  pen.lineWidth = 3;
  pen.lineJoin = "round";
  pen.strokeStyle = look.paper;
  pen.strokeText(text, x, y);
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
}

function arrow(pen, x, y, size) {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - 4, y + size);
  pen.lineTo(x + 4, y + size);
  pen.fill();
}
