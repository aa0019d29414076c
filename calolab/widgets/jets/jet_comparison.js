// JetComparison: images of events with their jets, and histograms of the jets of many events, real against generated.
// Images turn over here; sample, mass point and pile-up are asked of Python, which answers with `scene` and `distributions`.

import { number, plural, surface } from "../shared/drawing.js";
import { amount, colourScale, drawColourBar } from "../shared/colours.js";
import { axisSymbol, cellAt, cut, drawCells, planeValues, unpack } from "../shared/cells.js";
import { drawHistogram, ROLES } from "./histograms.js";
import { drawJets, inWords, turned } from "./circles.js";
import { assign, choice, dropdown, element, slider, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";

const CHOICE = ["sample", "mass_point", "signal", "pileup", "mu"];

async function render({ model, el }) {
  const { space, generated, points, pileup, mus, radius, names } = model.get("about");
  const samples = Object.keys(points);
  const severalPoints = samples.some((name) => points[name].length > 1);
  const plane = cut(space, space.axes[1]).planes[0];
  const size = space.starts.at(-1);
  let scene = null;
  let hovered = null;

  /** Take over the events that Python sent last, once they are unpacked. */
  async function receive() {
    const sent = model.get("scene");
    const numbers = await unpack(model.get("pictures"));
    // Meanwhile Python may have sent others.
    if (sent !== model.get("scene")) return;
    const image = (which, event) => numbers.subarray((which * sent.events + event) * size).subarray(0, size);
    scene = { ...sent, image };
  }
  await receive();

  const scales = [];
  const facts = ROLES.map(() => [element("span", {}), element("span", {})]);
  const images = ROLES.map((role, which) => {
    const panel = surface(`${names[role]}: event image with jets`, "calolab-event", (pen, width, height, look) => {
      const found = scene.names.indexOf(role);
      if (found < 0) return;
      const event = shownEvent();
      const cells = isThere() ? planeValues(scene.image(found, event), plane) : [];
      const colours = colourScale(scene.colours.high, model.get("log"), scene.colours);
      scales[which] = drawCells(pen, width, height, plane, cells, colours, space, look, hovered);
      if (isThere()) drawJets(pen, scales[which], scene.jets[found][event], radius, plane.rows, look);
    });
    panel.node.addEventListener("pointermove", (event) => {
      if (scales[which]) hover(cellAt(plane, scales[which], event.offsetX, event.offsetY));
    });
    panel.node.addEventListener("pointerleave", () => hover(null));
    return panel;
  });
  const bar = surface("colour scale", "calolab-bar", (pen, width, height, look) => {
    const { high } = scene.colours;
    const shown = isThere() ? scene.names.map((_, found) => scene.image(found, shownEvent())) : [];
    const ends = { over: shown.some((image) => image.some((value) => value > high * (1 + 1e-6))) };
    const colours = colourScale(high, model.get("log"), scene.colours);
    drawColourBar(pen, width, height, colours, `${space.quantity} per pixel`, space.unit, look, ends);
  });
  const variables = model.get("distributions").variables.map(({ name }) => name);
  const distances = variables.map(() => element("span", {}));
  const histograms = variables.map((name, which) => {
    const label = `${model.get("distributions").variables[which].label}, ${names.reference} and ${names.generated}, and their ratio`;
    const panel = surface(label, "calolab-histogram", (pen, width, height, look) =>
      drawHistogram(pen, width, height, look, model.get("distributions").variables[which], panel, names),
    );
    panel.node.addEventListener("pointermove", (event) => tellBin(which, panel.pick?.(event.offsetX)));
    panel.node.addEventListener("pointerleave", () => (readout.textContent = ""));
    return panel;
  });
  const readout = element("output", { class: "calolab-readout" });
  const legend = element("div", { class: "calolab-legend" });
  const message = element("pre", { class: "calolab-message", role: "alert" });

  const shownEvent = () => Math.min(model.get("event"), scene.images - 1);
  // The first images of a choice come before the others.
  const isThere = () => shownEvent() < scene.events;
  const muIndex = () => mus.indexOf(model.get("mu"));
  const piled = () => model.get("pileup") !== "none";
  const comparable = () => generated.includes(model.get("sample"));

  const sampleList = dropdown({ label: "sample", onpick: (sample) => assign(model, { sample }) });
  const pointList = dropdown({
    label: "m(g̃), m(χ̃) [GeV]",
    title: "mass point: gluino, neutralino",
    onpick: (mass_point) => assign(model, { mass_point }),
  });
  const pileupChoice = choice({
    label: "pile-up",
    options: ["none", ...pileup].map((kind) => [kind, kind]),
    onpick: (kind) => assign(model, { pileup: kind }),
  });
  const muSlider = slider({
    label: "μ",
    title: "mean number of pile-up collisions (keys: left and right)",
    describe: (index) => `${mus[index]} collisions`,
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
  const reach = element("span", { class: "calolab-aside" });
  const colourChoice = choice({
    label: "colours",
    options: [
      [true, "log"],
      [false, "linear"],
    ],
    onpick: (log) => assign(model, { log }),
  });

  const figure = (name, caption, panel) =>
    element("figure", {}, element("figcaption", { class: "calolab-title calolab-lines" }, name, ...caption), panel.node);
  const pictures = ROLES.map((role, which) =>
    figure(element("b", { class: `calolab-${role}` }, names[role]), facts[which], images[which]),
  );
  const charts = histograms.map((panel, which) => {
    const { label } = model.get("distributions").variables[which];
    return figure(element("b", {}, label), [distances[which]], panel);
  });
  const turn = (change) => () =>
    assign(model, { event: Math.min(Math.max(shownEvent() + change, 0), scene.images - 1) });
  const shift = (change) => () =>
    piled() && assign(model, { mu: mus[Math.min(Math.max(muIndex() + change, 0), mus.length - 1)] });
  const next = (options, value) => options[(options.indexOf(value) + 1) % options.length];
  const keys = {
    event: { ArrowUp: turn(1), ArrowDown: turn(-1) },
    ...(pileup.length && {
      "μ": { ArrowLeft: shift(-1), ArrowRight: shift(1) },
      "pile-up": { p: () => assign(model, { pileup: next(["none", ...pileup], model.get("pileup")) }) },
    }),
    ...(severalPoints && {
      "mass point": { m: () => assign(model, { mass_point: next(points[model.get("sample")], model.get("mass_point")) }) },
    }),
    colours: { l: () => assign(model, { log: !model.get("log") }) },
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
    element("div", { class: "calolab-controls" }, eventSlider.node, reach, colourChoice.node),
    message,
    element("div", { class: "calolab-controls" }, legend),
    element("div", { class: "calolab-panels" }, ...pictures, ...charts),
    bar.node,
    readout,
  );

  function hover(cell) {
    if (String(cell) === String(hovered)) return;
    hovered = cell;
    images.forEach((panel) => panel.redraw());
    readout.textContent = cell ? tellCell(cell) : "";
  }

  /** What is under the pointer: the pixel's energy in both images, and the jets around it. */
  function tellCell([column, row]) {
    if (!isThere()) return "";
    const middle = (edges, k) => (edges[k] + edges[k + 1]) / 2;
    const [eta, phi] = [middle(plane.columns, column), middle(plane.rows, row)];
    const found = scene.names.map((role, which) => {
      const event = shownEvent();
      const value = scene.image(which, event)[plane.start + column * plane.columnStep + row * plane.rowStep];
      const around = scene.jets[which][event].flatMap(([pt, at, angle, mass], k) =>
        Math.hypot(at - eta, turned(angle - phi)) < radius
          ? [`jet ${k + 1}: pt ${number(pt)}, m ${number(mass)} GeV`]
          : [],
      );
      return [`${names[role]} ${amount(value, space.unit)}`, ...around].join(", ");
    });
    const place = [eta, phi].map((angle, k) => `${axisSymbol(space, space.axes[k])} ${number(angle)}`);
    return `${place.join(", ")} · ${found.join(" · ")}`;
  }

  function tellBin(which, bin) {
    if (bin == null) return;
    const one = model.get("distributions").variables[which];
    const found = Object.keys(names).flatMap((role) =>
      one[role] ? [`${names[role]} ${number(one[role].contents[bin])} ± ${number(one[role].errors[bin], 2)}`] : [],
    );
    const [low, high] = [one.edges[bin], one.edges[bin + 1]];
    const count = one.name === "multiplicity";
    // The outermost bins hold what lies beyond them, too.
    const last = bin === one.edges.length - 2 && Object.keys(names).some((role) => one[role]?.beyond[1] > 0);
    const more = last ? " and more" : "";
    const place = count ? `${(low + high) / 2} jets${more}` : `${one.label} ${number(low)} to ${number(high)} ${one.unit}${more}`;
    readout.textContent = `${place} · fraction of ${one.per}: ${found.join(" · ")}`;
  }

  const same = (other) => CHOICE.every((name) => other[name] === model.get(name));

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
    signalChoice.show(comparable() ? model.get("signal") : "real");
    signalChoice.node.hidden = !comparable();
    muSlider.show(muIndex(), 0, mus.length - 1);
    muSlider.input.disabled = !piled();
    // Histograms of another choice are paler until Python has answered.
    root.setAttribute("aria-busy", String(!same(model.get("distributions").choice) && !model.get("message")));
    message.textContent = model.get("message");
    message.hidden = !model.get("message");
  }

  function showEvent() {
    const event = shownEvent();
    eventSlider.show(event, 0, scene.images - 1);
    reach.textContent =
      scene.images < scene.of ? `images of the first ${scene.images} of ${scene.of} events, histograms of all` : "";
    colourChoice.show(model.get("log"));
    ROLES.forEach((role, which) => {
      const found = scene.names.indexOf(role);
      pictures[which].hidden = found < 0;
      if (found < 0) return;
      facts[which][0].textContent = isThere() ? "" : "being clustered …";
      facts[which][1].textContent = "";
      if (!isThere()) return;
      const jets = scene.jets[found][event];
      const sum = jets.reduce((total, jet) => total + jet[3], 0);
      facts[which][0].textContent = `${plural(jets.length, "jet")}, Σm ${amount(sum, "GeV")}`;
      facts[which][1].textContent = inWords(scene.labels[found], event);
    });
    [...images, bar].forEach((panel) => panel.redraw());
  }

  function showDistributions() {
    const { variables, events, of } = model.get("distributions");
    variables.forEach(({ ks, floor }, which) => {
      distances[which].textContent = ks == null ? "" : `KS ${ks.toFixed(3)} (floor ${floor.toFixed(3)})`;
    });
    legend.replaceChildren(
      ...Object.keys(names).flatMap((role) => {
        if (!(role in events)) return [];
        const done = events[role] < of[role] ? `${events[role]} of ${plural(of[role], "event")}` : plural(of[role], "event");
        const mark = element("b", {}, `${role === "alone" ? "┄" : "―"} ${words(role)}`);
        return [element("span", { class: `calolab-${role}` }, mark, ` ${done}`)];
      }),
    );
    histograms.forEach((panel) => panel.redraw());
    showControls();
  }

  /** What a set of events is, as Python last answered. */
  function words(role) {
    const { pileup: kind, signal, sample } = model.get("distributions").choice;
    if (kind === "none" || role === "alone") return names[role];
    if (role === "reference") return `${names.reference} with real pile-up`;
    const events = generated.includes(sample) && signal === "generated" ? names.generated : names.reference;
    return `${events} with ${kind} pile-up`;
  }

  async function showScene() {
    await receive();
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
