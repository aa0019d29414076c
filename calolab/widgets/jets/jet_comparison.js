// JetComparison: images of events with their jets, and histograms of the jets of many events, real and generated.
// The browser changes the event; for another sample, mass point or pile-up, Python sends `scene` and `distributions`.

/** @import { CellPanel, Keys, RenderContext, Role, Surface } from "../shared/types.js" */
/** @import { Choice, Traits } from "./types.js" */

import { surface } from "../shared/canvas.js";
import { axisSymbol, cellAt, cut, drawCells, planeValues, unpack } from "../shared/cells.js";
import { colourScale, drawColourBar } from "../shared/colours.js";
import { assign, choice, dropdown, element, logChoice, messageBox, slider, toggle, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { amount, number, plural } from "../shared/numbers.js";
import { clamp, last } from "../shared/values.js";
import { drawJets, labelText, wrapped } from "./circles.js";
import { drawHistogram, ROLES } from "./histograms.js";

const CHOICE = /** @type {(keyof Choice)[]} */ (["sample", "mass_point", "signal", "pileup", "mu"]);
const ALL_ROLES = /** @type {(Role | "alone")[]} */ ([...ROLES, "alone"]);

/** @param {RenderContext<Traits>} context */
async function render({ model, el }) {
  const { space, generated, points, pileup, mus, radius, names } = model.get("about");
  const samples = Object.keys(points);
  const severalPoints = samples.some((name) => points[name].length > 1);
  const plane = cut(space, space.axes[1]).planes[0];
  const size = last(space.starts);
  /** @type {number[] | null} */
  let hovered = null;
  let scene = await receive();

  /** The events that Python sent last, with their images unpacked. */
  async function receive() {
    for (;;) {
      const sent = model.get("scene");
      const numbers = await unpack(model.get("pictures"));
      // Python may have sent others meanwhile.
      if (sent !== model.get("scene")) continue;
      const image = (/** @type {number} */ which, /** @type {number} */ event) =>
        numbers.subarray((which * sent.events + event) * size).subarray(0, size);
      return { ...sent, image };
    }
  }

  /** @type {CellPanel[]} */
  const scales = [];
  const captions = ROLES.map(() => [element("span", {}), element("span", {})]);
  const images = ROLES.map((role, which) => {
    const panel = surface(`${names[role]}: event image with jets`, "calolab-event", (pen, width, height, look) => {
      const side = scene.names.indexOf(role);
      if (side < 0) return;
      const event = shownEvent();
      const cells = isAvailable() ? planeValues(scene.image(side, event), plane) : [];
      const colours = colourScale(scene.colours.high, model.get("log"), scene.colours);
      scales[which] = drawCells(pen, width, height, plane, cells, colours, space, look, hovered);
      if (isAvailable()) drawJets(pen, scales[which], scene.jets[side][event], radius, plane.rows, look);
    });
    panel.node.addEventListener("pointermove", (event) => {
      if (scales[which]) hover(cellAt(plane, scales[which], event.offsetX, event.offsetY));
    });
    panel.node.addEventListener("pointerleave", () => hover(null));
    return panel;
  });
  const bar = surface("colour scale", "calolab-bar", (pen, width, _, look) => {
    const shown = isAvailable() ? scene.names.map((_, side) => scene.image(side, shownEvent())) : [];
    const colours = colourScale(scene.colours.high, model.get("log"), scene.colours);
    drawColourBar(pen, width, colours, `${space.quantity} per pixel`, space.unit, look, shown);
  });
  const labels = model.get("distributions").variables.map(({ label }) => label);
  const distances = labels.map(() => element("span", {}));
  /** The bin at a pixel of each histogram, once it has been drawn.
   *
   * @type {((pixel: number) => number)[]}
   */
  const binsAt = [];
  const histograms = labels.map((label, which) => {
    const alternative = `${label}, ${names.reference} and ${names.generated}, and their ratio`;
    const panel = surface(alternative, "calolab-histogram", (pen, width, height, look) => {
      binsAt[which] = drawHistogram(pen, width, height, look, model.get("distributions").variables[which], names);
    });
    panel.node.addEventListener("pointermove", (event) => showBin(which, binsAt[which]?.(event.offsetX)));
    panel.node.addEventListener("pointerleave", () => {
      readout.textContent = "";
    });
    return panel;
  });
  const readout = element("output", { class: "calolab-readout" });
  const legend = element("div", { class: "calolab-legend" });
  const message = messageBox();

  const shownEvent = () => Math.min(model.get("event"), scene.images - 1);
  // The first images of a choice are sent before the others.
  const isAvailable = () => shownEvent() < scene.events;
  const muIndex = () => mus.indexOf(model.get("mu"));
  const hasPileup = () => model.get("pileup") !== "none";
  const isComparable = () => generated.includes(model.get("sample"));

  const sampleList = dropdown({ label: "sample", onpick: (sample) => assign(model, { sample }) });
  const pointList = dropdown({
    label: "m(g̃), m(χ̃) [GeV]",
    title: "mass point: gluino, neutralino",
    onpick: (mass_point) => assign(model, { mass_point }),
  });
  const pileupChoice = choice({
    label: "pile-up",
    options: ["none", ...pileup].map((kind) => /** @type {[string, string]} */ ([kind, kind])),
    onpick: (kind) => assign(model, { pileup: kind }),
  });
  const muSlider = slider({
    label: "μ",
    title: "mean number of pile-up collisions (keys: left and right)",
    describe: (index) => plural(mus[index], "collision"),
    onmove: (index) => assign(model, { mu: mus[index] }),
  });
  const signalChoice = choice({
    label: "compare",
    options: [
      ["generated", `${names.generated} events`],
      ["real", `${names.reference} events`],
    ],
    onpick: (signal) => assign(model, { signal }),
  });
  const eventSlider = slider({
    label: "event",
    title: "event (keys: up and down)",
    describe: (event) => `${event} (0 to ${scene.images - 1})`,
    onmove: (event) => assign(model, { event }),
  });
  const available = element("span", { class: "calolab-aside" });
  const colourChoice = logChoice(model, "colours");

  const figure = (/** @type {Node} */ name, /** @type {Node[]} */ caption, /** @type {Surface} */ panel) =>
    element(
      "figure",
      {},
      element("figcaption", { class: "calolab-title calolab-lines" }, name, ...caption),
      panel.node,
    );
  const pictures = ROLES.map((role, which) =>
    figure(element("b", { class: `calolab-${role}` }, names[role]), captions[which], images[which]),
  );
  const charts = histograms.map((panel, which) => figure(element("b", {}, labels[which]), [distances[which]], panel));
  const moveEvent = (/** @type {number} */ change) => () =>
    assign(model, { event: clamp(shownEvent() + change, 0, scene.images - 1) });
  const moveMu = (/** @type {number} */ change) => () =>
    hasPileup() && assign(model, { mu: mus[clamp(muIndex() + change, 0, mus.length - 1)] });
  const next = (/** @type {string[]} */ options, /** @type {string} */ value) =>
    options[(options.indexOf(value) + 1) % options.length];
  /** @type {Keys} */
  const keys = {
    event: { ArrowUp: moveEvent(1), ArrowDown: moveEvent(-1) },
    ...(pileup.length && {
      μ: { ArrowLeft: moveMu(-1), ArrowRight: moveMu(1) },
      "pile-up": { p: () => assign(model, { pileup: next(["none", ...pileup], model.get("pileup")) }) },
    }),
    ...(severalPoints && {
      "mass point": {
        m: () => assign(model, { mass_point: next(points[model.get("sample")], model.get("mass_point")) }),
      },
    }),
    colours: { l: () => toggle(model, "log") },
  };
  const root = frame(
    el,
    { name: "Jet comparison", keys },
    element(
      "div",
      { class: "calolab-controls" },
      ...(samples.length > 1 ? [sampleList.node] : []),
      ...(severalPoints ? [pointList.node] : []),
      ...(pileup.length ? [pileupChoice.node] : []),
      ...(pileup.includes("generated") && generated.length ? [signalChoice.node] : []),
      ...(pileup.length ? [muSlider.node] : []),
    ),
    element("div", { class: "calolab-controls" }, eventSlider.node, available, colourChoice.node),
    message.node,
    element("div", { class: "calolab-controls" }, legend),
    element("div", { class: "calolab-panels" }, ...pictures, ...charts),
    bar.node,
    readout,
  );

  /** @param {number[] | null} cell */
  function hover(cell) {
    if (String(cell) === String(hovered)) return;
    hovered = cell;
    images.forEach((panel) => panel.redraw());
    readout.textContent = cell ? cellText(cell) : "";
  }

  /** The pixel at the pointer: its energy in both images, and the jets that contain it.
   *
   * @param {number[]} cell
   */
  function cellText([column, row]) {
    if (!isAvailable()) return "";
    const eta = (plane.columns[column] + plane.columns[column + 1]) / 2;
    const phi = (plane.rows[row] + plane.rows[row + 1]) / 2;
    const texts = scene.names.map((role, which) => {
      const event = shownEvent();
      const value = scene.image(which, event)[plane.start + column * plane.columnStep + row * plane.rowStep];
      const around = scene.jets[which][event].flatMap(([pt, jetEta, jetPhi, mass], k) =>
        Math.hypot(jetEta - eta, wrapped(jetPhi - phi)) < radius
          ? [`jet ${k + 1}: pt ${number(pt)}, m ${number(mass)} GeV`]
          : [],
      );
      return [`${names[role]} ${amount(value, space.unit)}`, ...around].join(", ");
    });
    const place = [eta, phi].map((angle, k) => `${axisSymbol(space, space.axes[k])} ${number(angle)}`);
    return `${place.join(", ")} · ${texts.join(" · ")}`;
  }

  /** Show the contents of a bin.
   *
   * @param {number} which
   * @param {number | undefined} bin
   */
  function showBin(which, bin) {
    if (bin == null) return;
    const variable = model.get("distributions").variables[which];
    const shown = ALL_ROLES.flatMap((role) => (variable[role] ? [{ name: names[role], ...variable[role] }] : []));
    const texts = shown.map(
      ({ name, contents, errors }) => `${name} ${number(contents[bin])} ± ${number(errors[bin], 2)}`,
    );
    const [low, high] = [variable.edges[bin], variable.edges[bin + 1]];
    // The outermost bins include the values beyond the edges.
    const isOpen = bin === variable.edges.length - 2 && shown.some(({ beyond }) => beyond[1] > 0);
    const jets = (low + high) / 2;
    const place =
      variable.name === "multiplicity"
        ? isOpen
          ? `${jets} or more jets`
          : plural(jets, "jet")
        : `${variable.label} ${number(low)} to ${number(high)} ${variable.unit}${isOpen ? " and more" : ""}`;
    readout.textContent = `${place} · fraction of ${variable.per}: ${texts.join(" · ")}`;
  }

  const isCurrent = (/** @type {Choice} */ other) => CHOICE.every((name) => other[name] === model.get(name));

  function showControls() {
    const sample = model.get("sample");
    sampleList.show(
      sample,
      samples.map((name) => [name, name]),
    );
    pointList.show(
      model.get("mass_point"),
      points[sample].map((point) => [point, point]),
    );
    pileupChoice.show(model.get("pileup"));
    signalChoice.show(isComparable() ? model.get("signal") : "real");
    signalChoice.node.hidden = !isComparable();
    muSlider.show(muIndex(), 0, mus.length - 1);
    muSlider.input.disabled = !hasPileup();
    // Histograms of the previous choice are paler until those of the current one have been received.
    root.setAttribute("aria-busy", String(!isCurrent(model.get("distributions").choice) && !model.get("message")));
    message.show(model.get("message"));
  }

  function showEvent() {
    const event = shownEvent();
    eventSlider.show(event, 0, scene.images - 1);
    available.textContent =
      scene.images < scene.of ? `images of the first ${scene.images} of ${scene.of} events, histograms of all` : "";
    colourChoice.show(model.get("log"));
    ROLES.forEach((role, which) => {
      const side = scene.names.indexOf(role);
      pictures[which].hidden = side < 0;
      if (side < 0) return;
      captions[which][0].textContent = isAvailable() ? "" : "being clustered …";
      captions[which][1].textContent = "";
      if (!isAvailable()) return;
      const jets = scene.jets[side][event];
      const sum = jets.reduce((total, jet) => total + jet[3], 0);
      captions[which][0].textContent = `${plural(jets.length, "jet")}, Σm ${amount(sum, "GeV")}`;
      captions[which][1].textContent = labelText(scene.labels[side], event);
    });
    [...images, bar].forEach((panel) => panel.redraw());
  }

  function showDistributions() {
    const { variables, events, of } = model.get("distributions");
    variables.forEach(({ ks, floor }, which) => {
      distances[which].textContent = ks == null ? "" : `KS ${ks.toFixed(3)} (floor ${floor?.toFixed(3)})`;
    });
    legend.replaceChildren(
      ...ALL_ROLES.flatMap((role) => {
        const [done, total] = [events[role], of[role]];
        if (done == null || total == null) return [];
        const count = done < total ? `${done} of ${plural(total, "event")}` : plural(total, "event");
        const name = element("b", {}, `${role === "alone" ? "┄" : "―"} ${description(role)}`);
        return [element("span", { class: `calolab-${role}` }, name, ` ${count}`)];
      }),
    );
    histograms.forEach((panel) => panel.redraw());
    showControls();
  }

  /** Description of a set of events, as last sent by Python.
   *
   * @param {Role | "alone"} role
   */
  function description(role) {
    const { pileup: kind, signal, sample } = model.get("distributions").choice;
    if (kind === "none" || role === "alone") return names[role];
    if (role === "reference") return `${names.reference} with real pile-up`;
    const events = generated.includes(sample) && signal === "generated" ? names.generated : names.reference;
    return `${events} with ${kind} pile-up`;
  }

  async function showScene() {
    scene = await receive();
    showEvent();
  }
  const unwatch = [
    watch(model, [...CHOICE, "message"], showControls),
    watch(model, ["event", "log"], showEvent),
    watch(model, ["pictures", "scene"], showScene),
    watch(model, ["distributions"], showDistributions),
  ];
  showDistributions();
  showEvent();
  return () => {
    unwatch.forEach((stop) => stop());
    [...images, bar, ...histograms].forEach((panel) => panel.remove());
  };
}

export default { render };
