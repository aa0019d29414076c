// ProfileExplorer: mean profiles with bands and ratio, and moments, of the showers in a range of incident energies.

import { axes, clipped, measured, number, plural, steps, surface, withUnit } from "../shared/drawing.js";
import { scaleTop } from "../shared/colours.js";
import { drawBand, drawRatio, markBeyond, ratioLabel } from "../shared/ratios.js";
import { axisLabel, axisSymbol, unpack } from "../shared/cells.js";
import { assign, choice, element, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { roundRange, statistics, summary, unfold } from "./statistics.js";

async function render({ model, el }) {
  const { space, profiles, samples, note } = model.get("about");
  const numbers = await unpack(model.get("numbers"));
  const columns = unfold(
    numbers,
    profiles,
    samples.map(({ energies }) => energies.length),
  );
  const names = samples.map(({ name }) => name);
  const roles = ["reference", "generated"];
  const whole = roundRange(samples.flatMap(({ energies }) => energies));
  let scene = null;

  function compose() {
    const [low, high] = model.get("energy_range");
    const chosen = samples.map(({ energies }) =>
      energies.flatMap((energy, event) => (energy >= low && energy <= high ? [event] : [])),
    );
    const shown = profiles.map(({ edges }, axis) =>
      samples.map((_, which) => statistics(columns[which][axis].profile, edges.length - 1, chosen[which])),
    );
    scene = { low, high, chosen, shown };
  }

  const panels = profiles.map((profile, axis) => {
    const label = `mean profile along ${axisSymbol(space, profile.axis)}${samples.length > 1 ? ` and ratio of ${names[1]} to ${names[0]}` : ""}`;
    const panel = surface(label, "calolab-profile", (pen, width, height, look) =>
      drawProfile(pen, width, height, look, profile, axis, panel),
    );
    panel.node.addEventListener("pointermove", (event) => tell(axis, panel.pick(event.offsetX)));
    panel.node.addEventListener("pointerleave", () => (readout.textContent = ""));
    return panel;
  });
  const spectrum = surface("incident energies and the chosen range", "calolab-spectrum", drawSpectrum);
  const handles = ["lowest", "highest"].map((which, end) =>
    element("input", {
      type: "range",
      min: 0,
      max: whole.count,
      step: 1,
      "aria-label": `${which} incident energy`,
      oninput: () => {
        const range = [...model.get("energy_range")];
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
  const scaleChoice = choice({
    label: "scale",
    options: [
      [false, "linear"],
      [true, "log"],
    ],
    onpick: (log) => assign(model, { log }),
  });
  const bandChoice = choice({
    label: "band",
    options: [
      [false, "error of the mean"],
      [true, "event to event"],
    ],
    onpick: (spread) => assign(model, { spread }),
  });

  const keys = {
    scale: { l: () => assign(model, { log: !model.get("log") }) },
    band: { b: () => assign(model, { spread: !model.get("spread") }) },
  };
  frame(
    el,
    { name: "Profile explorer", keys, note: `${note} Arrows move a range handle once it is clicked.` },
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

  /** Half the height of the band at each point: the error of the mean, or the spread of single showers. */
  const half = ({ spread, error }) => (model.get("spread") ? spread : error);

  function drawProfile(pen, width, height, look, { axis, edges }, which, panel) {
    const shown = scene.shown[which];
    const ratio = samples.length > 1;
    const lower = ratio ? 92 : 0;
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 42 - lower };
    const along = { low: edges[0], high: edges.at(-1), ...axisLabel(space, axis), bare: ratio };
    const tops = shown.map((one) => Math.max(0, ...one.mean.map((mean, k) => mean + (half(one)[k] || 0)).filter(Number.isFinite)));
    const top = scaleTop(...tops);
    const vertical = {
      label: "mean per slice",
      unit: space.unit,
      ...(model.get("log") ? { low: top * 1e-4, high: top * 2, log: true } : { low: 0, high: top * 1.06 }),
    };
    const at = axes(pen, box, along, vertical, look);
    panel.pick = (pixel) => Math.min(Math.max(edges.findIndex((edge) => pixel < at.x(edge)) - 1, 0), edges.length - 2);
    clipped(pen, box, () => {
      const middles = edges.slice(1).map((edge, k) => (at.x(edges[k]) + at.x(edge)) / 2);
      shown.forEach((one, k) => {
        drawBand(pen, edges, one.mean, half(one), at, look, roles[k]);
        markBeyond(pen, box, middles, one.mean, vertical.high, names[k], look[roles[k]], look, { unit: space.unit });
      });
    });
    if (!ratio) return;
    const below = { ...box, top: box.bottom + 10, bottom: box.bottom + 10 + lower - 14 };
    const [reference, generated] = shown;
    const sides = [reference, generated].map((one) => ({ middle: one.mean, half: half(one) }));
    drawRatio(pen, below, { ...along, bare: false }, edges, ...sides, look, ratioLabel(names));
  }

  function tell(axis, bin) {
    const { axis: name, edges } = profiles[axis];
    const unit = space.units[space.axes.indexOf(name)];
    const found = samples.map((sample, which) => {
      const { mean, error } = scene.shown[axis][which];
      return `${sample.name} ${measured(mean[bin], error[bin])} ${space.unit}`.trim();
    });
    const place = `${axisSymbol(space, name)} = ${bin}: ${number(edges[bin])} to ${number(edges[bin + 1])} ${unit}`.trim();
    readout.textContent = `${place} · ${found.join(" · ")}`;
  }

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
    const at = axes(
      pen,
      box,
      { ...whole, label: "incident energy", unit: "GeV" },
      { low: 0, high: Math.max(...counts.flat()) * 1.1, label: "showers", ticks: [] },
      look,
    );
    clipped(pen, box, () => {
      pen.fillStyle = look.grid;
      pen.fillRect(at.x(scene.low), box.top, at.x(scene.high) - at.x(scene.low), box.bottom - box.top);
      counts.forEach((bins, which) => {
        pen.strokeStyle = look[roles[which]];
        pen.lineWidth = 1.5;
        steps(pen, edges, bins, at);
      });
    });
  }

  function showTable() {
    const rows = [];
    profiles.forEach(({ axis, unit }, k) =>
      rows.push(
        [`mean ${axisSymbol(space, axis)}`, unit, (which) => columns[which][k].first],
        [`width in ${axisSymbol(space, axis)}`, unit, (which) => columns[which][k].width],
      ),
    );
    rows.push(["visible energy", space.unit, (which) => columns[which].visible]);
    const compared = samples.length > 1;
    const head = ["", ...samples.map(({ name }) => name), ...(compared ? ["difference", "significance"] : [])];
    const lines = rows.map(([name, unit, column]) => {
      const found = samples.map((_, which) => summary(column(which), scene.chosen[which]));
      const cells = found.map(({ mean, error }) => measured(mean, error));
      if (compared) {
        const difference = found[1].mean - found[0].mean;
        const error = Math.hypot(found[0].error, found[1].error);
        const significance = difference / error;
        cells.push(
          measured(difference, error),
          Number.isFinite(significance) ? `${significance.toFixed(1).replace(/^-0\.0$/, "0.0").replace("-", "−")} σ` : "–",
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
    compose();
    handles.forEach((handle, end) => {
      handle.value = whole.index(end ? scene.high : scene.low);
      handle.setAttribute("aria-valuetext", `${number(end ? scene.high : scene.low)} GeV`);
    });
    shownRange.textContent = `${number(scene.low)} to ${number(scene.high)} GeV`;
    legend.replaceChildren(
      ...samples.map(({ name }, which) =>
        element(
          "span",
          { class: `calolab-${roles[which]}` },
          element("b", {}, `― ${name}`),
          ` ${plural(scene.chosen[which].length, "shower")}`,
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
