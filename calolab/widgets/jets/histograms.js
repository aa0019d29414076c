// Histograms of jets: real over generated events, with their ratio, in a binning and at a height that the reference sets.

import { axes, clipped, steps } from "../shared/drawing.js";
import { scaleTop } from "../shared/colours.js";
import { drawBand, drawRatio, markBeyond, markOverflow, ratioLabel } from "../shared/ratios.js";

export const ROLES = ["reference", "generated"];

/** One variable as Python's `histograms.histogram` describes it; `names` are what the roles are called. */
export function drawHistogram(pen, width, height, look, variable, panel, names) {
  const { edges, reference, generated, alone } = variable;
  const lower = generated ? 84 : 0;
  const box = { left: 58, top: 6, right: width - 18, bottom: height - 42 - lower };
  const integers = variable.name === "multiplicity";
  const along = {
    low: edges[0],
    high: edges.at(-1),
    label: variable.label,
    unit: variable.unit,
    bare: Boolean(generated),
    ...(integers && { ticks: wholeTicks(edges) }),
  };
  const sides = [reference, ...(generated ? [generated] : [])].map(({ contents, errors }) => ({
    middle: contents,
    half: errors,
  }));
  const highest = (values) => values.reduce((most, value) => Math.max(most, value), 0);
  const [first, ...others] = sides.map(({ middle, half }) => highest(middle.map((value, k) => value + half[k])));
  const high = 1.06 * scaleTop(first, Math.max(0, ...others, highest(alone?.contents ?? [])));
  const at = axes(pen, box, along, { low: 0, high, label: `fraction of ${variable.per}` }, look);
  panel.pick = (pixel) => Math.min(Math.max(edges.findIndex((edge) => pixel < at.x(edge)) - 1, 0), edges.length - 2);
  clipped(pen, box, () => {
    pen.globalAlpha = 0.45;
    pen.fillStyle = look["reference-fill"];
    reference.contents.forEach((value, k) => {
      const [left, right] = [Math.round(at.x(edges[k])), Math.round(at.x(edges[k + 1]))];
      pen.fillRect(left, at.y(value), right - left, box.bottom - at.y(value));
    });
    pen.globalAlpha = 1;
    sides.forEach(({ middle, half }, which) => drawBand(pen, edges, middle, half, at, look, ROLES[which]));
    if (alone) drawAlone();
    const middles = edges.slice(1).map((edge, k) => (at.x(edges[k]) + at.x(edge)) / 2);
    const shown = [...ROLES, "alone"].filter((role) => variable[role]);
    shown.forEach((role, k) => {
      const colour = role === "alone" ? look.series[1] : look[role];
      if (k) markBeyond(pen, box, middles, variable[role].contents, high, names[role], colour, look, { line: k - 1 });
      markOverflow(pen, box, edges, at.x, variable[role].beyond, colour, look, k);
    });
  });
  function drawAlone() {
    pen.strokeStyle = look.series[1];
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    steps(pen, edges, alone.contents, at);
    pen.setLineDash([]);
  }
  if (!generated) return;
  const below = { ...box, top: box.bottom + 12, bottom: box.bottom + lower - 2 };
  drawRatio(pen, below, { ...along, bare: false }, edges, ...sides, look, ratioLabel([names.reference]));
}

/** Whole numbers between the edges, every one or every few. */
function wholeTicks(edges) {
  const last = Math.floor(edges.at(-1));
  const step = Math.ceil((last + 1) / 10);
  return Array.from({ length: Math.floor(last / step) + 1 }, (_, k) => k * step);
}
