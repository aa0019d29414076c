// Means of profiles and moments over selected showers, and the round energies between which they are selected.

import { ticks } from "../shared/axes.js";
import { extent } from "../shared/values.js";

/** @typedef {{ axis: string, unit: string, edges: number[] }} Profile */
/** The columns of one axis of a sample: profiles over (event, bin), mean positions and widths.
 *
 * @typedef {{ profile: Float32Array, first: Float32Array, width: Float32Array }} AxisColumns
 */

/** Split the transferred numbers into the columns of each sample, by axis, and the visible energies.
 *
 * @param {Float32Array} numbers
 * @param {Profile[]} profiles
 * @param {number[]} sizes numbers of events
 * @returns {{ axes: AxisColumns[], visible: Float32Array }[]}
 */
export function unfold(numbers, profiles, sizes) {
  let start = 0;
  const take = (/** @type {number} */ length) => {
    start += length;
    return numbers.subarray(start - length, start);
  };
  return sizes.map((n) => {
    const axes = profiles.map(({ edges }) => ({
      profile: take(n * (edges.length - 1)),
      first: take(n),
      width: take(n),
    }));
    return { axes, visible: take(n) };
  });
}

/** Mean, standard deviation and error of the mean of each bin over the selected events.
 *
 * @param {ArrayLike<number>} profile over (event, bin)
 * @param {number} nBins
 * @param {number[]} selected
 */
export function statistics(profile, nBins, selected) {
  const sum = new Array(nBins).fill(0);
  const squares = new Array(nBins).fill(0);
  for (const event of selected) {
    for (let k = 0; k < nBins; k += 1) {
      const value = profile[event * nBins + k];
      sum[k] += value;
      squares[k] += value * value;
    }
  }
  const n = selected.length;
  const mean = sum.map((value) => value / n);
  const spread = mean.map((m, k) => Math.sqrt(Math.max(squares[k] / n - m * m, 0) * (n / (n - 1))));
  return { mean, spread, error: spread.map((s) => s / Math.sqrt(n)) };
}

/** Mean and its error over the selected events with a value; an empty shower has no position.
 *
 * @param {ArrayLike<number>} column
 * @param {number[]} selected
 */
export function summary(column, selected) {
  const values = Array.from(selected, (event) => column[event]).filter((value) => !Number.isNaN(value));
  const one = statistics(values, 1, Array.from(values.keys()));
  return { mean: one.mean[0], error: one.error[0] };
}

/** The range of the energies, extended to round numbers, and the round values of its handles.
 *
 * @param {number[]} energies
 */
export function roundRange(energies) {
  const { low, high } = extent(energies);
  const [bottom, top] = high > low ? [low, high] : [low - 1, high + 1];
  const marks = ticks({ low: bottom, high: top }, 100);
  const step = marks[1] - marks[0];
  const first = Math.floor(bottom / step + 1e-9);
  const count = Math.ceil(top / step - 1e-9) - first;
  const at = (/** @type {number} */ index) => Number(((first + index) * step).toPrecision(10));
  return {
    low: at(0),
    high: at(count),
    count,
    at,
    index: (/** @type {number} */ energy) => Math.round(energy / step) - first,
  };
}
