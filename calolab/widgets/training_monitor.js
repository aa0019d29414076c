// TrainingMonitor: a bar for each rank, the losses step by step, and a Stop button.

import { axes, clipped, line, number, surface } from "./drawing.js";
import { assign, button, chips, element, logChoice, watch } from "./controls.js";
import { frame } from "./frame.js";

function render({ model, el }) {
  const state = element("b", { class: "calolab-status" });
  const pace = element("span", { class: "calolab-grow" });
  const stop = button({
    label: "Stop",
    title: "stop all ranks after their running step",
    className: "calolab-stop",
    onpress: halt,
  });
  const bars = element("div", { class: "calolab-bars" });
  const message = element("pre", { class: "calolab-message", role: "alert" });
  const legend = element("span", { class: "calolab-grow" });
  const readout = element("output", { class: "calolab-readout" });
  const chart = surface("losses against training steps", "calolab-profile", drawLosses);
  const scaleChoice = logChoice(model);
  let hovered = null;
  let rows = [];

  frame(
    el,
    { name: "Training monitor", keys: { scale: { l: () => assign(model, { log: !model.get("log") }) } } },
    element("div", { class: "calolab-controls" }, state, pace, stop),
    bars,
    message,
    element("div", { class: "calolab-controls" }, legend, scaleChoice.node),
    chart.node,
    readout,
  );
  chart.node.addEventListener("pointermove", (event) => {
    hovered = rows.length ? chart.pick(event.offsetX) : null;
    chart.redraw();
    tell();
  });
  chart.node.addEventListener("pointerleave", () => {
    hovered = null;
    chart.redraw();
    tell();
  });

  function halt() {
    stop.disabled = true;
    stop.textContent = "Stopping …";
    model.send({ type: "stop" });
  }

  function showBars() {
    bars.replaceChildren(
      ...model.get("ranks").map(({ rank, epoch, epochs, step, steps, samples_per_second: speed }) => {
        const percent = (100 * (epoch * steps + step + 1)) / (epochs * steps);
        const text = `epoch ${epoch + 1} of ${epochs}, step ${step + 1} of ${steps}, ${number(speed)} showers/s`;
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

  function showState() {
    const status = model.get("status");
    state.textContent = status;
    state.dataset.status = status;
    const [elapsed, remaining] = [model.get("elapsed"), model.get("remaining")];
    const left = status === "running" && remaining != null ? `, about ${duration(remaining)} left` : "";
    pace.textContent = elapsed
      ? `${duration(elapsed)}${left}`
      : status === "running"
        ? "waiting for the first step"
        : "";
    stop.disabled = status !== "running";
    stop.textContent = status === "stopping" ? "Stopping …" : "Stop";
    message.textContent = model.get("message");
    message.hidden = !message.textContent;
    showBars();
  }

  function showLosses() {
    const names = model.get("loss_names");
    const bytes = model.get("losses");
    const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const width = names.length + 1;
    rows = Array.from({ length: numbers.length / width }, (_, k) =>
      Array.from(numbers.subarray(k * width, (k + 1) * width)),
    );
    const shown = model.get("shown");
    legend.replaceChildren(
      chips({
        label: "losses",
        options: names.map((name, k) => ({
          name,
          text: name.replaceAll("_", " "),
          checked: shown.includes(name),
          style: `--calolab-key: var(--calolab-series-${(k % 6) + 1})`,
        })),
        onpick: (picked) => assign(model, { shown: picked }),
      }),
    );
    scaleChoice.show(model.get("log"));
    chart.redraw();
    tell();
  }

  const drawn = () =>
    model
      .get("loss_names")
      .flatMap((name, k) => (model.get("shown").includes(name) ? [{ name, column: k + 1, series: k % 6 }] : []));

  function drawLosses(pen, width, height, look) {
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 40 };
    const values = drawn().flatMap(({ column }) => rows.map((row) => row[column]));
    const log = model.get("log");
    const usable = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
    if (!usable.length) {
      pen.fillStyle = look.faint;
      pen.font = look.font(13);
      pen.textAlign = "center";
      pen.fillText(rows.length ? "choose a loss above" : "no step done yet", width / 2, height / 2);
      return;
    }
    const [low, high] = usable.reduce(
      ([a, b], value) => [Math.min(a, value), Math.max(b, value)],
      [Infinity, -Infinity],
    );
    const vertical = log
      ? { low: low / 1.3, high: high * 1.3, log }
      : { low: Math.min(0, low), high: high * 1.06 || 1 };
    const along = { low: 0, high: Math.max(rows.at(-1)[0], 2), label: bucketText() };
    const at = axes(pen, box, along, { ...vertical, label: "loss" }, look);
    chart.pick = (pixel) =>
      rows.reduce(
        (best, row, k) => (Math.abs(at.x(row[0]) - pixel) < Math.abs(at.x(rows[best][0]) - pixel) ? k : best),
        0,
      );
    clipped(pen, box, () => {
      for (const { column, series } of drawn()) {
        pen.strokeStyle = look.series[series];
        pen.lineWidth = 1.8;
        pen.beginPath();
        for (const row of rows) if (Number.isFinite(row[column])) pen.lineTo(at.x(row[0]), at.y(row[column]));
        pen.stroke();
      }
      if (hovered != null && rows[hovered]) {
        pen.strokeStyle = look.faint;
        pen.lineWidth = 1;
        line(pen, at.x(rows[hovered][0]), box.top, at.x(rows[hovered][0]), box.bottom);
      }
    });
  }
  const bucketText = () =>
    model.get("bucket") > 1 ? `training step (each point: mean of ${model.get("bucket")} steps)` : "training step";

  function tell() {
    const row = hovered == null ? null : rows[hovered];
    const found = row && drawn().map(({ name, column }) => `${name.replaceAll("_", " ")} ${number(row[column], 4)}`);
    readout.textContent = row ? `step ${number(row[0], 6)} · ${found.join(" · ")}` : "";
  }

  const unwatch = [
    watch(model, ["status", "ranks", "message", "elapsed", "remaining"], showState),
    watch(model, ["losses", "shown", "log"], showLosses),
  ];
  showState();
  showLosses();
  return () => {
    unwatch.forEach((end) => end());
    chart.remove();
  };
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export default { render };
