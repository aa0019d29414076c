// TrainingMonitor: a progress bar for each rank, the losses of each step, the results of each epoch, and a Stop button.

/** @import { RenderContext } from "../shared/types.js" */
/** @import { EpochTraits } from "./epoch_results.js" */
/** @import { LossTraits } from "./loss_chart.js" */

import { button, element, messageBox, toggle, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { number } from "../shared/numbers.js";
import { isActive } from "../shared/states.js";
import { clock, duration } from "../shared/times.js";
import { epochResults } from "./epoch_results.js";
import { lossChart } from "./loss_chart.js";

/** @typedef {{
 *   rank: number,
 *   epoch: number,
 *   epochs: number,
 *   step: number,
 *   steps: number,
 *   samples_per_second: number,
 * }} Progress
 */

/** @typedef {EpochTraits & LossTraits & {
 *   status: string,
 *   message: string,
 *   noun: string,
 *   ranks: Progress[],
 *   elapsed: number,
 *   remaining: number | null,
 * }} Traits
 */

const SILENCE = 20_000; // time without an update from the kernel after which the monitor displays this [ms]

/** @param {RenderContext<Traits>} context */
function render({ model, el }) {
  const state = element("b", { class: "calolab-status" });
  const pace = element("span", { class: "calolab-grow", role: "timer" });
  const stop = button({
    label: "Stop",
    title: "stop all ranks after the current step",
    className: "calolab-stop",
    onpress: requestStop,
  });
  const bars = element("div", { class: "calolab-bars" });
  const message = messageBox();
  const losses = lossChart(model);
  const epochs = epochResults(model);
  let received = Date.now(); // time of the last update
  let estimated = Date.now(); // time of the last estimate of the remaining time
  let requested = false; // whether Stop was pressed; the kernel may receive it later

  frame(
    el,
    { name: "Training monitor", keys: { scale: { l: () => toggle(model, "log") } } },
    element("div", { class: "calolab-controls" }, state, pace, stop),
    bars,
    message.node,
    ...losses.nodes,
    ...epochs.nodes,
  );

  function requestStop() {
    requested = true;
    showState();
    model.send({ type: "stop" });
  }

  function showBars() {
    bars.replaceChildren(
      ...model.get("ranks").map(({ rank, epoch, epochs: all, step, steps, samples_per_second: speed }) => {
        const percent = (100 * (epoch * steps + step + 1)) / (all * steps);
        const text =
          `epoch ${epoch + 1} of ${all}, step ${step + 1} of ${steps}, ` + `${number(speed)} ${model.get("noun")}/s`;
        return element(
          "div",
          { class: "calolab-rank" },
          element("span", {}, `rank ${rank}`),
          element(
            "span",
            {
              class: "calolab-progress",
              role: "progressbar",
              "aria-label": `rank ${rank}`,
              "aria-valuenow": Math.round(percent),
              "aria-valuetext": text,
            },
            element("span", { style: `width: ${percent.toFixed(2)}%` }),
          ),
          element("span", { class: "calolab-value" }, text),
        );
      }),
    );
  }

  // Between updates from the kernel, the browser advances the clock.
  function showClock() {
    const status = model.get("status");
    const running = isActive(status);
    const silent = running && Date.now() - received > SILENCE;
    const elapsed = model.get("elapsed") + (running ? (Date.now() - received) / 1000 : 0);
    pace.textContent = [
      duration(elapsed),
      status === "running" ? expected() : "",
      silent ? `no update from the kernel since ${clock(received / 1000)}` : "",
    ]
      .filter(Boolean)
      .join(", ");
    pace.classList.toggle("calolab-silent", silent);
  }

  function expected() {
    const [first, remaining] = [model.get("ranks")[0], model.get("remaining")];
    if (!first) return "preparing: the first step also compiles the networks";
    if (first.epoch + 1 >= first.epochs && first.step + 1 >= first.steps) return "finishing";
    if (remaining == null) return "estimating the remaining time";
    return `about ${duration(remaining - (Date.now() - estimated) / 1000)} left`;
  }

  function showState() {
    const status = model.get("status");
    state.textContent = status;
    state.dataset.status = status;
    requested &&= status === "running";
    stop.disabled = requested || status !== "running";
    stop.textContent = requested || status === "stopping" ? "Stopping …" : "Stop";
    message.show(model.get("message"));
    showBars();
    showClock();
  }

  function update() {
    received = Date.now();
    showState();
  }

  function updateRemaining() {
    estimated = Date.now();
    showClock();
  }

  const timer = setInterval(showClock, 500);
  const unwatch = [
    watch(model, ["status", "ranks", "message", "elapsed", "noun"], update),
    watch(model, ["remaining"], updateRemaining),
    watch(model, ["losses", "styles", "shown", "log"], losses.show),
    watch(model, ["scores", "floors", "score", "score_epochs", "best_epoch", "judged_by", "log"], epochs.showScores),
    watch(model, ["events", "event_epochs", "event_epoch", "labels", "plane"], epochs.showEvents),
  ];
  showState();
  losses.show();
  epochs.showScores();
  epochs.showEvents();
  return () => {
    clearInterval(timer);
    unwatch.forEach((stopWatching) => stopWatching());
    losses.remove();
    epochs.remove();
  };
}

export default { render };
