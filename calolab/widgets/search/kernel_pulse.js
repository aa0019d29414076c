// Whether the kernel hears: its last sign of life, and what became of the clicks.

import { element, watch } from "../shared/controls.js";
import { clock, duration } from "../shared/times.js";

const PATIENCE = 2500; // milliseconds without an answer after which the kernel is called busy
const SILENCE = 8000; // milliseconds without any sign after which nothing that is shown is new

/** A line that tells when the kernel was last heard; it asks only while the search runs or a click waits. */
export function kernelPulse(model, waiting) {
  const node = element("span", { class: "calolab-pulse", role: "status" });
  let heard = Date.now();
  let asked = null;

  function hear() {
    heard = Date.now();
  }

  function answer(content) {
    hear();
    if (content.type === "pong") asked = null;
    show();
  }

  function show() {
    const active = ["running", "stopping"].includes(model.get("status")) || waiting();
    const silent = active && Date.now() - heard > SILENCE;
    const busy = asked != null && Date.now() - asked > PATIENCE;
    node.dataset.state = silent ? "silent" : busy ? "busy" : "live";
    node.textContent = silent
      ? `Nothing heard from the kernel since ${clock(heard / 1000)}: it is busy, or it has ended. This is how things ` +
        "stood then; clicks take effect when it answers."
      : busy
        ? `Kernel busy since ${clock(asked / 1000)}: clicks take effect when it is free. ` +
          `Last heard from it at ${clock(heard / 1000)}.`
        : `Last heard from the kernel at ${clock(heard / 1000)}`;
  }

  const timer = setInterval(() => {
    const active = ["running", "stopping"].includes(model.get("status")) || waiting();
    if (active && asked == null && node.isConnected && !document.hidden) {
      asked = Date.now();
      model.send({ type: "ping" });
    }
    if (!active) asked = null;
    show();
  }, 1000);
  model.on("msg:custom", answer);
  const unwatch = watch(model, ["beat", "changed", "trials", "status", "answers"], hear);
  show();
  return {
    node,
    remove() {
      clearInterval(timer);
      model.off("msg:custom", answer);
      unwatch();
    },
  };
}

/** The latest clicks and what became of them; `ask` sends one. */
export function answerList(model) {
  const node = element("ul", { class: "calolab-answers", "aria-live": "polite" });
  let open = [];

  function show() {
    const answered = model.get("answers");
    open = open.filter(({ id }) => !answered.some((one) => one.id === id));
    const entries = [
      ...answered.map(({ time, asked, told, seconds, failed }) => ({
        failed,
        text: `${clock(time)} ${asked}: ${told}${seconds >= 1 ? ` (${duration(seconds)})` : ""}`,
      })),
      ...open.map(({ time, asked }) => ({ text: `${clock(time)} ${asked} …` })),
    ];
    node.replaceChildren(
      ...entries.slice(-4).map(({ text, failed }) => element("li", { class: failed ? "calolab-failed" : false }, text)),
    );
  }

  const unwatch = watch(model, ["answers"], show);
  show();
  return {
    node,
    waiting: () => open.length > 0,
    ask(asked, request) {
      const id = Math.random().toString(36).slice(2);
      open = [...open, { id, asked, time: Date.now() / 1000 }];
      model.send({ ...request, id });
      show();
    },
    remove: unwatch,
  };
}
