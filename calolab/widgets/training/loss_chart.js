// The losses of a training at each step, each with its colour and dash, and the legend that selects them.

/** @import { Look, Model, Pen } from "../shared/types.js" */

import { axes, fineTicks, wholeTicks } from "../shared/axes.js";
import { surface } from "../shared/canvas.js";
import { floats } from "../shared/cells.js";
import { assign, chips, element, logChoice } from "../shared/controls.js";
import { number } from "../shared/numbers.js";
import { clipped, curve, dot, drawEmpty, line } from "../shared/shapes.js";
import { extent, last, nearest } from "../shared/values.js";

/** The fields of `plots.training.Style`.
 *
 * @typedef {{ name: string, text: string, group: string, colour: number, dash: number }} Style
 */

/** @typedef {{
 *   losses: DataView<ArrayBuffer>,
 *   styles: Style[],
 *   dashes: number[][],
 *   shown: string[],
 *   log: boolean,
 *   steps_per_point: number,
 * }} LossTraits
 */

/** The chart of the losses with its legend; `show()` after the traits have changed.
 *
 * @param {Model<LossTraits>} model
 */
export function lossChart(model) {
  const legend = element("div", { class: "calolab-legends", role: "group", "aria-label": "losses" });
  const readout = element("output", { class: "calolab-readout" });
  const chart = surface("losses against training steps", "calolab-profile calolab-losses", drawLosses);
  const scaleChoice = logChoice(model);
  /** Step and losses of each point.
   *
   * @type {number[][]}
   */
  let rows = [];
  /** @type {number | null} */
  let hovered = null;
  /** The point at a pixel, once the chart has been drawn.
   *
   * @type {((pixel: number) => number) | null}
   */
  let pointAt = null;
  let listed = "";

  chart.node.addEventListener("pointermove", (event) => hover(rows.length && pointAt ? pointAt(event.offsetX) : null));
  chart.node.addEventListener("pointerleave", () => hover(null));

  /** @param {number | null} point */
  function hover(point) {
    hovered = point;
    chart.redraw();
    showReadout();
  }

  const drawnLosses = () =>
    model
      .get("styles")
      .flatMap((style, k) => (model.get("shown").includes(style.name) ? [{ ...style, column: k + 1 }] : []));

  /** Display the current losses. */
  function show() {
    const numbers = floats(model.get("losses"));
    const width = model.get("styles").length + 1;
    rows = Array.from({ length: numbers.length / width }, (_, k) =>
      Array.from(numbers.subarray(k * width, (k + 1) * width)),
    );
    scaleChoice.show(model.get("log"));
    showLegend();
    chart.redraw();
    showReadout();
  }

  // Replaced only if it has changed: a check box that is replaced between press and release would miss the click.
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

  const thickness = (/** @type {Style} */ { dash }) => (dash === 0 ? 2.2 : 1.7);
  const dashOf = (/** @type {Style} */ style) =>
    model.get("dashes")[style.dash].map((length) => length * thickness(style));

  /** The line of a loss in the legend.
   *
   * @param {Style} style
   */
  function keyLine(style) {
    const node = element("span", { "aria-hidden": "true", style: "display: contents" });
    const dash = dashOf(style).join(" ");
    node.innerHTML =
      `<svg viewBox="0 0 28 8"><line x1="0" y1="4" x2="28" y2="4" stroke-width="${thickness(style)}" ` +
      `stroke="var(--calolab-series-${style.colour + 1})" ${dash && `stroke-dasharray="${dash}"`}/></svg>`;
    return node;
  }

  /** @param {Pen} pen @param {number} width @param {number} height @param {Look} look */
  function drawLosses(pen, width, height, look) {
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 40 };
    const log = model.get("log");
    const isDrawable = (/** @type {number} */ value) => Number.isFinite(value) && (!log || value > 0);
    const values = drawnLosses()
      .flatMap(({ column }) => rows.map((row) => row[column]))
      .filter(isDrawable);
    pointAt = null;
    if (!values.length) {
      const reason = drawnLosses().length ? "no positive value: select the linear scale" : "select a loss above";
      drawEmpty(pen, width, height, look, rows.length ? reason : "no step completed yet");
      return;
    }
    const { low, high } = extent(values);
    const vertical = log
      ? { low: low / 1.3, high: high * 1.3, log }
      : { low: Math.min(0, low * 1.06), high: Math.max(high * 1.06, 0) || 1 };
    const steps = rows.map((row) => row[0]);
    const along = { low: 0, high: Math.max(last(steps), 2) };
    const at = axes(
      pen,
      box,
      { ...along, label: stepText(), ticks: wholeTicks(along, width / 90) },
      { ...vertical, label: "loss", ticks: fineTicks(vertical) },
      look,
    );
    const places = steps.map(at.x);
    pointAt = (pixel) => nearest(places, pixel);
    clipped(pen, box, () => {
      for (const style of drawnLosses()) {
        const heights = rows.map((row) => (isDrawable(row[style.column]) ? at.y(row[style.column]) : NaN));
        pen.strokeStyle = look.series[style.colour];
        pen.lineWidth = thickness(style);
        pen.setLineDash(dashOf(style));
        curve(pen, places, heights);
        pen.setLineDash([]);
        // A few points are drawn as markers, too.
        if (rows.length < 30) heights.forEach((y, k) => Number.isFinite(y) && dot(pen, places[k], y, 3));
      }
      const row = hovered == null ? null : rows[hovered];
      if (row) {
        pen.strokeStyle = look.faint;
        pen.lineWidth = 1;
        line(pen, at.x(row[0]), box.top, at.x(row[0]), box.bottom);
      }
    });
  }

  const stepText = () =>
    model.get("steps_per_point") > 1
      ? `training step (each point: mean of ${model.get("steps_per_point")} steps)`
      : "training step";

  function showReadout() {
    const row = hovered == null ? null : rows[hovered];
    const values = row
      ? drawnLosses().map(({ name, column }) => `${name.replaceAll("_", " ")} ${number(row[column], 4)}`)
      : [];
    readout.textContent = row ? `step ${number(row[0], 6)} · ${values.join(" · ")}` : "";
  }

  return {
    nodes: [element("div", { class: "calolab-controls" }, legend, scaleChoice.node), chart.node, readout],
    show,
    remove: chart.remove,
  };
}
