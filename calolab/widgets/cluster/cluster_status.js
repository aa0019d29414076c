// ClusterStatus: the engines of a cluster, its batch jobs, Restart and Stop.

/** @import { RenderContext } from "../shared/types.js" */

import { armed, element, messageBox, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { number, plural } from "../shared/numbers.js";
import { clock } from "../shared/times.js";

/** @typedef {{
 *   id: number,
 *   state: string,
 *   rank: number,
 *   host: string,
 *   memory: number | null,
 *   load: number | null,
 * }} Engine
 */

/** @typedef {{
 *   name: string,
 *   state: string,
 *   launcher: string,
 *   size: number,
 *   engines: Engine[],
 *   queue: string[],
 *   note: string,
 *   updated: number,
 *   action: string,
 *   result: string,
 *   message: string,
 * }} Traits
 */

const STALE = 15; // time without an update after which the display is called outdated [s]

const TRAITS = /** @type {(keyof Traits)[]} */ ([
  "state",
  "launcher",
  "size",
  "engines",
  "queue",
  "note",
  "updated",
  "action",
  "result",
  "message",
]);

/** @param {RenderContext<Traits>} context */
function render({ model, el }) {
  const state = element("b", { class: "calolab-status" });
  const summary = element("span", { class: "calolab-grow" });
  const actionButton = (/** @type {string} */ label, /** @type {string} */ type, /** @type {string} */ title) =>
    armed({ label, sure: `Really ${type}?`, title, onpress: () => model.send({ type }) });
  const restart = actionButton("Restart", "restart", "stop all engines and start the same number in fresh processes");
  const stop = actionButton("Stop", "stop", "stop the engines and their controller");
  const note = element("div", { class: "calolab-cluster-note" });
  const message = messageBox();
  const heads = ["engine", "rank", "state", "machine", "memory [GB]", "cores used"];
  const body = element("tbody");
  const table = element(
    "table",
    { class: "calolab-table", "aria-label": "engines" },
    element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))),
    body,
  );
  const updated = element("div", { class: "calolab-note" });
  const root = frame(
    el,
    { name: "Cluster status" },
    element("div", { class: "calolab-controls" }, state, summary, restart.node, stop.node),
    note,
    message.node,
    element("div", { class: "calolab-engines" }, table),
    updated,
  );
  root.classList.add("calolab-cluster");
  // By the clock of the browser, which may differ from that of the kernel.
  let received = Date.now();

  function showTime() {
    const time = clock(model.get("updated"));
    const isStale = Date.now() - received > 1000 * STALE;
    updated.textContent = isStale ? `State at ${time}; no update from the kernel since then.` : `State at ${time}.`;
  }

  function show() {
    const engines = model.get("engines");
    const action = model.get("action");
    const [name, launcher, size] = [model.get("name"), model.get("launcher"), model.get("size")];
    state.textContent = action ? `${action === "stop" ? "stopping" : "restarting"} …` : model.get("state");
    state.dataset.status = model.get("state");
    summary.textContent = launcher
      ? `cluster ${name}: ${engines.length} of ${plural(size, "engine")}, ${launcher}`
      : `cluster ${name}`;
    const none =
      launcher || action || model.get("state") !== "not running"
        ? ""
        : "No engines are running; %ipcluster start starts some.";
    note.textContent = [...model.get("queue"), model.get("note") || none, model.get("result")]
      .filter(Boolean)
      .join("\n");
    note.hidden = !note.textContent;
    message.show(model.get("message"));
    const reason = action ? "the previous action is still in progress" : launcher ? "" : "no such cluster is running";
    restart.disable(reason);
    stop.disable(reason);
    table.hidden = !engines.length;
    body.replaceChildren(
      ...engines.map((engine) => {
        const memory = engine.memory == null ? "–" : number(engine.memory / 1e9);
        const load = engine.load == null ? "–" : engine.load.toFixed(1);
        const cells = [String(engine.id), String(engine.rank), engine.state, engine.host || "–", memory, load];
        return element("tr", { "data-state": engine.state }, ...cells.map((text) => element("td", {}, text)));
      }),
    );
    showTime();
  }

  const unwatch = watch(model, TRAITS, () => {
    received = Date.now();
    show();
  });
  const ticking = setInterval(showTime, 1000);
  show();
  return () => {
    unwatch();
    clearInterval(ticking);
    restart.remove();
    stop.remove();
  };
}

export default { render };
