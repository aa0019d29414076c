// The trials of a search in the browser: received, ranked, filtered, sorted.

import { number } from "../shared/drawing.js";
import { duration } from "../shared/times.js";

export const ENDED = ["finished", "stopped", "pruned", "failed"];
export const STATUSES = ["running", "stopping", "queued", ...ENDED];

/** Put the trials of a message into `rows`, a map from numbers; of each come only the epochs that are new. */
export function receiveTrials(rows, { rows: changed, metrics, curves }) {
  const numbers = new Float32Array(curves.buffer.slice(curves.byteOffset, curves.byteOffset + curves.byteLength));
  let place = 0;
  for (const { first, count, ...facts } of changed) {
    const before = first ? rows.get(facts.number) : null;
    const row = { ...facts, epochs: before?.epochs ?? [], curves: before?.curves ?? {} };
    for (let k = 0; k < count; k += 1) {
      const at = place + k * (metrics.length + 1);
      row.epochs[first + k] = numbers[at];
      metrics.forEach((name, m) => ((row.curves[name] ??= [])[first + k] = numbers[at + 1 + m]));
    }
    place += count * (metrics.length + 1);
    row.epochs.length = first + count;
    for (const curve of Object.values(row.curves)) curve.length = first + count;
    rows.set(row.number, row);
  }
}

/** The metrics of all trials, in the order of their first appearance. */
export function metricsOf(rows) {
  return [...new Set([...rows.values()].flatMap(({ curves }) => Object.keys(curves)))];
}

/** The trials that have a value, best first. */
export function ranking(rows, direction) {
  const sign = direction === "maximize" ? -1 : 1;
  return [...rows.values()].filter(({ value }) => value != null).sort((a, b) => sign * (a.value - b.value));
}

/** What a trial reported at its best epoch, by metric. */
export function atBest({ epochs, curves, best_epoch: best }) {
  const place = epochs.indexOf(best);
  return Object.fromEntries(Object.entries(curves).map(([name, values]) => [name, values[place]]));
}

/** What can be done with a trial now. */
export function actionsFor({ status, epochs }) {
  if (status === "queued" || status === "running") return ["stop"];
  if (!ENDED.includes(status)) return [];
  return epochs.length ? ["restart", "promote"] : ["restart"];
}

/** A parameter's value as a short text: its own digits where they are few. */
export function setting(value) {
  if (typeof value !== "number") return value == null ? "–" : String(value);
  const own = String(value).replace("-", "−");
  return own.length <= 6 ? own : number(value);
}

/** The columns of the table: what stands in them, and by what they are sorted. */
export function columnsFor(space, rows, objective) {
  const named = space.map(({ name }) => name);
  const more = new Set([...rows.values()].flatMap(({ parameters }) => Object.keys(parameters)));
  const seconds = ({ started, ended }) => (started == null ? null : (ended ?? Date.now() / 1000) - started);
  const whole = (value) => (value == null ? "–" : String(value));
  return [
    { name: "trial", key: (row) => row.number, text: (row) => String(row.number) },
    { name: "status", key: (row) => STATUSES.indexOf(row.status), text: (row) => row.status, left: true },
    { name: objective, key: (row) => row.value, text: (row) => (row.value == null ? "–" : number(row.value)) },
    ...[...new Set([...named, ...more])].map((name) => ({
      name,
      key: (row) => row.parameters[name],
      text: (row) => setting(row.parameters[name]),
    })),
    { name: "best epoch", key: (row) => row.best_epoch, text: (row) => whole(row.best_epoch) },
    { name: "epochs", key: (row) => row.epochs.length, text: (row) => whole(row.epochs.length) },
    { name: "time", key: seconds, text: (row) => (seconds(row) == null ? "–" : duration(seconds(row))) },
    { name: "engines", key: (row) => row.engines[0], text: (row) => row.engines.join(" ") || "–" },
    { name: "attempts", key: (row) => row.attempts, text: (row) => whole(row.attempts) },
  ];
}

/** The rows by a column; those without a value stand last in either direction. */
export function sorted(rows, column, falling) {
  const empty = (key) => key == null || Number.isNaN(key);
  return [...rows].sort((a, b) => {
    const [one, two] = [column.key(a), column.key(b)];
    if (empty(one) || empty(two)) return empty(one) - empty(two) || a.number - b.number;
    const order = typeof one === "number" && typeof two === "number" ? one - two : String(one) < String(two) ? -1 : 1;
    return (one === two ? a.number - b.number : order) * (falling ? -1 : 1);
  });
}

const COMPARISON = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/;

/** Whether a row has every word of `text`; a word like lr<0.001 or n_filters=64 compares a column. */
export function matcher(text, columns) {
  const tests = text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const [, name, sign, wanted] = word.match(COMPARISON) ?? [];
      const plain = (label) => label.toLowerCase().replaceAll(" ", "_");
      const column = columns.find((one) => name && plain(one.name) === plain(name));
      if (!column) return (row) => columns.some((one) => one.text(row).toLowerCase().includes(word.toLowerCase()));
      return (row) => compares(column.name === "status" ? row.status : column.key(row), sign, wanted);
    });
  return (row) => tests.every((test) => test(row));
}

function compares(value, sign, wanted) {
  if (value == null) return false;
  const [one, two] = typeof value === "number" ? [value, Number(wanted)] : [String(value), wanted];
  return { "<": one < two, ">": one > two, "<=": one <= two, ">=": one >= two, "=": one === two }[sign];
}
