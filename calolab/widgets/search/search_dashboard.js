// SearchDashboard: the trials of a search as table, learning curves and parallel coordinates, and buttons to steer it.

import { number } from "../shared/drawing.js";
import { armed, assign, button, dropdown, element, logChoice, watch } from "../shared/controls.js";
import { frame, hint } from "../shared/frame.js";
import { learningCurves } from "./learning_curves.js";
import { epochsForm } from "./epochs_form.js";
import { insideBrushes, parallelAxes, parallelCoordinates } from "./parallel_coordinates.js";
import { answerList, kernelPulse } from "./kernel_pulse.js";
import { bestTable } from "./best_trials.js";
import { duration } from "../shared/times.js";
import { keysOf } from "./trial_lines.js";
import { trialTable } from "./trial_table.js";
import { trialViews } from "./trial_views.js";
import {
  actionsFor,
  columnsFor,
  ENDED,
  matcher,
  metricsOf,
  ranking,
  receiveTrials,
  setting,
  sorted,
  STATUSES,
} from "./trials.js";

const REDRAW = 200; // milliseconds between two redrawings while messages pour in

function render({ model, el }) {
  let rows = new Map();
  let serial = -1;
  let columns = [];
  let shown = [];
  let axes = [];
  let best = null;
  let hovered = null;
  let point = null;
  let order = { sort: null, falling: false };
  let pending = 0;
  const brushes = new Map();
  const statuses = new Set();
  const objective = model.get("objective");

  const state = element("b", { class: "calolab-status" });
  const counts = element("span", { class: "calolab-grow" });
  const halt = armed({
    label: "Stop search",
    sure: "Really stop all trials?",
    title: "end the running trials and start no other",
    onpress: () => act("stop", null),
  });
  const headline = element("span", { class: "calolab-grow" });
  const bestViews = element("span", { class: "calolab-views" });
  const readout = element("output", { class: "calolab-readout" });
  const message = element("pre", { class: "calolab-message", role: "alert" });
  const chosen = element("div", { class: "calolab-chosen" });
  const shownCount = element("span");
  const asking = epochsForm(promote);
  const answers = answerList(model);
  const views = trialViews(model, answers);
  const pulse = kernelPulse(model, () => answers.waiting());
  const ten = bestTable();
  const filter = element("input", {
    type: "search",
    placeholder: "filter: text, or lr<0.001",
    "aria-label": "filter the trials by text, or by a column as in lr<0.001 or status=failed (key: /)",
    oninput: () => refresh(),
  });
  const clear = button({ label: "Clear filters", title: "show all trials (key: Escape)", onpress: clearAll });
  const metricList = dropdown({
    label: "curves of",
    title: "metric of the curves",
    onpick: (metric) => assign(model, { metric }),
  });
  const scaleChoice = logChoice(model);
  const toggles = STATUSES.map((name) => ({
    name,
    node: button({ label: name, className: "calolab-toggle", onpress: () => toggle(name) }),
  }));
  const facts = () => ({
    rows: shown,
    empty: rows.size ? "no trial passes the filters" : "no trial yet",
    axes,
    brushes,
    hovered,
    best: best?.number ?? null,
    metric: model.get("metric"),
    log: model.get("log"),
    selected: model.get("selected"),
  });
  const curves = learningCurves({
    facts,
    onpick: pick,
    onhover(found) {
      point = found;
      hover(found?.number ?? null);
    },
  });
  const parallel = parallelCoordinates({
    facts,
    onpick: pick,
    onhover: hover,
    onbrush(name, brush) {
      if (brush) brushes.set(name, brush);
      else brushes.delete(name);
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

  const bar = (...children) => element("div", { class: "calolab-controls" }, ...children);
  const keys = {
    filter: { "/": () => filter.focus() },
    scale: { l: () => assign(model, { log: !model.get("log") }) },
    "show all": { Escape: () => !(clear.disabled && asking.node.hidden) && clearAll() },
  };
  const note =
    "Drag along an axis to filter, click on it to show all again. A click on a row or a curve selects. " +
    hint("Keys in the table", table.keys);
  const root = frame(
    el,
    { name: "Search dashboard", keys, note },
    bar(state, counts, halt.node),
    bar(pulse.node),
    message,
    bar(headline, bestViews),
    views.node,
    bar(metricList.node, scaleChoice.node),
    element("div", { class: "calolab-pair" }, curves.node, parallel.node),
    readout,
    bar(filter, ...toggles.map(({ node }) => node), clear, shownCount),
    asking.node,
    table.node,
    answers.node,
    chosen,
    ten.node,
  );
  root.classList.add("calolab-search");

  function receive() {
    const { serial: now, ...payload } = model.get("trials");
    rows = new Map();
    receiveTrials(rows, payload);
    serial = now;
    const last = model.get("changed");
    if (last.serial === serial + 1) take();
    else schedule();
  }

  function take() {
    const { serial: now, ...payload } = model.get("changed");
    if (now === undefined || now <= serial) return;
    // One that was missed, for instance while the page was away: ask for all.
    if (now > serial + 1) return model.send({ type: "all" });
    receiveTrials(rows, payload);
    serial = now;
    schedule();
  }

  function schedule() {
    pending ||= setTimeout(() => {
      pending = 0;
      refresh();
    }, REDRAW);
  }

  function refresh() {
    const ranked = ranking(rows, model.get("direction"));
    best = ranked[0] ?? null;
    const space = model.get("space");
    columns = columnsFor(space, rows, objective);
    axes = parallelAxes(space, [...rows.values()], objective, model.get("log"));
    const fits = matcher(filter.value, columns);
    const passing = [...rows.values()].filter((row) => fits(row) && insideBrushes(row, axes, brushes));
    const open = passing.filter(({ status }) => !statuses.size || statuses.has(status));
    const column = columns.find(({ name }) => name === order.sort);
    const falling = column ? order.falling : model.get("direction") === "maximize";
    shown = sorted(open, column ?? columns[2], falling);
    showState();
    showFilters(passing);
    showBest(ranked);
    showChosen();
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
    metricList.show(
      model.get("metric"),
      [...new Set([objective, ...metricsOf(rows)])].map((name) => [name, name]),
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
    const begun = Math.min(...all.flatMap(({ started }) => started ?? []));
    const until = ["running", "stopping"].includes(status) ? Date.now() / 1000 : Math.max(...all.flatMap(({ ended: at }) => at ?? []));
    const time = Number.isFinite(begun) && Number.isFinite(until) ? `, ${duration(until - begun)}` : "";
    state.textContent = status;
    state.dataset.status = status;
    const asked = Math.max(model.get("asked"), all.length);
    counts.textContent = `${ended} of ${asked} trial${asked === 1 ? "" : "s"} ended${time} · ${model.get("title")}`;
    const going = all.some((row) => !ENDED.includes(row.status));
    halt.disable(model.get("reason") || (going ? "" : "no trial is running or queued"));
    message.textContent = [model.get("message"), model.get("reason") || model.get("note")].filter(Boolean).join("\n");
    message.hidden = !message.textContent;
  }

  function showFilters(passing) {
    for (const { name, node } of toggles) {
      const count = passing.filter(({ status }) => status === name).length;
      const text = `${name} ${count}`;
      if (node.textContent !== text) node.textContent = text;
      node.hidden = !count && !statuses.has(name);
      node.dataset.status = name;
      node.setAttribute("aria-pressed", String(statuses.has(name)));
    }
    clear.disabled = !(filter.value || statuses.size || brushes.size);
    shownCount.textContent = clear.disabled ? "" : `${shown.length} of ${rows.size} trials shown`;
  }

  function showBest(ranked) {
    if (!best) headline.textContent = noResult();
    else {
      const settings = Object.entries(best.parameters).map(([name, value]) => `${name} ${setting(value)}`);
      const epoch = best.best_epoch == null ? "" : ` at epoch ${best.best_epoch}`;
      headline.replaceChildren(
        element("b", { class: "calolab-generated" }, `Best so far: trial ${best.number}`),
        ` · ${objective} `,
        element("b", {}, number(best.value, 4)),
        `${epoch} (${model.get("direction") === "maximize" ? "higher" : "lower"} is better) · ${settings.join(", ")}`,
      );
    }
    views.offer(bestViews, best);
    ten.show(ranked.slice(0, 10), columns, objective);
  }

  /** Why there is no best trial. */
  function noResult() {
    const all = [...rows.values()];
    if (!all.length) return "No trial has begun yet.";
    if (!all.every(({ status }) => ENDED.includes(status))) return "No trial has a result yet.";
    const kinds = ENDED.map((name) => [all.filter(({ status }) => status === name).length, name]);
    return `No trial has a result: ${kinds.flatMap(([count, name]) => (count ? `${count} ${name}` : [])).join(", ")}.`;
  }

  function showChosen() {
    const selected = model.get("selected").flatMap((one) => rows.get(one) ?? []);
    const keys = keysOf(model.get("selected"));
    const lines = selected.slice(-5).map((row) => {
      const buttons = element("span", { class: "calolab-views" });
      views.offer(buttons, row);
      const value = row.value == null ? "no result yet" : `${objective} ${number(row.value, 4)}`;
      const said = row.error ? element("pre", {}, row.error) : "";
      const name = element("b", { style: `--calolab-key: ${keys.get(row.number)}` }, `trial ${row.number}`);
      return element("div", {}, name, ` ${row.status}, ${value} `, buttons, said);
    });
    const key = JSON.stringify(selected.map(({ number: one, status, value, error }) => [one, status, value, error]));
    if (chosen.dataset.key === key) return;
    chosen.dataset.key = key;
    chosen.replaceChildren(...lines);
  }

  function hover(found) {
    if (found !== point?.number) point = null;
    const row = rows.get(found);
    readout.textContent = row ? tell(row) : "";
    if (hovered === found) return;
    hovered = found;
    curves.hover();
    parallel.hover();
  }

  function tell(row) {
    const name = model.get("metric");
    const settings = Object.entries(row.parameters).map(([key, value]) => `${key} ${setting(value)}`);
    const here = point ? `epoch ${point.epoch}: ${name} ${number(point.value, 4)} · ` : "";
    const value = row.value == null ? row.status : `best ${number(row.value, 4)} at epoch ${row.best_epoch}`;
    return `trial ${row.number} · ${here}${value} · ${settings.join(", ")}`;
  }

  function pick(found) {
    table.point(found);
    const selected = model.get("selected");
    assign(model, {
      selected: selected.includes(found) ? selected.filter((one) => one !== found) : [...selected, found],
    });
  }

  function toggle(name) {
    if (!statuses.delete(name)) statuses.add(name);
    refresh();
  }

  function clearAll() {
    filter.value = "";
    statuses.clear();
    brushes.clear();
    asking.close();
    refresh();
  }

  function act(action, trial) {
    if (action === "promote") return asking.open(trial, rows.get(trial).epochs.length);
    const name = action === "stop" ? "Stop" : "Restart";
    answers.ask(`${name} ${trial == null ? "the search" : `trial ${trial}`}`, { type: "act", action, trial });
  }

  function promote(trial, epochs) {
    answers.ask(`Promote trial ${trial} to ${epochs} epochs`, { type: "act", action: "promote", trial, epochs });
    table.node.focus();
  }

  const unwatch = [
    watch(model, ["trials"], receive),
    watch(model, ["changed"], take),
    watch(model, ["status", "reason", "note", "message", "metric", "log", "selected"], refresh),
    watch(model, ["view"], views.show),
  ];
  receive();
  refresh();
  views.show();
  // The times of running trials go on.
  const ticking = setInterval(() => {
    showState();
    table.redraw();
  }, 1000);
  return () => {
    unwatch.forEach((end) => end());
    clearInterval(ticking);
    clearTimeout(pending);
    [curves, parallel, table, pulse, answers, halt].forEach((part) => part.remove());
  };
}

export default { render };
