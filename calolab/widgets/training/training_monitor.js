// TrainingMonitor: a bar for each rank, the losses step by step, what each epoch left, and a Stop button.

import { number } from "../shared/drawing.js";
import { assign, button, element, watch } from "../shared/controls.js";
import { epochResults } from "./epoch_results.js";
import { frame } from "../shared/frame.js";
import { lossChart } from "./loss_chart.js";
import { clock, duration } from "../shared/times.js";

const QUIET = 20_000; // milliseconds without a word from the kernel after which the monitor says so

function render({ model, el }) {
  const state = element("b", { class: "calolab-status" });
  const pace = element("span", { class: "calolab-grow", role: "timer" });
  const stop = button({
    label: "Stop",
    title: "stop all ranks after their running step",
    className: "calolab-stop",
    onpress: halt,
  });
  const bars = element("div", { class: "calolab-bars" });
  const message = element("pre", { class: "calolab-message", role: "alert" });
  const losses = lossChart(model);
  const epochs = epochResults(model);
  let heard = Date.now();
  let told = Date.now(); // when the time left was told
  let asked = false; // whether Stop was pressed; the kernel may hear it later

  frame(
    el,
    { name: "Training monitor", keys: { scale: { l: () => assign(model, { log: !model.get("log") }) } } },
    element("div", { class: "calolab-controls" }, state, pace, stop),
    bars,
    message,
    ...losses.nodes,
    ...epochs.nodes,
  );

  function halt() {
    asked = true;
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

  // Between kernel updates the browser advances the clock.
  function showClock() {
    const status = model.get("status");
    const running = ["running", "stopping"].includes(status);
    const silent = running && Date.now() - heard > QUIET;
    const elapsed = model.get("elapsed") + (running ? (Date.now() - heard) / 1000 : 0);
    pace.textContent = [
      duration(elapsed),
      status === "running" ? expected() : "",
      silent ? `nothing heard from the kernel since ${clock(heard / 1000)}` : "",
    ]
      .filter(Boolean)
      .join(", ");
    pace.classList.toggle("calolab-silent", silent);
  }

  function expected() {
    const [first, remaining] = [model.get("ranks")[0], model.get("remaining")];
    if (!first) return "preparing: the first step also compiles the networks";
    if (first.epoch + 1 >= first.epochs && first.step + 1 >= first.steps) return "finishing";
    if (remaining == null) return "estimating the time left";
    return `about ${duration(remaining - (Date.now() - told) / 1000)} left`;
  }

  function showState() {
    const status = model.get("status");
    state.textContent = status;
    state.dataset.status = status;
    asked &&= status === "running";
    stop.disabled = asked || status !== "running";
    stop.textContent = asked || status === "stopping" ? "Stopping …" : "Stop";
    message.textContent = model.get("message");
    message.hidden = !message.textContent;
    showBars();
    showClock();
  }

  function hear() {
    heard = Date.now();
    showState();
  }

  function hearTimeLeft() {
    told = Date.now();
    showClock();
  }

  const timer = setInterval(showClock, 500);
  const unwatch = [
    watch(model, ["status", "ranks", "message", "elapsed", "noun"], hear),
    watch(model, ["remaining"], hearTimeLeft),
    watch(model, ["losses", "styles", "shown", "log"], losses.show),
    watch(model, ["scores", "floors", "score", "score_epochs", "best_epoch", "judged_by"], epochs.showScores),
    watch(model, ["events", "event_epochs", "event_epoch", "labels", "plane"], epochs.showEvents),
  ];
  showState();
  losses.show();
  epochs.showScores();
  epochs.showEvents();
  return () => {
    clearInterval(timer);
    unwatch.forEach((end) => end());
    losses.remove();
    epochs.remove();
  };
}

export default { render };
