// The losses of a training step by step, each with a colour and a dash of its own, and the legend that chooses them.

import { axes, clipped, fineTicks, line, number, surface, ticks } from "../shared/drawing.js";
import { assign, chips, element, logChoice } from "../shared/controls.js";

/** The losses of a model; `show()` after its traits have changed. */
export function lossChart(model) {
  const legend = element("div", { class: "calolab-legends", role: "group", "aria-label": "losses" });
  const readout = element("output", { class: "calolab-readout" });
  const chart = surface("losses against training steps", "calolab-profile calolab-losses", drawLosses);
  const scaleChoice = logChoice(model);
  let rows = [];
  let hovered = null;
  let pick = null;
  let listed = "";

  chart.node.addEventListener("pointermove", (event) => hover(rows.length && pick ? pick(event.offsetX) : null));
  chart.node.addEventListener("pointerleave", () => hover(null));

  function hover(place) {
    hovered = place;
    chart.redraw();
    tell();
  }

  const drawn = () =>
    model
      .get("styles")
      .flatMap((style, k) => (model.get("shown").includes(style.name) ? [{ ...style, column: k + 1 }] : []));

  /** Read the model's losses again. */
  function show() {
    const bytes = model.get("losses");
    const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const width = model.get("styles").length + 1;
    rows = Array.from({ length: numbers.length / width }, (_, k) =>
      Array.from(numbers.subarray(k * width, (k + 1) * width)),
    );
    scaleChoice.show(model.get("log"));
    showLegend();
    chart.redraw();
    tell();
  }

  // Replaced only when it changes: a box that is replaced between press and release would miss the click.
  function showLegend() {
    const [styles, shown] = [model.get("styles"), model.get("shown")];
    const key = JSON.stringify([styles, shown]);
    if (key === listed) return;
    listed = key;
    const groups = [...new Set(styles.map(({ group }) => group))];
    legend.replaceChildren(
      ...groups.flatMap((group) => [
        element("span", {}, group),
        chips({
          label: `losses ${group}`,
          options: styles
            .filter((style) => style.group === group)
            .map((style) => ({
              name: style.name,
              text: style.text,
              checked: shown.includes(style.name),
              key: keyLine(style),
            })),
          onpick: (picked) =>
            assign(model, {
              shown: styles
                .filter((one) => (one.group === group ? picked : model.get("shown")).includes(one.name))
                .map(({ name }) => name),
            }),
        }),
      ]),
    );
  }

  const thickness = ({ dash }) => (dash === 0 ? 2.2 : 1.7);
  const dashOf = (style) => model.get("dashes")[style.dash].map((length) => length * thickness(style));

  function keyLine(style) {
    const node = element("span", { "aria-hidden": "true", style: "display: contents" });
    const dash = dashOf(style).join(" ");
    node.innerHTML =
      `<svg viewBox="0 0 28 8"><line x1="0" y1="4" x2="28" y2="4" stroke-width="${thickness(style)}" ` +
      `stroke="var(--calolab-series-${style.colour + 1})" ${dash && `stroke-dasharray="${dash}"`}/></svg>`;
    return node;
  }

  function drawLosses(pen, width, height, look) {
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 40 };
    const log = model.get("log");
    const usable = (value) => Number.isFinite(value) && (!log || value > 0);
    const values = drawn()
      .flatMap(({ column }) => rows.map((row) => row[column]))
      .filter(usable);
    pick = null;
    if (!values.length) {
      pen.fillStyle = look.faint;
      pen.font = look.font(13);
      pen.textAlign = "center";
      const negative = rows.length && drawn().length;
      const words = negative ? "no positive value: choose the linear scale" : "choose a loss above";
      pen.fillText(rows.length ? words : "no step done yet", width / 2, height / 2);
      return;
    }
    const [low, high] = values.reduce(
      ([a, b], value) => [Math.min(a, value), Math.max(b, value)],
      [Infinity, -Infinity],
    );
    const vertical = log
      ? { low: low / 1.3, high: high * 1.3, log }
      : { low: Math.min(0, low * 1.06), high: Math.max(high * 1.06, 0) || 1 };
    const along = { low: 0, high: Math.max(rows.at(-1)[0], 2) };
    const whole = ticks(along, Math.max(2, Math.round(width / 90))).filter(Number.isInteger);
    const at = axes(pen, box, { ...along, label: stepText(), ticks: whole }, { ...vertical, label: "loss", ticks: fineTicks(vertical) }, look);
    pick = (pixel) =>
      rows.reduce(
        (best, row, k) => (Math.abs(at.x(row[0]) - pixel) < Math.abs(at.x(rows[best][0]) - pixel) ? k : best),
        0,
      );
    clipped(pen, box, () => {
      for (const style of drawn()) {
        const points = rows.filter((row) => usable(row[style.column]));
        pen.strokeStyle = look.series[style.colour];
        pen.fillStyle = look.series[style.colour];
        pen.lineWidth = thickness(style);
        pen.setLineDash(dashOf(style));
        pen.beginPath();
        for (const row of points) pen.lineTo(at.x(row[0]), at.y(row[style.column]));
        pen.stroke();
        pen.setLineDash([]);
        // Few points are marked: a line needs two.
        if (points.length < 30) points.forEach((row) => dot(pen, at.x(row[0]), at.y(row[style.column]), 3));
      }
      if (hovered != null && rows[hovered]) {
        pen.strokeStyle = look.faint;
        pen.lineWidth = 1;
        line(pen, at.x(rows[hovered][0]), box.top, at.x(rows[hovered][0]), box.bottom);
      }
    });
  }

  const stepText = () =>
    model.get("bucket") > 1 ? `training step (each point: mean of ${model.get("bucket")} steps)` : "training step";

  function tell() {
    const row = hovered == null ? null : rows[hovered];
    const found = row && drawn().map(({ name, column }) => `${name.replaceAll("_", " ")} ${number(row[column], 4)}`);
    readout.textContent = row ? `step ${number(row[0], 6)} · ${found.join(" · ")}` : "";
  }

  return {
    nodes: [element("div", { class: "calolab-controls" }, legend, scaleChoice.node), chart.node, readout],
    show,
    remove: chart.remove,
  };
}

/** A filled circle. */
export function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}
