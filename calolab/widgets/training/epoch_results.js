// What the epochs of a training left: a score with its floor and the best epoch, and an event generated after each.

import { colourScale, scaleTop } from "../shared/colours.js";
import { axes, clipped, number, surface, ticks } from "../shared/drawing.js";
import { assign, dropdown, element, slider } from "../shared/controls.js";
import { dot } from "./loss_chart.js";
import { drawCells } from "../shared/cells.js";

/** The panels of a model; `showScores()` and `showEvents()` after its traits have changed. */
export function epochResults(model) {
  const scoring = element("figcaption", {});
  const chart = surface("physics score against epochs", "calolab-scores", drawScores);
  const scoreChoice = dropdown({ label: "score", onpick: (score) => assign(model, { score }) });
  const captions = [element("figcaption", {}), element("figcaption", {})];
  const panels = captions.map((_, k) =>
    surface(k ? "generated event" : "reference event", "calolab-snapshot", (...place) => drawEvent(k, ...place)),
  );
  const epochSlider = slider({
    label: "after epoch",
    title: "the epoch after which the shown event was generated",
    describe: (place) => String(model.get("event_epochs")[place] ?? ""),
    // At its end it follows the training.
    onmove: (place) =>
      assign(model, {
        event_epoch: place === model.get("event_epochs").length - 1 ? 0 : model.get("event_epochs")[place],
      }),
  });
  const scores = element("figure", { class: "calolab-scoring" }, scoring, chart.node);
  const figures = panels.map((panel, k) => element("figure", {}, captions[k], panel.node));
  const root = element("div", { class: "calolab-epochs" }, scores, ...figures);
  const controls = element("div", { class: "calolab-controls" }, scoreChoice.node, epochSlider.node);
  let images = [];

  const values = (name) => model.get("scores")[name] ?? [];
  const floors = (name) => model.get("floors")[name] ?? [];
  const words = (name) => name.replaceAll("_", " ");

  function showScores() {
    const [name, epochs] = [model.get("score"), model.get("score_epochs")];
    const names = Object.keys(model.get("scores"));
    scores.hidden = !name;
    scoreChoice.node.hidden = names.length < 2;
    scoreChoice.show(
      name,
      names.map((one) => [one, one === model.get("judged_by") ? `${words(one)} (selects the best epoch)` : words(one)]),
    );
    const latest = `latest ${number(values(name).at(-1) ?? NaN)}`;
    const floor = floors(name).at(-1);
    const best = bestOf(name);
    scoring.replaceChildren(
      element("b", {}, words(name)),
      [latest, best == null ? "" : `best ${number(values(name)[best])} after epoch ${epochs[best]}`]
        .concat(floor == null ? [] : [`floor ${number(floor)}`])
        .filter(Boolean)
        .join(", "),
    );
    showWhether();
    chart.redraw();
  }

  const bestOf = (name) => {
    const place = model.get("score_epochs").indexOf(model.get("best_epoch"));
    return name === model.get("judged_by") && place >= 0 ? place : null;
  };

  function showWhether() {
    figures.forEach((figure) => (figure.hidden = !model.get("event_epochs").length));
    epochSlider.node.hidden = model.get("event_epochs").length < 2;
    root.hidden = scores.hidden && figures[0].hidden;
    controls.hidden = scoreChoice.node.hidden && epochSlider.node.hidden;
  }

  function drawScores(pen, width, height, look) {
    const [name, epochs] = [model.get("score"), model.get("score_epochs")];
    const [found, floor] = [values(name), floors(name)];
    const usable = [...found, ...floor].filter(Number.isFinite);
    if (!usable.length) return;
    const box = { left: 58, top: 8, right: width - 12, bottom: height - 40 };
    const [low, high] = [Math.min(0, ...usable), Math.max(...usable)];
    const along = { low: Math.max(epochs[0] - 1, 0), high: epochs.at(-1) + 1, label: "epoch" };
    along.ticks = ticks(along, Math.max(2, Math.round(width / 90))).filter(Number.isInteger);
    const vertical = { low, high: high + 0.08 * (high - low) || 1, label: words(name) };
    const at = axes(pen, box, along, vertical, look);
    const trace = (column) => {
      pen.beginPath();
      column.forEach((value, k) => value != null && pen.lineTo(at.x(epochs[k]), at.y(value)));
      pen.stroke();
    };
    clipped(pen, box, () => {
      pen.strokeStyle = look.reference;
      pen.lineWidth = 1.5;
      pen.setLineDash([6, 4]);
      // Of a single epoch, too, the floor is a line.
      const last = floor.findLast((value) => value != null);
      if (last != null && floor.length === 1) {
        pen.beginPath();
        pen.moveTo(box.left, at.y(last));
        pen.lineTo(box.right, at.y(last));
        pen.stroke();
      } else trace(floor);
      pen.setLineDash([]);
      if (last != null) {
        pen.fillStyle = look.reference;
        pen.font = look.font(11);
        pen.textAlign = "left";
        pen.textBaseline = at.y(last) > box.top + 24 ? "bottom" : "top";
        pen.fillText("floor: real against real", box.left + 6, at.y(last) + (at.y(last) > box.top + 24 ? -3 : 4));
      }
      pen.strokeStyle = look.generated;
      pen.fillStyle = look.generated;
      pen.lineWidth = 2;
      trace(found);
      found.forEach((value, k) => value != null && dot(pen, at.x(epochs[k]), at.y(value), found.length < 40 ? 3 : 1.5));
      const best = bestOf(name);
      if (best != null) {
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc(at.x(epochs[best]), at.y(found[best]), 7, 0, 2 * Math.PI);
        pen.stroke();
      }
    });
  }

  function showEvents() {
    const bytes = model.get("events");
    const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const edges = model.get("plane").edges;
    const size = edges ? (edges[0].length - 1) * (edges[1].length - 1) : 1;
    images = Array.from({ length: all.length / size }, (_, k) => all.subarray(k * size, (k + 1) * size));
    const epochs = model.get("event_epochs");
    const chosen = epochs.indexOf(model.get("event_epoch"));
    const place = chosen < 0 ? epochs.length - 1 : chosen;
    epochSlider.show(place, 0, epochs.length - 1);
    images = images.length ? [images[0], images[place + 1]] : [];
    const facts = (cells) => {
      const { note, unit } = model.get("plane");
      const total = cells.reduce((sum, value) => sum + value, 0);
      return [unit ? `${note ? "" : "sum "}${number(total)} ${unit}` : "", note].filter(Boolean).join(", ");
    };
    if (images.length) {
      captions[0].replaceChildren(element("b", { class: "calolab-reference" }, "reference"), model.get("labels"));
      captions[1].replaceChildren(
        element("b", { class: "calolab-generated" }, `generated after epoch ${epochs[place]}`),
        "same noise in every epoch",
      );
      images.forEach((cells, k) => captions[k].append(element("br"), facts(cells)));
    }
    showWhether();
    panels.forEach((panel) => panel.redraw());
  }

  function drawEvent(which, pen, width, height, look) {
    const cells = images[which];
    if (!cells) return;
    const space = model.get("plane");
    // One scale for both, which the reference sets. Only maps have negative cells, and no decades to show.
    const signed = Math.min(...images[0]) < 0;
    const [reference, generated] = images.map((one) => Math.max(...(signed ? one.map(Math.abs) : one)));
    const colours = colourScale(scaleTop(reference, generated), !signed, { signed });
    const [[columns, rows], [columnAxis, rowAxis]] = [space.edges, space.axes];
    drawCells(pen, width, height, { columns, rows, columnAxis, rowAxis, down: space.rows_first }, cells, colours, space, look);
  }

  return {
    nodes: [controls, root],
    showScores,
    showEvents,
    remove: () => [chart, ...panels].forEach((one) => one.remove()),
  };
}
