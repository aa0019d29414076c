// EnergyInterpolation: the shower of one latent vector while the incident energy moves, beside the mean of ten and reference showers.

import { axes, clipped, line, number, steps, surface } from "../shared/drawing.js";
import { amount, scaleTop } from "../shared/colours.js";
import { cut, planeSums, unpack } from "../shared/cells.js";
import { markBeyond } from "../shared/ratios.js";
import { assign, button, choice, element, slider, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { slicing } from "./slicing.js";

async function render({ model, el }) {
  const { space, energies, latents, visible, reference, names, tops, note } = model.get("about");
  const numbers = await unpack(model.get("showers"));
  const size = space.starts.at(-1);
  const shower = (index) => numbers.subarray(index * size, (index + 1) * size);
  // Latent-major, as `traverse` orders its events; the means of the reference follow after all of them.
  const generated = (latent, point) => shower(latent * energies.length + point);
  const referenceMean = (point) => shower(latents * energies.length + point);

  const everyLatent = Array.from({ length: latents }, (_, latent) => latent);
  const everyPoint = energies.map((_, point) => point);
  const means = everyPoint.map((point) => meanOf(everyLatent.map((latent) => generated(latent, point))));
  const responses = [
    ...everyLatent.map((latent) => everyPoint.map((point) => visible[latent * energies.length + point])),
  ];
  const meanResponse = everyPoint.map(
    (point) => responses.reduce((sum, response) => sum + response[point], 0) / latents,
  );

  const point = () => nearest(energies, model.get("energy"));
  const current = (at) => (model.get("average") ? means[at] : generated(model.get("latent"), at));
  // One scale for the whole traversal, so that a rising energy is seen to rise.
  const largest = () => scaleTop(...tops[model.get("average") ? "mean" : "single"]);

  const sums = new Map();
  /** Slice energies of all latents at the current energy, kept per axis and point. */
  function latentSums(cuts) {
    const key = `${cuts.axis} ${point()}`;
    if (!sums.has(key))
      sums.set(
        key,
        everyLatent.map((latent) => planeSums(generated(latent, point()), cuts.planes)),
      );
    return sums.get(key);
  }
  function behind(pen, cuts, at, look) {
    pen.strokeStyle = look.generated;
    pen.globalAlpha = 0.3;
    pen.lineWidth = 1;
    for (const one of latentSums(cuts)) {
      steps(pen, cuts.borders, one, at);
    }
    pen.globalAlpha = 1;
  }
  behind.highest = (cuts) => Math.max(...latentSums(cuts).flat());

  const view = slicing({
    model,
    space,
    largest,
    behind,
    sides: [...(reference ? [{ name: names[0], role: "reference" }] : []), { name: names[1], role: "generated" }],
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
      const highest = (values) => values.filter(Number.isFinite).reduce((most, value) => Math.max(most, value), 0);
      const high = 1.08 * scaleTop(highest(reference?.visible ?? []), highest(responses.flat()));
      const range = { low: energies[0], high: energies.at(-1), label: "incident energy", unit: "GeV" };
      const at = axes(pen, box, range, { low: 0, high, label: "visible", unit: space.unit }, look);
      const trace = (heights) => {
        pen.beginPath();
        heights.forEach((height, k) => Number.isFinite(height) && pen.lineTo(at.x(energies[k]), at.y(height)));
        pen.stroke();
      };
      response.pick = (pixel) => energies[nearest(energies.map(at.x), pixel)];
      clipped(pen, box, () => {
        pen.strokeStyle = look.generated;
        pen.lineWidth = 1;
        pen.globalAlpha = 0.3;
        responses.forEach(trace);
        pen.globalAlpha = 1;
        pen.lineWidth = 2;
        const shown = model.get("average") ? meanResponse : responses[model.get("latent")];
        trace(shown);
        markBeyond(pen, box, energies.map(at.x), shown, high, names[1], look.generated, look, { unit: space.unit });
        if (reference) {
          pen.strokeStyle = look.reference;
          trace(reference.visible.map((value) => value ?? NaN));
        }
        pen.strokeStyle = look.faint;
        pen.lineWidth = 1;
        line(pen, at.x(energies[point()]), box.top, at.x(energies[point()]), box.bottom);
      });
    },
  );
  const drag = (event) => event.buttons & 1 && assign(model, { energy: response.pick(event.offsetX) });
  response.node.addEventListener("pointerdown", drag);
  response.node.addEventListener("pointermove", drag);

  const go = (change) => () =>
    assign(model, { energy: energies[Math.min(Math.max(point() + change, 0), energies.length - 1)] });
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

  let playing = 0;
  const play = button({ label: "▶ play", title: "run through the energies (key: p)", onpress: toggle });
  function toggle() {
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
    average: { a: () => assign(model, { average: !model.get("average") }) },
    play: { p: toggle },
    ...view.keys,
  };
  frame(
    el,
    { name: "Energy interpolation", keys, note },
    element("div", { class: "calolab-controls" }, energySlider.node, play),
    response.node,
    element("div", { class: "calolab-controls" }, latentSlider.node, shown.node),
    element("div", { class: "calolab-controls" }, ...view.controls),
    ...view.body,
  );

  function show() {
    const at = point();
    const average = model.get("average");
    energySlider.show(at, 0, energies.length - 1);
    latentSlider.show(model.get("latent"), 0, latents - 1);
    shown.show(average);
    const seen = average ? meanResponse[at] : responses[model.get("latent")][at];
    const what = average ? `mean of ${latents} latents` : `latent ${model.get("latent")}`;
    const facts = [`${what}, E ${number(energies[at])} GeV, visible ${amount(seen, space.unit)}`];
    if (reference) {
      const [low, high] = reference.windows[at];
      const count = reference.counts[at];
      const found = count ? `mean of ${count}, visible ${amount(reference.visible[at], space.unit)}` : "no shower";
      facts.unshift(`${found}, E ${number(low)} to ${number(high)} GeV`);
    }
    response.redraw();
    view.show(facts);
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

function meanOf(arrays) {
  const mean = new Float32Array(arrays[0].length);
  for (const values of arrays) values.forEach((value, k) => (mean[k] += value / arrays.length));
  return mean;
}

function nearest(values, wanted) {
  return values.reduce((best, value, k) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? k : best), 0);
}

export default { render };
