// The filters of the table: a text, the status of the trials, and brushes on the axes of the parallel coordinates.

/** @import { Axis, Brush } from "./parallel_coordinates.js" */
/** @import { Column, Trial } from "./trials.js" */

import { button, element } from "../shared/controls.js";
import { insideBrushes } from "./parallel_coordinates.js";
import { matcher, STATUSES } from "./trials.js";

/** The controls of the filters.
 *
 * @param {() => void} onchange called when a filter has changed
 * @param {() => void} onclear called by the button that clears all filters
 */
export function trialFilter(onchange, onclear) {
  /** @type {Map<string, Brush>} */
  const brushes = new Map();
  /** @type {Set<string>} */
  const statuses = new Set();
  const input = element("input", {
    type: "search",
    placeholder: "filter: text, or lr<0.001",
    "aria-label": "filter the trials by text, or by a column as in lr<0.001 or status=failed (key: /)",
    oninput: onchange,
  });
  const clearButton = button({ label: "Clear filters", title: "show all trials (key: Escape)", onpress: onclear });
  const toggles = STATUSES.map((name) => ({
    name,
    node: button({ label: name, className: "calolab-toggle", onpress: () => switchStatus(name) }),
  }));
  const count = element("span");

  /** The trials that pass all filters.
   *
   * @param {Trial[]} rows
   * @param {Column[]} columns
   * @param {Axis[]} axes
   */
  function apply(rows, columns, axes) {
    const matches = matcher(input.value, columns);
    const passing = rows.filter((row) => matches(row) && insideBrushes(row, axes, brushes));
    const shown = passing.filter(({ status }) => !statuses.size || statuses.has(status));
    for (const { name, node } of toggles) {
      const trials = passing.filter(({ status }) => status === name).length;
      const text = `${name} ${trials}`;
      if (node.textContent !== text) node.textContent = text;
      node.hidden = !trials && !statuses.has(name);
      node.dataset.status = name;
      node.setAttribute("aria-pressed", String(statuses.has(name)));
    }
    clearButton.disabled = !isFiltering();
    count.textContent = isFiltering() ? `${shown.length} of ${rows.length} trials shown` : "";
    return shown;
  }

  /** @param {string} name */
  function switchStatus(name) {
    if (!statuses.delete(name)) statuses.add(name);
    onchange();
  }

  function clear() {
    input.value = "";
    statuses.clear();
    brushes.clear();
    onchange();
  }

  const isFiltering = () => Boolean(input.value || statuses.size || brushes.size);

  return {
    nodes: [input, ...toggles.map(({ node }) => node), clearButton, count],
    input,
    brushes,
    apply,
    clear,
    isFiltering,
  };
}
