// EnergyInterpolation: showers from the same latent vectors at increasing incident energies, beside reference showers.

/** @import { Cuts, Look, Pen, RenderContext, Role, Scales, Space } from "../shared/types.js" */
/** @import { Background, SlicingTraits } from "./slicing.js" */

import { axes } from "../shared/axes.js";
import { surface } from "../shared/canvas.js";
import { planeSums, unpack } from "../shared/cells.js";
import { scaleTop } from "../shared/colours.js";
import { assign, button, choice, element, onDrag, slider, toggle, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { amount, number } from "../shared/numbers.js";
import { markBeyond } from "../shared/ratios.js";
import { clipped, curve, line, steps } from "../shared/shapes.js";
import { clamp, highest, last, nearest } from "../shared/values.js";
import { slicing } from "./slicing.js";

/** @typedef {{ counts: number[], windows: [number, number][], visible: (number | null)[] }} ReferenceMeans */

/** @typedef {SlicingTraits & {
 *   energy: number,
 *   latent: number,
 *   average: boolean,
 *   about: {
 *     space: Space,
 *     energies: number[],
 *     latents: number,
 *     visible: number[],
 *     reference: ReferenceMeans | null,
 *     names: [string, string],
 *     tops: { single: [number, number], mean: [number, number] },
 *     note: string,
 *   },
 *   showers: DataView<ArrayBuffer>,
 * }} Traits
 */

/** @param {RenderContext<Traits>} context */
async function render({ model, el }) {
  const { space, energies, latents, visible, reference, names, tops, note } = model.get("about");
  const numbers = await unpack(model.get("showers"));
  const size = last(space.starts);
  const shower = (/** @type {number} */ index) => numbers.subarray(index * size, (index + 1) * size);
  // Latent-major, as `traverse` orders its events, followed by the means of the reference.
  const generated = (/** @type {number} */ latent, /** @type {number} */ point) =>
    shower(latent * energies.length + point);
  const referenceMean = (/** @type {number} */ point) => shower(latents * energies.length + point);

  const everyLatent = Array.from({ length: latents }, (_, latent) => latent);
  const everyPoint = energies.map((_, point) => point);
  const means = everyPoint.map((point) => meanOf(everyLatent.map((latent) => generated(latent, point))));
  const responses = everyLatent.map((latent) => everyPoint.map((point) => visible[latent * energies.length + point]));
  const meanResponse = everyPoint.map(
    (point) => responses.reduce((sum, response) => sum + response[point], 0) / latents,
  );

  const point = () => nearest(energies, model.get("energy"));
  const current = (/** @type {number} */ at) => (model.get("average") ? means[at] : generated(model.get("latent"), at));
  // One scale for the whole traversal, so that the increase with the energy is visible.
  const largest = () => scaleTop(...(model.get("average") ? tops.mean : tops.single));

  /** @type {Map<string, number[][]>} */
  const cache = new Map();
  /** Energies of the slices for all latents at the current energy, cached by axis and point.
   *
   * @param {Cuts} cuts
   */
  function latentSums(cuts) {
    const key = `${cuts.axis} ${point()}`;
    const sums = cache.get(key) ?? everyLatent.map((latent) => planeSums(generated(latent, point()), cuts.planes));
    cache.set(key, sums);
    return sums;
  }
  /** @type {Background} */
  const background = {
    draw(pen, cuts, at, look) {
      pen.strokeStyle = look.generated;
      pen.globalAlpha = 0.3;
      pen.lineWidth = 1;
      for (const sums of latentSums(cuts)) steps(pen, cuts.borders, sums, at);
      pen.globalAlpha = 1;
    },
    highest: (cuts) => Math.max(...latentSums(cuts).flat()),
  };

  const view = slicing({
    model,
    space,
    largest,
    background,
    sides: names.flatMap((name, which) => {
      const role = /** @type {Role} */ (which ? "generated" : "reference");
      return which || reference ? [{ name, role }] : [];
    }),
    showers: () => [
      ...(reference ? [reference.counts[point()] ? referenceMean(point()) : null] : []),
      current(point()),
    ],
  });

  const response = surface(
    "visible energy against incident energy, one line for each latent vector",
    "calolab-strip",
    (pen, width, height, look) => {
      const box = { left: 56, top: 6, right: width - 12, bottom: height - 40 };
      const references = reference?.visible.map((value) => value ?? NaN) ?? [];
      const high = 1.08 * scaleTop(highest(references), highest(responses.flat()));
      const range = { low: energies[0], high: last(energies), label: "incident energy", unit: "GeV" };
      const at = axes(pen, box, range, { low: 0, high, label: "visible energy", unit: space.unit }, look);
      const places = energies.map(at.x);
      const trace = (/** @type {number[]} */ heights) => curve(pen, places, heights.map(at.y));
      energyAt = (pixel) => energies[nearest(places, pixel)];
      clipped(pen, box, () => {
        pen.strokeStyle = look.generated;
        pen.lineWidth = 1;
        pen.globalAlpha = 0.3;
        responses.forEach(trace);
        pen.globalAlpha = 1;
        pen.lineWidth = 2;
        const shown = model.get("average") ? meanResponse : responses[model.get("latent")];
        trace(shown);
        markBeyond(pen, box, places, shown, high, names[1], look.generated, look, { unit: space.unit });
        if (reference) {
          pen.strokeStyle = look.reference;
          trace(references);
        }
        pen.strokeStyle = look.faint;
        pen.lineWidth = 1;
        line(pen, at.x(energies[point()]), box.top, at.x(energies[point()]), box.bottom);
      });
    },
  );
  let energyAt = (/** @type {number} */ _pixel) => energies[0];
  onDrag(response.node, (pixel) => assign(model, { energy: energyAt(pixel) }));

  const go = (/** @type {number} */ change) => () =>
    assign(model, { energy: energies[clamp(point() + change, 0, energies.length - 1)] });
  const energySlider = slider({
    label: "incident energy",
    title: "incident energy (keys: up and down)",
    describe: (at) => `${number(energies[at])} GeV`,
    onmove: (at) => assign(model, { energy: energies[at] }),
  });
  const latentSlider = slider({
    label: "latent",
    title: "latent vector",
    describe: (latent) => (model.get("average") ? `mean of ${latents}` : `${latent} (0 to ${latents - 1})`),
    onmove: (latent) => assign(model, { latent, average: false }),
  });
  const shown = choice({
    label: "",
    options: [
      [false, "one latent"],
      [true, `mean of ${latents}`],
    ],
    onpick: (average) => assign(model, { average }),
  });

  /** @type {ReturnType<typeof setInterval> | 0} */
  let playing = 0;
  const play = button({ label: "▶ play", title: "step through all energies (key: p)", onpress: playOrPause });
  function playOrPause() {
    if (playing) stop();
    else {
      playing = setInterval(() => assign(model, { energy: energies[(point() + 1) % energies.length] }), 180);
      play.textContent = "❚❚ pause";
    }
  }
  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "▶ play";
  }

  const keys = {
    energy: { ArrowUp: go(1), ArrowDown: go(-1) },
    ...(latents > 1 && { average: { a: () => toggle(model, "average") } }),
    play: { p: playOrPause },
    ...view.keys,
  };
  frame(
    el,
    { name: "Energy interpolation", keys, note },
    element("div", { class: "calolab-controls" }, energySlider.node, play),
    response.node,
    ...(latents > 1 ? [element("div", { class: "calolab-controls" }, latentSlider.node, shown.node)] : []),
    element("div", { class: "calolab-controls" }, ...view.controls),
    ...view.body,
  );

  function show() {
    const at = point();
    const average = model.get("average");
    energySlider.show(at, 0, energies.length - 1);
    latentSlider.show(model.get("latent"), 0, latents - 1);
    shown.show(average);
    const energy = average ? meanResponse[at] : responses[model.get("latent")][at];
    const selection = average ? `mean of ${latents} latents` : `latent ${model.get("latent")}`;
    const captions = [`${selection}, E ${number(energies[at])} GeV, visible ${amount(energy, space.unit)}`];
    if (reference) {
      const [low, high] = reference.windows[at];
      const [count, mean] = [reference.counts[at], reference.visible[at]];
      const range = `E ${number(low)} to ${number(high)} GeV`;
      captions.unshift(
        mean == null ? `no shower, ${range}` : `mean of ${count}, ${range}, visible ${amount(mean, space.unit)}`,
      );
    }
    response.redraw();
    view.show(captions);
  }
  const unwatch = watch(model, ["energy", "latent", "average"], show);
  show();
  return () => {
    stop();
    unwatch();
    response.remove();
    view.remove();
  };
}

/** @param {Float32Array[]} arrays */
function meanOf(arrays) {
  const mean = new Float32Array(arrays[0].length);
  for (const values of arrays) {
    values.forEach((value, k) => {
      mean[k] += value / arrays.length;
    });
  }
  return mean;
}

export default { render };
