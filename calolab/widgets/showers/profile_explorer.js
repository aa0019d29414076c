// ProfileExplorer: mean profiles with bands and ratio, and moments, of the showers in a range of incident energies.

/** @import { Look, Pen, RenderContext, Role, Space } from "../shared/types.js" */
/** @import { AxisColumns, Profile } from "./statistics.js" */

import { axes, wholeTicks } from "../shared/axes.js";
import { surface } from "../shared/canvas.js";
import { axisLabel, axisSymbol, unpack } from "../shared/cells.js";
import { scaleTop } from "../shared/colours.js";
import { assign, choice, element, logChoice, toggle, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { measured, number, plural, withMinus, withUnit } from "../shared/numbers.js";
import { drawBand, drawRatio, markBeyond, ratioLabel } from "../shared/ratios.js";
import { centres, clipped, drawEmpty, fillSteps, steps } from "../shared/shapes.js";
import { binAt, highest, last } from "../shared/values.js";
import { roundRange, statistics, summary, unfold } from "./statistics.js";

/** @typedef {{
 *   energy_range: [number, number],
 *   log: boolean,
 *   spread: boolean,
 *   about: { space: Space, profiles: Profile[], samples: { name: string, energies: number[] }[], note: string },
 *   numbers: DataView<ArrayBuffer>,
 * }} Traits
 */

/** @param {RenderContext<Traits>} context */
async function render({ model, el }) {
  const { space, profiles, samples, note } = model.get("about");
  const numbers = await unpack(model.get("numbers"));
  const columns = unfold(
    numbers,
    profiles,
    samples.map(({ energies }) => energies.length),
  );
  const names = samples.map(({ name }) => name);
  const roles = /** @type {Role[]} */ (["reference", "generated"]);
  const whole = roundRange(samples.flatMap(({ energies }) => energies));
  let scene = compose();
  /** The bin at a pixel of each panel, once it has been drawn.
   *
   * @type {((pixel: number) => number)[]}
   */
  const binsAt = [];

  function compose() {
    const [low, high] = model.get("energy_range");
    const selected = samples.map(({ energies }) =>
      energies.flatMap((energy, event) => (energy >= low && energy <= high ? [event] : [])),
    );
    const shown = profiles.map(({ edges }, axis) =>
      samples.map((_, which) => statistics(columns[which].axes[axis].profile, edges.length - 1, selected[which])),
    );
    return { low, high, selected, shown };
  }

  const panels = profiles.map((profile, axis) => {
    const label = `mean profile along ${axisSymbol(space, profile.axis)}${samples.length > 1 ? ` and ratio of ${names[1]} to ${names[0]}` : ""}`;
    const panel = surface(label, "calolab-profile", (pen, width, height, look) =>
      drawProfile(pen, width, height, look, axis),
    );
    panel.node.addEventListener("pointermove", (event) => showBin(axis, binsAt[axis]?.(event.offsetX)));
    panel.node.addEventListener("pointerleave", () => {
      readout.textContent = "";
    });
    return panel;
  });
  const spectrum = surface("incident energies and the chosen range", "calolab-spectrum", drawSpectrum);
  /** @type {HTMLInputElement[]} */
  const handles = ["lowest", "highest"].map((which, end) =>
    element("input", {
      type: "range",
      min: 0,
      max: whole.count,
      step: 1,
      "aria-label": `${which} incident energy`,
      oninput: () => {
        const range = /** @type {[number, number]} */ ([...model.get("energy_range")]);
        range[end] = whole.at(Number(handles[end].value));
        if (range[0] > range[1]) range[1 - end] = range[end];
        assign(model, { energy_range: range });
      },
    }),
  );
  const shownRange = element("output", { class: "calolab-value" });
  const legend = element("div", { class: "calolab-legend" });
  const readout = element("output", { class: "calolab-readout" });
  const table = element("table", { class: "calolab-table" });
  const scaleChoice = logChoice(model);
  const bandChoice = choice({
    label: "band",
    options: [
      [false, "error of the mean"],
      [true, "event to event"],
    ],
    onpick: (spread) => assign(model, { spread }),
  });

  const keys = {
    scale: { l: () => toggle(model, "log") },
    band: { b: () => toggle(model, "spread") },
  };
  frame(
    el,
    { name: "Profile explorer", keys, note: `${note} After a click on a range handle, the arrow keys move it.` },
    element("div", { class: "calolab-controls" }, legend, bandChoice.node, scaleChoice.node),
    element("div", { class: "calolab-panels" }, ...panels.map((panel) => element("figure", {}, panel.node))),
    readout,
    element(
      "div",
      { class: "calolab-controls" },
      element("span", {}, "showers with an incident energy of"),
      shownRange,
    ),
    element("div", { class: "calolab-range" }, ...handles),
    spectrum.node,
    table,
  );

  /** Half the height of the band in each bin: the error of the mean, or the standard deviation.
   *
   * @param {{ spread: number[], error: number[] }} statistics
   */
  const half = ({ spread, error }) => (model.get("spread") ? spread : error);

  /** @param {Pen} pen @param {number} width @param {number} height @param {Look} look @param {number} which */
  function drawProfile(pen, width, height, look, which) {
    const { axis, edges } = profiles[which];
    const shown = scene.shown[which];
    const ratio = samples.length > 1;
    const lower = ratio ? 92 : 0;
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 42 - lower };
    const along = { low: edges[0], high: last(edges), ...axisLabel(space, axis), bare: ratio };
    const [first, second = 0] = shown.map((one) => highest(one.mean.map((mean, k) => mean + (half(one)[k] || 0))));
    const top = scaleTop(first, second);
    const vertical = {
      label: "mean per slice",
      unit: space.unit,
      ...(model.get("log") ? { low: top * 1e-4, high: top * 2, log: true } : { low: 0, high: top * 1.06 }),
    };
    const at = axes(pen, box, along, vertical, look);
    binsAt[which] = (pixel) => binAt(edges.map(at.x), pixel);
    const isEmpty = scene.selected.every((events) => !events.length);
    if (isEmpty) drawEmpty(pen, box.left + box.right, box.top + box.bottom, look, "no shower in this range");
    clipped(pen, box, () => {
      const middles = centres(edges, at.x);
      shown.forEach((one, k) => {
        drawBand(pen, edges, one.mean, half(one), at, look, roles[k]);
        markBeyond(pen, box, middles, one.mean, vertical.high, names[k], look[roles[k]], look, { unit: space.unit });
      });
    });
    if (!ratio) return;
    const below = { ...box, top: box.bottom + 10, bottom: box.bottom + 10 + lower - 14 };
    const [reference, generated] = shown.map((one) => ({ middle: one.mean, half: half(one) }));
    drawRatio(pen, below, { ...along, bare: false }, edges, reference, generated, look, ratioLabel(names));
  }

  /** Show the means of a bin.
   *
   * @param {number} axis
   * @param {number | undefined} bin
   */
  function showBin(axis, bin) {
    if (bin == null) return;
    const { axis: name, edges } = profiles[axis];
    const unit = space.units[space.axes.indexOf(name)];
    const means = samples.map((sample, which) => {
      const { mean, error } = scene.shown[axis][which];
      return `${sample.name} ${measured(mean[bin], error[bin])} ${space.unit}`.trim();
    });
    const place =
      `${axisSymbol(space, name)} = ${bin}: ${number(edges[bin])} to ${number(edges[bin + 1])} ${unit}`.trim();
    readout.textContent = `${place} · ${means.join(" · ")}`;
  }

  /** @param {Pen} pen @param {number} width @param {number} height @param {Look} look */
  function drawSpectrum(pen, width, height, look) {
    const box = { left: 58, top: 2, right: width - 12, bottom: height - 40 };
    const nBins = 40;
    const edges = Array.from({ length: nBins + 1 }, (_, k) => whole.low + (k * (whole.high - whole.low)) / nBins);
    const counts = samples.map(({ energies }) => {
      const bins = new Array(nBins).fill(0);
      for (const energy of energies)
        bins[Math.min(Math.floor(((energy - whole.low) / (whole.high - whole.low)) * nBins), nBins - 1)] += 1;
      return bins;
    });
    const vertical = { low: 0, high: Math.max(...counts.flat()) * 1.1 };
    const at = axes(
      pen,
      box,
      { ...whole, label: "incident energy", unit: "GeV" },
      { ...vertical, label: "showers", ticks: wholeTicks(vertical, 2) },
      look,
    );
    clipped(pen, box, () => {
      pen.fillStyle = look.grid;
      pen.fillRect(at.x(scene.low), box.top, at.x(scene.high) - at.x(scene.low), box.bottom - box.top);
      // Generated showers often have the energies of the reference, whose line they would cover.
      pen.fillStyle = look["reference-fill"];
      fillSteps(pen, edges, counts[0], at);
      counts.forEach((bins, which) => {
        pen.strokeStyle = look[roles[which]];
        pen.lineWidth = 1.5;
        steps(pen, edges, bins, at);
      });
    });
  }

  function showTable() {
    const rows = profiles.flatMap(({ axis, unit }, k) => [
      { name: `mean ${axisSymbol(space, axis)}`, unit, values: columns.map(({ axes }) => axes[k].first) },
      { name: `width in ${axisSymbol(space, axis)}`, unit, values: columns.map(({ axes }) => axes[k].width) },
    ]);
    rows.push({ name: "visible energy", unit: space.unit, values: columns.map(({ visible }) => visible) });
    const compared = samples.length > 1;
    const head = ["", ...samples.map(({ name }) => name), ...(compared ? ["difference", "significance"] : [])];
    const lines = rows.map(({ name, unit, values }) => {
      const means = values.map((column, which) => summary(column, scene.selected[which]));
      const cells = means.map(({ mean, error }) => measured(mean, error));
      if (compared) {
        const difference = means[1].mean - means[0].mean;
        const error = Math.hypot(means[0].error, means[1].error);
        const significance = difference / error;
        cells.push(
          measured(difference, error),
          Number.isFinite(significance) ? `${withMinus(significance.toFixed(1).replace(/^-0\.0$/, "0.0"))} σ` : "–",
        );
      }
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, withUnit(name, unit)),
        ...cells.map((cell) => element("td", {}, cell)),
      );
    });
    table.replaceChildren(element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text))), ...lines);
  }

  function show() {
    scene = compose();
    handles.forEach((handle, end) => {
      handle.value = String(whole.index(end ? scene.high : scene.low));
      handle.setAttribute("aria-valuetext", `${number(end ? scene.high : scene.low)} GeV`);
    });
    shownRange.textContent = `${number(scene.low)} to ${number(scene.high)} GeV`;
    legend.replaceChildren(
      ...samples.map(({ name }, which) =>
        element(
          "span",
          { class: `calolab-${roles[which]}` },
          element("b", {}, `― ${name}`),
          ` ${plural(scene.selected[which].length, "shower")}`,
        ),
      ),
    );
    scaleChoice.show(model.get("log"));
    bandChoice.show(model.get("spread"));
    showTable();
    [...panels, spectrum].forEach((canvas) => canvas.redraw());
  }
  const unwatch = watch(model, ["energy_range", "log", "spread"], show);
  show();
  return () => {
    unwatch();
    [...panels, spectrum].forEach((canvas) => canvas.remove());
  };
}

export default { render };
