// The trials of a search in the browser: received, ranked, filtered, sorted.

import { floats } from "../shared/cells.js";
import { number, withMinus } from "../shared/numbers.js";
import { ACTIVE } from "../shared/states.js";
import { duration } from "../shared/times.js";

/** A trial as Python's `trial_changes` sends it, with its epochs, from 1, and the values of each metric at these epochs.
 *
 * @typedef {{
 *   number: number,
 *   status: string,
 *   parameters: Record<string, number | string>,
 *   value: number | null,
 *   best_epoch: number | null,
 *   engines: number[],
 *   attempts: number,
 *   started: number | null,
 *   ended: number | null,
 *   error: string,
 *   scores: string[],
 *   epochs: number[],
 *   curves: Record<string, number[]>,
 * }} Trial
 */
/** @typedef {{ rows: (Trial & { first: number, count: number })[], metrics: string[], curves: DataView<ArrayBuffer> }} Changes */
/** A parameter of the search space: a range or choices; without either, values of earlier trials only.
 *
 * @typedef {{ name: string, low?: number, high?: number, log?: boolean, choices?: (number | string)[] }} Parameter
 */
/** A column of the table: its text, and the value by which it is sorted.
 *
 * @typedef {{
 *   name: string,
 *   key: (row: Trial) => number | string | null | undefined,
 *   text: (row: Trial) => string,
 *   left?: boolean,
 * }} Column
 */

export const ENDED = ["finished", "stopped", "pruned", "failed"];
export const STATUSES = [...ACTIVE, "queued", ...ENDED];

/** Insert the trials of a message into `rows`, a map from their numbers; a message has the new epochs only.
 *
 * @param {Map<number, Trial>} rows
 * @param {Changes} changes
 */
export function receiveTrials(rows, { rows: changed, metrics, curves }) {
  const numbers = floats(curves);
  let start = 0;
  for (const { first, count, ...facts } of changed) {
    const previous = first ? rows.get(facts.number) : null;
    const row = { ...facts, epochs: previous?.epochs ?? [], curves: previous?.curves ?? {} };
    for (let k = 0; k < count; k += 1) {
      const at = start + k * (metrics.length + 1);
      row.epochs[first + k] = numbers[at];
      metrics.forEach((name, m) => {
        row.curves[name] ??= [];
        row.curves[name][first + k] = numbers[at + 1 + m];
      });
    }
    start += count * (metrics.length + 1);
    row.epochs.length = first + count;
    for (const curve of Object.values(row.curves)) curve.length = first + count;
    rows.set(row.number, row);
  }
}

/** The metrics of all trials, in the order of their first appearance.
 *
 * @param {Map<number, Trial>} rows
 */
export function metricsOf(rows) {
  return [...new Set([...rows.values()].flatMap(({ curves }) => Object.keys(curves)))];
}

/** The trials with a value, best first.
 *
 * @param {Map<number, Trial>} rows
 * @param {string} direction minimize or maximize
 */
export function ranking(rows, direction) {
  const sign = direction === "maximize" ? -1 : 1;
  const withValue = [...rows.values()].filter(({ value }) => value != null);
  return withValue.sort((a, b) => sign * (Number(a.value) - Number(b.value)));
}

/** The metrics of a trial at its best epoch.
 *
 * @param {Trial} trial
 */
export function atBest({ epochs, curves, best_epoch: best }) {
  const place = best == null ? -1 : epochs.indexOf(best);
  return Object.fromEntries(Object.entries(curves).map(([name, values]) => [name, values[place]]));
}

/** The actions that are possible with a trial in its current state.
 *
 * @param {Trial} trial
 */
export function actionsFor({ status, epochs }) {
  if (status === "queued" || status === "running") return ["stop"];
  if (!ENDED.includes(status)) return [];
  return epochs.length ? ["restart", "promote"] : ["restart"];
}

/** The value of a parameter as a short text, with all its digits if they are few.
 *
 * @param {number | string | null | undefined} value
 */
export function setting(value) {
  if (typeof value !== "number") return value == null ? "–" : String(value);
  const exact = withMinus(String(value));
  return exact.length <= 6 ? exact : number(value);
}

/** The columns of the table.
 *
 * @param {Parameter[]} space
 * @param {Map<number, Trial>} rows
 * @param {string} objective
 * @returns {Column[]}
 */
export function columnsFor(space, rows, objective) {
  const named = space.map(({ name }) => name);
  const more = new Set([...rows.values()].flatMap(({ parameters }) => Object.keys(parameters)));
  const seconds = (/** @type {Trial} */ { started, ended }) =>
    started == null ? null : (ended ?? Date.now() / 1000) - started;
  const integer = (/** @type {number | null} */ value) => (value == null ? "–" : String(value));
  return [
    { name: "trial", key: (row) => row.number, text: (row) => String(row.number) },
    { name: "status", key: (row) => STATUSES.indexOf(row.status), text: (row) => row.status, left: true },
    { name: objective, key: (row) => row.value, text: (row) => (row.value == null ? "–" : number(row.value)) },
    ...[...new Set([...named, ...more])].map((name) => ({
      name,
      key: (/** @type {Trial} */ row) => row.parameters[name],
      text: (/** @type {Trial} */ row) => setting(row.parameters[name]),
    })),
    { name: "best epoch", key: (row) => row.best_epoch, text: (row) => integer(row.best_epoch) },
    { name: "epochs", key: (row) => row.epochs.length, text: (row) => integer(row.epochs.length) },
    { name: "time", key: seconds, text: (row) => (row.started == null ? "–" : duration(seconds(row) ?? 0)) },
    { name: "engines", key: (row) => row.engines[0], text: (row) => row.engines.join(" ") || "–" },
    { name: "attempts", key: (row) => row.attempts, text: (row) => integer(row.attempts) },
  ];
}

/** The rows sorted by a column; those without a value are last in either direction.
 *
 * @param {Trial[]} rows
 * @param {Column} column
 * @param {boolean} falling
 */
export function sorted(rows, column, falling) {
  const isEmpty = (/** @type {unknown} */ key) => key == null || Number.isNaN(key);
  return [...rows].sort((a, b) => {
    const [one, two] = [column.key(a), column.key(b)];
    if (isEmpty(one) || isEmpty(two)) return Number(isEmpty(one)) - Number(isEmpty(two)) || a.number - b.number;
    const order = typeof one === "number" && typeof two === "number" ? one - two : String(one) < String(two) ? -1 : 1;
    return (one === two ? a.number - b.number : order) * (falling ? -1 : 1);
  });
}

const COMPARISON = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/;

/** A predicate: whether a row contains every word of `text`; words like lr<0.001 or n_filters=64 compare a column.
 *
 * @param {string} text
 * @param {Column[]} columns
 * @returns {(row: Trial) => boolean}
 */
export function matcher(text, columns) {
  const tests = text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const [, name, sign, limit] = word.match(COMPARISON) ?? [];
      const plain = (/** @type {string} */ label) => label.toLowerCase().replaceAll(" ", "_");
      const column = columns.find((one) => name && plain(one.name) === plain(name));
      return (/** @type {Trial} */ row) => {
        if (!column) return columns.some((one) => one.text(row).toLowerCase().includes(word.toLowerCase()));
        return compares(column.name === "status" ? row.status : column.key(row), sign, limit);
      };
    });
  return (row) => tests.every((test) => test(row));
}

/** @param {number | string | null | undefined} value @param {string} sign @param {string} limit */
function compares(value, sign, limit) {
  if (value == null) return false;
  const [one, two] = typeof value === "number" ? [value, Number(limit)] : [String(value), limit];
  /** @type {Record<string, boolean>} */
  const results = { "<": one < two, ">": one > two, "<=": one <= two, ">=": one >= two, "=": one === two };
  return results[sign];
}
