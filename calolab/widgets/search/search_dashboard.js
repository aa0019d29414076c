// SearchDashboard: the trials of a search as table, learning curves and parallel coordinates, with buttons to control it.

/** @import { Keys, RenderContext } from "../shared/types.js" */
/** @import { KernelTraits } from "./kernel_state.js" */
/** @import { Point } from "./learning_curves.js" */
/** @import { Axis } from "./parallel_coordinates.js" */
/** @import { ViewTraits } from "./trial_views.js" */
/** @import { Changes, Column, Parameter, Trial } from "./trials.js" */

import { armed, assign, dropdown, element, logChoice, messageBox, toggle, watch } from "../shared/controls.js";
import { frame, hint } from "../shared/frame.js";
import { number, plural } from "../shared/numbers.js";
import { isActive } from "../shared/states.js";
import { duration } from "../shared/times.js";
import { extent } from "../shared/values.js";
import { bestTable } from "./best_trials.js";
import { epochsForm } from "./epochs_form.js";
import { actionList, kernelState } from "./kernel_state.js";
import { learningCurves } from "./learning_curves.js";
import { parallelAxes, parallelCoordinates } from "./parallel_coordinates.js";
import { trialFilter } from "./trial_filter.js";
import { keysOf } from "./trial_lines.js";
import { trialSummary } from "./trial_summary.js";
import { trialTable } from "./trial_table.js";
import { trialViews } from "./trial_views.js";
import { actionsFor, columnsFor, ENDED, metricsOf, ranking, receiveTrials, setting, sorted } from "./trials.js";

/** @typedef {KernelTraits & ViewTraits & {
 *   title: string,
 *   direction: string,
 *   objective: string,
 *   space: Parameter[],
 *   requested: number,
 *   note: string,
 *   reason: string,
 *   message: string,
 *   metric: string,
 *   log: boolean,
 *   selected: number[],
 *   trials: Changes & { serial: number },
 *   changed: Changes & { serial?: number },
 * }} Traits
 */

const REDRAW_INTERVAL = 200; // shortest time between two updates of the display [ms]

/** @param {RenderContext<Traits>} context */
function render({ model, el }) {
  /** @type {Map<number, Trial>} */
  let rows = new Map();
  let serial = -1;
  /** @type {Trial[]} */
  let shown = [];
  /** @type {Axis[]} */
  let axes = [];
  /** @type {Trial | null} */
  let best = null;
  /** @type {number | null} */
  let hovered = null;
  /** @type {Point | null} */
  let point = null;
  /** @type {{ sort: string | null, falling: boolean }} */
  let order = { sort: null, falling: false };
  /** @type {ReturnType<typeof setTimeout> | 0} */
  let pending = 0;
  const objective = model.get("objective");

  const state = element("b", { class: "calolab-status" });
  const counts = element("span", { class: "calolab-grow" });
  const stopButton = armed({
    label: "Stop search",
    sure: "Really stop all trials?",
    title: "stop the running trials and start no others",
    onpress: () => act("stop", null),
  });
  const readout = element("output", { class: "calolab-readout" });
  const message = messageBox();
  const promotion = epochsForm(promote);
  const actions = actionList(model);
  const views = trialViews(model, actions);
  const kernel = kernelState(model, actions.isWaiting);
  const summary = trialSummary(model, objective, views);
  const ten = bestTable();
  const filter = trialFilter(() => refresh(), clearAll);
  const metricList = dropdown({
    label: "curves of",
    title: "metric of the curves",
    onpick: (metric) => assign(model, { metric }),
  });
  const scaleChoice = logChoice(model);
  const facts = () => ({
    rows: shown,
    empty: rows.size ? "no trial passes the filters" : "no trial yet",
    axes,
    brushes: filter.brushes,
    hovered,
    best: best?.number ?? null,
    metric: model.get("metric"),
    log: model.get("log"),
    selected: model.get("selected"),
  });
  const curves = learningCurves({
    facts,
    onpick: pick,
    onhover(nearest) {
      point = nearest;
      hover(nearest?.number ?? null);
    },
  });
  const parallel = parallelCoordinates({
    facts,
    onpick: pick,
    onhover: hover,
    onbrush(name, brush) {
      if (brush) filter.brushes.set(name, brush);
      else filter.brushes.delete(name);
      refresh();
    },
  });
  const table = trialTable({
    onpick: pick,
    onhover: hover,
    onact: act,
    onsort(name) {
      order = { sort: name, falling: order.sort === name && !order.falling };
      refresh();
    },
  });

  const bar = (/** @type {Node[]} */ ...children) => element("div", { class: "calolab-controls" }, ...children);
  /** @type {Keys} */
  const keys = {
    filter: { "/": () => filter.input.focus() },
    scale: { l: () => toggle(model, "log") },
    "show all": { Escape: () => (filter.isFiltering() || !promotion.node.hidden) && clearAll() },
  };
  const note =
    "Drag along an axis to filter, click on it to show all trials again. A click on a row or a curve selects a trial. " +
    hint("Keys in the table", table.keys);
  const root = frame(
    el,
    { name: "Search dashboard", keys, note },
    bar(state, counts, stopButton.node),
    bar(kernel.node),
    message.node,
    bar(summary.headline, summary.bestViews),
    views.node,
    bar(metricList.node, scaleChoice.node),
    element("div", { class: "calolab-pair" }, curves.node, parallel.node),
    readout,
    bar(...filter.nodes),
    promotion.node,
    table.node,
    actions.node,
    summary.selection,
    ten.node,
  );
  root.classList.add("calolab-search");

  function receiveAll() {
    const { serial: received, ...payload } = model.get("trials");
    rows = new Map();
    receiveTrials(rows, payload);
    serial = received;
    const last = model.get("changed");
    if (last.serial === serial + 1) receiveChanges();
    else schedule();
  }

  function receiveChanges() {
    const { serial: received, ...payload } = model.get("changed");
    if (received === undefined || received <= serial) return;
    // A message was missed, for instance while the page was closed: request all trials.
    if (received > serial + 1) return model.send({ type: "all" });
    receiveTrials(rows, payload);
    serial = received;
    schedule();
  }

  function schedule() {
    pending ||= setTimeout(() => {
      pending = 0;
      refresh();
    }, REDRAW_INTERVAL);
  }

  function refresh() {
    const ranked = ranking(rows, model.get("direction"));
    best = ranked[0] ?? null;
    const space = model.get("space");
    const columns = columnsFor(space, rows, objective);
    const all = [...rows.values()];
    axes = parallelAxes(space, all, objective, model.get("log"));
    const passing = filter.apply(all, columns, axes);
    const column = columns.find(({ name }) => name === order.sort);
    const falling = column ? order.falling : model.get("direction") === "maximize";
    shown = sorted(passing, column ?? columns[2], falling);
    showState();
    summary.showBest(best, all);
    ten.show(ranked.slice(0, 10), objective);
    summary.showSelected(rows);
    table.show({
      rows: shown,
      empty: facts().empty,
      columns,
      sort: (column ?? columns[2]).name,
      falling,
      keys: keysOf(model.get("selected")),
      actions: actionsFor,
      disabled: model.get("reason"),
    });
    const metrics = [...new Set([objective, ...metricsOf(rows)])];
    metricList.show(
      model.get("metric"),
      metrics.map((name) => [name, name]),
    );
    scaleChoice.show(model.get("log"));
    parallel.node.style.flexBasis = `${Math.max(380, 74 * axes.length)}px`;
    curves.redraw();
    parallel.redraw();
  }

  function showState() {
    const status = model.get("status");
    const all = [...rows.values()];
    const ended = all.filter((row) => ENDED.includes(row.status)).length;
    const begin = extent(all.flatMap(({ started }) => started ?? [])).low;
    const end = isActive(status) ? Date.now() / 1000 : extent(all.flatMap(({ ended: time }) => time ?? [])).high;
    const time = Number.isFinite(begin) && Number.isFinite(end) ? `, ${duration(end - begin)}` : "";
    state.textContent = status;
    state.dataset.status = status;
    const requested = Math.max(model.get("requested"), all.length);
    counts.textContent = `${ended} of ${plural(requested, "trial")} ended${time} · ${model.get("title")}`;
    const isOpen = all.some((row) => !ENDED.includes(row.status));
    stopButton.disable(model.get("reason") || (isOpen ? "" : "no trial is running or queued"));
    message.show([model.get("message"), model.get("reason") || model.get("note")].filter(Boolean).join("\n"));
  }

  /** @param {number | null} trial */
  function hover(trial) {
    if (trial !== point?.number) point = null;
    const row = trial == null ? null : rows.get(trial);
    readout.textContent = row ? description(row) : "";
    if (hovered === trial) return;
    hovered = trial;
    curves.hover();
    parallel.hover();
  }

  /** @param {Trial} row */
  function description(row) {
    const name = model.get("metric");
    const settings = Object.entries(row.parameters).map(([key, value]) => `${key} ${setting(value)}`);
    const epoch = point ? `epoch ${point.epoch}: ${name} ${number(point.value, 4)} · ` : "";
    const value = row.value == null ? row.status : `best ${number(row.value, 4)} at epoch ${row.best_epoch}`;
    return `trial ${row.number} · ${epoch}${value} · ${settings.join(", ")}`;
  }

  /** @param {number} trial */
  function pick(trial) {
    table.point(trial);
    const selected = model.get("selected");
    assign(model, {
      selected: selected.includes(trial) ? selected.filter((one) => one !== trial) : [...selected, trial],
    });
  }

  function clearAll() {
    promotion.close();
    filter.clear();
  }

  /** @param {string} action @param {number | null} trial */
  function act(action, trial) {
    if (action === "promote" && trial != null) return promotion.open(trial, rows.get(trial)?.epochs.length ?? 0);
    const name = action === "stop" ? "Stop" : "Restart";
    actions.request(`${name} ${trial == null ? "the search" : `trial ${trial}`}`, { type: "act", action, trial });
  }

  /** @param {number} trial @param {number} epochs */
  function promote(trial, epochs) {
    actions.request(`Promote trial ${trial} to ${epochs} epochs`, { type: "act", action: "promote", trial, epochs });
    table.node.focus();
  }

  const unwatch = [
    watch(model, ["trials"], receiveAll),
    watch(model, ["changed"], receiveChanges),
    watch(model, ["status", "reason", "note", "message", "metric", "log", "selected"], refresh),
    watch(model, ["view"], views.show),
  ];
  receiveAll();
  refresh();
  views.show();
  // The times of running trials advance.
  const ticking = setInterval(() => {
    showState();
    table.redraw();
  }, 1000);
  return () => {
    unwatch.forEach((stopWatching) => stopWatching());
    clearInterval(ticking);
    clearTimeout(pending);
    [curves, parallel, table, kernel, actions, stopButton].forEach((part) => part.remove());
  };
}

export default { render };
