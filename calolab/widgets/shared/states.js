// The states of a training or a search, as Python sends them.

// Those in which it is still working.
export const ACTIVE = ["running", "stopping"];

/** Whether a training or a search is still working.
 *
 * @param {string} status
 */
export function isActive(status) {
  return ACTIVE.includes(status);
}
