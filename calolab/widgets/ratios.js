// Reference and generated histograms with bands, and their ratio below.

import { axes, band, clipped, steps } from "./drawing.js";

/** A histogram line with a band `half` above and below it, in the colours of `name`. */
export function drawBand(pen, edges, middle, half, at, look, name) {
  pen.fillStyle = look[`${name}-fill`];
  band(pen, edges, middle, half, at);
  pen.strokeStyle = look[name];
  pen.lineWidth = 1.8;
  steps(pen, edges, middle, at);
}

/** The ratio of generated to reference in `box`; both are {middle, half}, `along` is the horizontal axis. */
export function drawRatio(pen, box, along, edges, reference, generated, look) {
  const relative = (values) => values.map((value, k) => value / reference.middle[k]);
  const quotient = relative(generated.middle);
  const off = quotient.filter((value) => Number.isFinite(value) && Math.abs(value - 1) > 0.5).length;
  const vast = off > quotient.length / 4;
  const range = {
    low: vast ? 0 : 0.5,
    high: vast ? 2 : 1.5,
    label: "gen. / ref.",
    ticks: vast ? [0, 1, 2] : [0.5, 1, 1.5],
  };
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

function arrow(pen, x, y, size) {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - 4, y + size);
  pen.lineTo(x + 4, y + size);
  pen.fill();
}
