// Arrays of numbers: their ends and extent, and the place of a number in them.

/** @import { Values } from "./types.js" */

// The end of a scale is often one of the values, up to rounding to float32.
const ROUNDING = 1 + 1e-6;

/** A number limited to a range.
 *
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** Whether a value is above a limit by more than rounding.
 *
 * @param {number} value
 * @param {number} limit positive
 */
export function isAbove(value, limit) {
  return value > limit * ROUNDING;
}

/** The smallest and the largest value; infinities of the opposite sign if there are none.
 *
 * @param {Iterable<number>} values
 */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/** The largest value, at least 0.
 *
 * @param {Iterable<number>} values
 */
export function highest(values) {
  return Math.max(extent(values).high, 0);
}

/** The last of several values.
 *
 * @param {number[]} values
 */
export function last(values) {
  return values[values.length - 1];
}

/** The index of the value nearest to a number.
 *
 * @param {number[]} values
 * @param {number} target
 */
export function nearest(values, target) {
  return values.reduce((best, value, k) => (Math.abs(value - target) < Math.abs(values[best] - target) ? k : best), 0);
}

/** The bin that contains a number; the first or the last one beyond the edges.
 *
 * @param {number[]} edges increasing
 * @param {number} value
 */
export function binAt(edges, value) {
  return clamp(
    edges.findLastIndex((edge) => edge <= value),
    0,
    edges.length - 2,
  );
}
