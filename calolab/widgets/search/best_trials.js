// The ten best trials with all their scores, in the form of the published table of RPV scans.

/** @import { Trial } from "./trials.js" */

import { element } from "../shared/controls.js";
import { number } from "../shared/numbers.js";
import { atBest, setting } from "./trials.js";

/** The table; `show` sets the trials, best first. */
export function bestTable() {
  const table = element("table", { class: "calolab-table", "aria-label": "ten best trials" });
  const node = element(
    "details",
    { class: "calolab-ten" },
    element("summary", {}, "Ten best trials, all scores"),
    table,
  );
  node.open = true;
  let shown = "";

  /** @param {Trial[]} best @param {string} objective */
  function show(best, objective) {
    const scores = best.map(atBest);
    const all = [...new Set(scores.flatMap(Object.keys))];
    // The scores if the trials report any, otherwise all metrics; the metric to optimise is last.
    const rated = all.filter((name) => best.some((row) => row.scores.includes(name)));
    const reported = rated.length ? rated : all.filter((name) => name !== "time");
    const metrics = [...reported.filter((name) => name !== objective).slice(0, 8), objective];
    const parameters = [...new Set(best.flatMap((row) => Object.keys(row.parameters)))];
    const heads = ["rank", "trial", ...parameters, "epoch", ...metrics];
    const lines = best.map((row, k) => [
      String(k + 1),
      String(row.number),
      ...parameters.map((name) => setting(row.parameters[name])),
      row.best_epoch == null ? "–" : String(row.best_epoch),
      ...metrics.map((name) => number((name === objective ? row.value : scores[k][name]) ?? NaN)),
    ]);
    const key = JSON.stringify([heads, lines]);
    node.hidden = !best.length;
    if (key === shown) return;
    shown = key;
    // A zero-width space allows a line break after each underscore of a long name.
    const titles = heads.map((text) => text.replaceAll("_", "_\u200b"));
    const head = element("tr", {}, ...titles.map((text) => element("th", { scope: "col" }, text)));
    const body = lines.map((cells) => element("tr", {}, ...cells.map((text) => element("td", {}, text))));
    table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
  }
  return { node, show };
}
