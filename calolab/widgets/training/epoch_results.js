// Results of a training's epochs: a score with its floor and the best epoch, and an event generated after each epoch.

/** @import { Axes, Look, Model, Pen } from "../shared/types.js" */

import { axes, fineTicks, wholeTicks } from "../shared/axes.js";
import { surface } from "../shared/canvas.js";
import { drawCells, floats } from "../shared/cells.js";
import { colourScale, scaleTop } from "../shared/colours.js";
import { assign, dropdown, element, slider } from "../shared/controls.js";
import { number } from "../shared/numbers.js";
import { clipped, curve, dot, drawEmpty, line } from "../shared/shapes.js";
import { extent, last } from "../shared/values.js";

/** @typedef {{
 *   log: boolean,
 *   score: string,
 *   scores: Record<string, (number | null)[]>,
 *   floors: Record<string, (number | null)[]>,
 *   score_epochs: number[],
 *   judged_by: string,
 *   best_epoch: number | null,
 *   plane: Axes & { edges: [number[], number[]], rows_first: boolean, note: string, unit: string },
 *   events: DataView<ArrayBuffer>,
 *   event_epochs: number[],
 *   event_epoch: number,
 *   labels: string,
 * }} EpochTraits
 */

/** The panels; `showScores()` and `showEvents()` after the traits have changed.
 *
 * @param {Model<EpochTraits>} model
 */
export function epochResults(model) {
  const scoring = element("figcaption", {});
  const chart = surface("physics score against epochs", "calolab-scores", drawScores);
  const scoreChoice = dropdown({ label: "score", onpick: (score) => assign(model, { score }) });
  const captions = [element("figcaption", {}), element("figcaption", {})];
  const panels = captions.map((_, k) =>
    surface(k ? "generated event" : "reference event", "calolab-snapshot", (...canvas) => drawEvent(k, ...canvas)),
  );
  const epochSlider = slider({
    label: "after epoch",
    title: "the epoch after which the displayed event was generated",
    describe: (place) => String(model.get("event_epochs")[place] ?? ""),
    // At its end, the slider follows the training.
    onmove: (place) =>
      assign(model, {
        event_epoch: place === model.get("event_epochs").length - 1 ? 0 : model.get("event_epochs")[place],
      }),
  });
  const scores = element("figure", { class: "calolab-scoring" }, scoring, chart.node);
  const figures = panels.map((panel, k) => element("figure", {}, captions[k], panel.node));
  const root = element("div", { class: "calolab-epochs" }, scores, ...figures);
  const controls = element("div", { class: "calolab-controls" }, scoreChoice.node, epochSlider.node);
  /** @type {Float32Array[]} */
  let images = [];

  const values = (/** @type {string} */ name) => model.get("scores")[name] ?? [];
  const floors = (/** @type {string} */ name) => model.get("floors")[name] ?? [];
  const title = (/** @type {string} */ name) => name.replaceAll("_", " ");

  function showScores() {
    const [name, epochs] = [model.get("score"), model.get("score_epochs")];
    const names = Object.keys(model.get("scores"));
    scores.hidden = !name;
    scoreChoice.node.hidden = names.length < 2;
    scoreChoice.show(
      name,
      names.map((one) => {
        const note = one === model.get("judged_by") ? " (selects the best epoch)" : "";
        return [one, `${title(one)}${note}`];
      }),
    );
    const latest = values(name).some((value) => value != null)
      ? `latest ${number(values(name).at(-1) ?? NaN)}`
      : "no finite value yet";
    const floor = floors(name).at(-1);
    const best = bestOf(name);
    scoring.replaceChildren(
      element("b", {}, title(name)),
      [latest, best == null ? "" : `best ${number(values(name)[best] ?? NaN)} after epoch ${epochs[best]}`]
        .concat(floor == null ? [] : [`floor ${number(floor)}`])
        .filter(Boolean)
        .join(", "),
    );
    showOrHide();
    chart.redraw();
  }

  /** @param {string} name */
  const bestOf = (name) => {
    const place = model.get("score_epochs").indexOf(model.get("best_epoch") ?? 0);
    return name === model.get("judged_by") && place >= 0 ? place : null;
  };

  function showOrHide() {
    figures.forEach((figure) => {
      figure.hidden = !model.get("event_epochs").length;
    });
    epochSlider.node.hidden = model.get("event_epochs").length < 2;
    root.hidden = scores.hidden && figures[0].hidden;
    controls.hidden = scoreChoice.node.hidden && epochSlider.node.hidden;
  }

  /** @param {Pen} pen @param {number} width @param {number} height @param {Look} look */
  function drawScores(pen, width, height, look) {
    const [name, epochs] = [model.get("score"), model.get("score_epochs")];
    const [scores, floor] = [values(name), floors(name)];
    const finite = [...scores, ...floor].filter((value) => value != null);
    if (!finite.length) return drawEmpty(pen, width, height, look, "no finite value yet");
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 40 };
    const { low, high } = extent(finite);
    const range = { low: Math.max(epochs[0] - 1, 0), high: last(epochs) + 1 };
    const along = { ...range, label: "epoch", ticks: wholeTicks(range, width / 90) };
    const log = model.get("log") && low > 0;
    const bottom = Math.min(low, 0);
    // In the first epochs a score is often many times its floor.
    const margin = Math.max((high / low) ** 0.08, 1.2);
    const vertical = log
      ? { low: low / margin, high: high * margin, log }
      : { low: bottom, high: high + 0.08 * (high - bottom) || 1 };
    const at = axes(pen, box, along, { ...vertical, label: title(name), ticks: fineTicks(vertical) }, look);
    const trace = (/** @type {(number | null)[]} */ column) =>
      curve(
        pen,
        epochs.map(at.x),
        column.map((value) => (value == null ? NaN : at.y(value))),
      );
    clipped(pen, box, () => {
      pen.strokeStyle = look.reference;
      pen.lineWidth = 1.5;
      pen.setLineDash([6, 4]);
      // Also for a single epoch, the floor is a line.
      const latest = floor.findLast((value) => value != null);
      if (latest != null && floor.length === 1) line(pen, box.left, at.y(latest), box.right, at.y(latest));
      else trace(floor);
      pen.setLineDash([]);
      if (latest != null) {
        const isBelow = at.y(latest) > box.top + 24;
        pen.fillStyle = look.reference;
        pen.font = look.font(11);
        pen.textAlign = "left";
        pen.textBaseline = isBelow ? "bottom" : "top";
        pen.fillText("floor: real against real", box.left + 6, at.y(latest) + (isBelow ? -3 : 4));
      }
      pen.strokeStyle = look.generated;
      pen.fillStyle = look.generated;
      pen.lineWidth = 2;
      trace(scores);
      const radius = scores.length < 40 ? 3 : 1.5;
      scores.forEach((value, k) => value != null && dot(pen, at.x(epochs[k]), at.y(value), radius));
      const best = bestOf(name);
      const score = best == null ? null : scores[best];
      if (best != null && score != null) {
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc(at.x(epochs[best]), at.y(score), 7, 0, 2 * Math.PI);
        pen.stroke();
      }
    });
  }

  function showEvents() {
    const all = floats(model.get("events"));
    const edges = model.get("plane").edges;
    const size = edges ? (edges[0].length - 1) * (edges[1].length - 1) : 1;
    images = Array.from({ length: all.length / size }, (_, k) => all.subarray(k * size, (k + 1) * size));
    const epochs = model.get("event_epochs");
    const selected = epochs.indexOf(model.get("event_epoch"));
    const place = selected < 0 ? epochs.length - 1 : selected;
    epochSlider.show(place, 0, epochs.length - 1);
    images = images.length ? [images[0], images[place + 1]] : [];
    const caption = (/** @type {Float32Array} */ cells) => {
      const { note, unit } = model.get("plane");
      const total = cells.reduce((sum, value) => sum + value, 0);
      return [unit ? `${note ? "" : "sum "}${number(total)} ${unit}` : "", note].filter(Boolean).join(", ");
    };
    if (images.length) {
      captions[0].replaceChildren(element("b", { class: "calolab-reference" }, "reference"), model.get("labels"));
      captions[1].replaceChildren(
        element("b", { class: "calolab-generated" }, `generated after epoch ${epochs[place]}`),
        "same latent vector in every epoch",
      );
      images.forEach((cells, k) => captions[k].append(element("br"), caption(cells)));
    }
    showOrHide();
    panels.forEach((panel) => panel.redraw());
  }

  /** @param {number} which @param {Pen} pen @param {number} width @param {number} height @param {Look} look */
  function drawEvent(which, pen, width, height, look) {
    const cells = images[which];
    if (!cells) return;
    const space = model.get("plane");
    // One scale for both, set by the reference. Negative cells occur in maps only, which need no logarithmic scale.
    const signed = Math.min(...images[0]) < 0;
    const [reference, generated] = images.map((one) =>
      Math.max(...(signed ? one.map((value) => Math.abs(value)) : one)),
    );
    const colours = colourScale(scaleTop(reference, generated), !signed, { signed });
    const [[columns, rows], [columnAxis, rowAxis]] = [space.edges, space.axes];
    const grid = { columns, rows, columnAxis, rowAxis, down: space.rows_first };
    drawCells(pen, width, height, grid, cells, colours, space, look);
  }

  return {
    nodes: [controls, root],
    showScores,
    showEvents,
    remove: () => [chart, ...panels].forEach((one) => one.remove()),
  };
}
