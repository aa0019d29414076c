// Means of profiles and moments over chosen showers, and the round energies between which they are chosen.

import { ticks } from "../shared/drawing.js";

/** Split the transfer: for each sample, axis by axis the profiles (event, bin), mean positions and widths; then the sums. */
export function unfold(numbers, profiles, sizes) {
  let start = 0;
  const take = (length) => numbers.subarray(start, (start += length));
  return sizes.map((n) => {
    const axes = profiles.map(({ edges }) => ({
      profile: take(n * (edges.length - 1)),
      first: take(n),
      width: take(n),
    }));
    return Object.assign(axes, { visible: take(n) });
  });
}

/** Mean, spread between events and error of the mean, bin by bin, over the chosen events. */
export function statistics(profile, nBins, chosen) {
  const sum = new Array(nBins).fill(0);
  const squares = new Array(nBins).fill(0);
  for (const event of chosen) {
    for (let k = 0; k < nBins; k += 1) {
      const value = profile[event * nBins + k];
      sum[k] += value;
      squares[k] += value * value;
    }
  }
  const n = chosen.length;
  const mean = sum.map((value) => value / n);
  const spread = mean.map((m, k) => Math.sqrt(Math.max(squares[k] / n - m * m, 0) * (n / (n - 1))));
  return { mean, spread, error: spread.map((s) => s / Math.sqrt(n)) };
}

/** Mean and its error over the chosen events whose value exists: an empty shower has no position. */
export function summary(column, chosen) {
  const values = Array.from(chosen, (event) => column[event]).filter((value) => !Number.isNaN(value));
  const one = statistics(values, 1, Array.from(values.keys()));
  return { mean: one.mean[0], error: one.error[0] };
}

/** The range of the energies, widened to round numbers, and the round values that a handle can take in it. */
export function roundRange(energies) {
  const [low, high] = energies.reduce(
    ([a, b], energy) => [Math.min(a, energy), Math.max(b, energy)],
    [Infinity, -Infinity],
  );
  const [bottom, top] = high > low ? [low, high] : [low - 1, high + 1];
  const marks = ticks({ low: bottom, high: top }, 100);
  const step = marks[1] - marks[0];
  const first = Math.floor(bottom / step + 1e-9);
  const count = Math.ceil(top / step - 1e-9) - first;
  const at = (index) => Number(((first + index) * step).toPrecision(10));
  return { low: at(0), high: at(count), count, at, index: (energy) => Math.round(energy / step) - first };
}
