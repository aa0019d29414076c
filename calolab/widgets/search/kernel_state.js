// Whether the kernel answers, and the results of the latest clicks.

/** @import { Model } from "../shared/types.js" */

import { element, watch } from "../shared/controls.js";
import { isActive } from "../shared/states.js";
import { clock, duration } from "../shared/times.js";

/** @typedef {{ id: string, time: number, request: string, result: string, seconds: number, failed: boolean }} Action */
/** @typedef {{
 *   status: string,
 *   heartbeat: number,
 *   changed: object,
 *   trials: object,
 *   actions: Action[],
 * }} KernelTraits
 */

const BUSY_AFTER = 2500; // time without an answer after which the kernel is called busy [ms]
const SILENT_AFTER = 8000; // time without any message after which the display is called outdated [ms]

/** A line with the time of the last message from the kernel; it sends pings only while the search runs or a click waits.
 *
 * @param {Model<KernelTraits>} model
 * @param {() => boolean} isWaiting whether a click waits for its result
 */
export function kernelState(model, isWaiting) {
  const node = element("span", { class: "calolab-kernel", role: "status" });
  let received = Date.now();
  /** @type {number | null} */
  let pinged = null;

  const isAwaited = () => isActive(model.get("status")) || isWaiting();

  function receive() {
    received = Date.now();
  }

  function onMessage(/** @type {{ type: string }} */ content) {
    receive();
    if (content.type === "pong") pinged = null;
    show();
  }

  function show() {
    const silent = isAwaited() && Date.now() - received > SILENT_AFTER;
    const busy = pinged != null && Date.now() - pinged > BUSY_AFTER;
    node.dataset.state = silent ? "silent" : busy ? "busy" : "live";
    const last = clock(received / 1000);
    node.textContent = silent
      ? `No message from the kernel since ${last}: it is busy, or it has ended. The state at that time is displayed; ` +
        "clicks take effect when the kernel answers."
      : busy
        ? `Kernel busy since ${clock(Number(pinged) / 1000)}: clicks take effect when it is idle. Last message at ${last}.`
        : `Last message from the kernel at ${last}`;
  }

  const timer = setInterval(() => {
    if (isAwaited() && pinged == null && node.isConnected && !document.hidden) {
      pinged = Date.now();
      model.send({ type: "ping" });
    }
    if (!isAwaited()) pinged = null;
    show();
  }, 1000);
  model.on("msg:custom", onMessage);
  const unwatch = watch(model, ["heartbeat", "changed", "trials", "status", "actions"], receive);
  show();
  return {
    node,
    remove() {
      clearInterval(timer);
      model.off("msg:custom", onMessage);
      unwatch();
    },
  };
}

/** The list of the latest clicks with their results; `request` sends one.
 *
 * @param {Model<KernelTraits>} model
 */
export function actionList(model) {
  const node = element("ul", { class: "calolab-actions", "aria-live": "polite" });
  /** @type {{ id: string, request: string, time: number }[]} */
  let open = [];

  function show() {
    const completed = model.get("actions");
    open = open.filter(({ id }) => !completed.some((one) => one.id === id));
    const entries = [
      ...completed.map(({ time, request, result, seconds, failed }) => ({
        failed,
        text: `${clock(time)} ${request}: ${result}${seconds >= 1 ? ` (${duration(seconds)})` : ""}`,
      })),
      ...open.map(({ time, request }) => ({ failed: false, text: `${clock(time)} ${request} …` })),
    ];
    node.replaceChildren(
      ...entries.slice(-4).map(({ text, failed }) => element("li", { class: failed ? "calolab-failed" : false }, text)),
    );
  }

  const unwatch = watch(model, ["actions"], show);
  show();
  return {
    node,
    isWaiting: () => open.length > 0,
    /** @param {string} text @param {object} message */
    request(text, message) {
      const id = Math.random().toString(36).slice(2);
      open = [...open, { id, request: text, time: Date.now() / 1000 }];
      model.send({ ...message, id });
      show();
    },
    remove: unwatch,
  };
}
