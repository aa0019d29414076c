// Durations and times of day as text.

/** A duration as a short text: 8 s, 3 min 20 s, 2 h 5 min.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** The time of day of a Unix time.
 *
 * @param {number} seconds
 */
export function clock(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString("en-GB");
}
