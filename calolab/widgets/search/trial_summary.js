// The best trial and the selected ones, with the buttons that open the views of their models.

/** @import { Model } from "../shared/types.js" */
/** @import { Trial } from "./trials.js" */

import { element } from "../shared/controls.js";
import { number } from "../shared/numbers.js";
import { keysOf } from "./trial_lines.js";
import { ENDED, setting } from "./trials.js";

/** The headline with the best trial, and a list of the selected trials.
 *
 * @param {Model<{ direction: string, selected: number[] }>} model
 * @param {string} objective the metric to optimise
 * @param {{ offer(place: HTMLElement, row: Trial | null): void }} views
 */
export function trialSummary(model, objective, views) {
  const headline = element("span", { class: "calolab-grow" });
  const bestViews = element("span", { class: "calolab-views" });
  const selection = element("div", { class: "calolab-chosen" });

  /** Show the best trial, or why there is none.
   *
   * @param {Trial | null} best
   * @param {Trial[]} rows
   */
  function showBest(best, rows) {
    if (!best) headline.textContent = noResult(rows);
    else {
      const settings = Object.entries(best.parameters).map(([name, value]) => `${name} ${setting(value)}`);
      const epoch = best.best_epoch == null ? "" : ` at epoch ${best.best_epoch}`;
      const better = model.get("direction") === "maximize" ? "higher" : "lower";
      headline.replaceChildren(
        element("b", { class: "calolab-generated" }, `Best so far: trial ${best.number}`),
        ` · ${objective} `,
        element("b", {}, number(best.value ?? NaN, 4)),
        `${epoch} (${better} is better) · ${settings.join(", ")}`,
      );
    }
    views.offer(bestViews, best);
  }

  /** Show the last five of the selected trials.
   *
   * @param {Map<number, Trial>} rows
   */
  function showSelected(rows) {
    const selected = model.get("selected").flatMap((one) => rows.get(one) ?? []);
    const key = JSON.stringify(selected.map(({ number: one, status, value, error }) => [one, status, value, error]));
    if (selection.dataset.key === key) return;
    selection.dataset.key = key;
    const colours = keysOf(model.get("selected"));
    const lines = selected.slice(-5).map((row) => {
      const buttons = element("span", { class: "calolab-views" });
      views.offer(buttons, row);
      const value = row.value == null ? "no result yet" : `${objective} ${number(row.value, 4)}`;
      const error = row.error ? element("pre", {}, row.error) : "";
      const name = element("b", { style: `--calolab-key: ${colours.get(row.number)}` }, `trial ${row.number}`);
      return element("div", {}, name, ` ${row.status}, ${value} `, buttons, error);
    });
    selection.replaceChildren(...lines);
  }

  return { headline, bestViews, selection, showBest, showSelected };
}

/** Why there is no best trial.
 *
 * @param {Trial[]} rows
 */
function noResult(rows) {
  if (!rows.length) return "No trial has begun yet.";
  if (!rows.every(({ status }) => ENDED.includes(status))) return "No trial has a result yet.";
  const counts = ENDED.map((name) => ({ name, count: rows.filter(({ status }) => status === name).length }));
  return `No trial has a result: ${counts.flatMap(({ name, count }) => (count ? `${count} ${name}` : [])).join(", ")}.`;
}
