// ClusterStatus: the engines of a cluster, its place in a queue, Restart and Stop.

import { number } from "../shared/drawing.js";
import { armed, element, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";

const STALE = 15; // seconds after which a look is old

function render({ model, el }) {
  const state = element("b", { class: "calolab-status" });
  const summary = element("span", { class: "calolab-grow" });
  const action = (label, type, title) =>
    armed({ label, sure: `Really ${type}?`, title, onpress: () => model.send({ type }) });
  const restart = action("Restart", "restart", "stop all engines and start as many anew, with empty memories");
  const stop = action("Stop", "stop", "stop the engines and their controller");
  const note = element("div", { class: "calolab-cluster-note" });
  const message = element("pre", { class: "calolab-message", role: "alert" });
  const heads = ["engine", "rank", "state", "machine", "memory [GB]", "cores used"];
  const body = element("tbody");
  const table = element(
    "table",
    { class: "calolab-table", "aria-label": "engines" },
    element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))),
    body,
  );
  const looked = element("div", { class: "calolab-note" });
  const root = frame(
    el,
    { name: "Cluster status" },
    element("div", { class: "calolab-controls" }, state, summary, restart.node, stop.node),
    note,
    message,
    element("div", { class: "calolab-engines" }, table),
    looked,
  );
  root.classList.add("calolab-cluster");
  // By the page's own clock: the kernel's machine may have another.
  let heard = Date.now();

  function showTime() {
    const time = new Date(1000 * model.get("looked")).toLocaleTimeString("en-GB");
    looked.textContent =
      Date.now() - heard > 1000 * STALE ? `As it was at ${time}: nothing heard from the kernel since.` : `As it was at ${time}.`;
  }

  function show() {
    const engines = model.get("engines");
    const doing = model.get("doing");
    const [name, launcher, size] = ["name", "launcher", "size"].map((trait) => model.get(trait));
    state.textContent = doing ? `${doing === "stop" ? "stopping" : "restarting"} …` : model.get("state");
    state.dataset.status = model.get("state");
    summary.textContent = launcher
      ? `cluster ${name}: ${engines.length} of ${size} engine${size === 1 ? "" : "s"}, ${launcher}`
      : `cluster ${name}`;
    const none = launcher || doing || model.get("state") !== "not running" ? "" : "No engines run: %ipcluster start starts some.";
    note.textContent = [...model.get("queue"), model.get("note") || none, model.get("done")].filter(Boolean).join("\n");
    note.hidden = !note.textContent;
    message.textContent = model.get("message");
    message.hidden = !message.textContent;
    const off = doing ? "wait for what was asked before" : launcher ? "" : "no such cluster runs";
    restart.disable(off);
    stop.disable(off);
    table.hidden = !engines.length;
    body.replaceChildren(
      ...engines.map(({ id, rank, state: how, host, memory, load }) => {
        const cells = [id, rank, how, host || "–", memory == null ? "–" : number(memory / 1e9), amount(load)];
        return element("tr", { "data-state": how }, ...cells.map((text) => element("td", {}, text)));
      }),
    );
    showTime();
  }

  const amount = (load) => (load == null ? "–" : load.toFixed(1));
  const traits = ["state", "launcher", "size", "engines", "queue", "note", "looked", "doing", "done", "message"];
  const unwatch = watch(model, traits, () => {
    heard = Date.now();
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
