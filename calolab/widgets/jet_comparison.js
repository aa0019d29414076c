// JetComparison: images of events with their jets, and histograms of the jets of many events, real against generated.
// Images turn over here; sample, mass point and pile-up are asked of Python, which answers with `scene` and `distributions`.

import { axes, clipped, number, steps, surface } from "./drawing.js";
import { cellAt, colourScale, cut, drawCells, drawColourBar, planeValues, unpack } from "./showers.js";
import { drawBand, drawRatio } from "./ratios.js";
import { assign, choice, dropdown, element, slider, watch } from "./controls.js";
import { frame } from "./frame.js";

const CHOICE = ["sample", "mass_point", "signal", "pileup", "mu"];
const ROLES = ["reference", "generated"];
const NAMES = { reference: "real", generated: "generated", alone: "real, no pile-up" };
const JET = "#56b4e9";
const RIM = "rgba(0, 0, 0, 0.65)";

async function render({ model, el }) {
  const { space, generated, points, pileup, mus, radius } = model.get("about");
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
    let [low, high] = [Infinity, 0];
    for (const value of numbers) {
      if (value > high) high = value;
      if (value > 0 && value < low) low = value;
    }
    scene = { ...sent, image, high, decades: Math.min(Math.max(Math.log10(high / low) || 1, 1), 4) };
  }
  await receive();

  const scales = [];
  const facts = ROLES.map(() => [element("span", {}), element("span", {})]);
  const images = ROLES.map((role, which) => {
    const panel = surface(`${NAMES[role]}: event image with jets`, "calolab-event", (pen, width, height, look) => {
      const found = scene.names.indexOf(role);
      if (found < 0) return;
      const event = shownEvent();
      const cells = planeValues(scene.image(found, event), plane);
      const colours = colourScale(scene.high, model.get("log"), scene.decades);
      scales[which] = drawCells(pen, width, height, plane, cells, colours, space, look, hovered);
      drawJets(pen, scales[which], scene.jets[found][event], radius, plane.rows, look);
    });
    panel.node.addEventListener("pointermove", (event) => {
      if (scales[which]) hover(cellAt(plane, scales[which], event.offsetX, event.offsetY));
    });
    panel.node.addEventListener("pointerleave", () => hover(null));
    return panel;
  });
  const bar = surface("colour scale", "calolab-bar", (pen, width, height, look) =>
    drawColourBar(
      pen,
      width,
      height,
      colourScale(scene.high, model.get("log"), scene.decades),
      `${space.quantity} per pixel [${space.unit}]`,
      look,
    ),
  );
  const variables = model.get("distributions").variables.map(({ name }) => name);
  const distances = variables.map(() => element("span", {}));
  const histograms = variables.map((name, which) => {
    const label = `${model.get("distributions").variables[which].label}, real and generated, and their ratio`;
    const panel = surface(label, "calolab-histogram", (pen, width, height, look) =>
      drawHistogram(pen, width, height, look, model.get("distributions").variables[which], panel),
    );
    panel.node.addEventListener("pointermove", (event) => tellBin(which, panel.pick?.(event.offsetX)));
    panel.node.addEventListener("pointerleave", () => (readout.textContent = ""));
    return panel;
  });
  const readout = element("output", { class: "calolab-readout" });
  const legend = element("div", { class: "calolab-legend" });
  const message = element("pre", { class: "calolab-message", role: "alert" });

  const shownEvent = () => Math.min(model.get("event"), scene.events - 1);
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
      ["generated", "generated events"],
      ["real", "real events"],
    ],
    onpick: (signal) => assign(model, { signal }),
  });
  const eventSlider = slider({
    label: "event",
    title: "event (keys: up and down)",
    describe: (event) => `${event} (0 to ${scene.events - 1})`,
    onmove: (event) => assign(model, { event }),
  });
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
    figure(element("b", { class: `calolab-${role}` }, NAMES[role]), facts[which], images[which]),
  );
  const charts = histograms.map((panel, which) => {
    const { label } = model.get("distributions").variables[which];
    return figure(element("b", {}, label), [distances[which]], panel);
  });
  const turn = (change) => () =>
    assign(model, { event: Math.min(Math.max(shownEvent() + change, 0), scene.events - 1) });
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
    element("div", { class: "calolab-controls" }, eventSlider.node, colourChoice.node),
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
      return [`${NAMES[role]} ${number(value)} ${space.unit}`, ...around].join(", ");
    });
    return `eta ${number(eta)}, phi ${number(phi)} · ${found.join(" · ")}`;
  }

  function tellBin(which, bin) {
    if (bin == null) return;
    const one = model.get("distributions").variables[which];
    const found = Object.keys(NAMES).flatMap((role) =>
      one[role] ? [`${NAMES[role]} ${number(one[role].contents[bin])} ± ${number(one[role].errors[bin], 2)}`] : [],
    );
    const [low, high] = [one.edges[bin], one.edges[bin + 1]];
    const place = one.name === "multiplicity" ? `${(low + high) / 2} jets` : `${one.label} ${low} to ${high} ${one.unit}`;
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
    eventSlider.show(event, 0, scene.events - 1);
    colourChoice.show(model.get("log"));
    ROLES.forEach((role, which) => {
      const found = scene.names.indexOf(role);
      pictures[which].hidden = found < 0;
      if (found < 0) return;
      const jets = scene.jets[found][event];
      const sum = jets.reduce((total, jet) => total + jet[3], 0);
      const count = `${jets.length} jet${jets.length === 1 ? "" : "s"}`;
      facts[which][0].textContent = `${count}, Σm ${number(sum)} GeV`;
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
      ...Object.keys(NAMES).flatMap((role) => {
        if (!(role in events)) return [];
        const done = events[role] < of[role] ? `${events[role]} of ${of[role]}` : events[role];
        const mark = element("b", {}, `${role === "alone" ? "┄" : "―"} ${words(role)}`);
        return [element("span", { class: `calolab-${role}` }, mark, ` ${done} events`)];
      }),
    );
    histograms.forEach((panel) => panel.redraw());
    showControls();
  }

  /** What a set of events is, as Python last answered. */
  function words(role) {
    const { pileup: kind, signal, sample } = model.get("distributions").choice;
    if (kind === "none" || role === "alone") return NAMES[role];
    if (role === "reference") return "real with real pile-up";
    return `${generated.includes(sample) ? signal : "real"} with ${kind} pile-up`;
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

function drawHistogram(pen, width, height, look, variable, panel) {
  const { edges, reference, generated, alone } = variable;
  const lower = generated ? 84 : 0;
  const box = { left: 58, top: 6, right: width - 18, bottom: height - 42 - lower };
  const integers = variable.name === "multiplicity";
  const along = {
    low: edges[0],
    high: edges.at(-1),
    label: variable.unit ? `${variable.label} [${variable.unit}]` : variable.label,
    bare: Boolean(generated),
    ...(integers && { ticks: wholeTicks(edges) }),
  };
  const sides = [reference, ...(generated ? [generated] : [])].map(({ contents, errors }) => ({
    middle: contents,
    half: errors,
  }));
  const tops = [...sides.flatMap(({ middle, half }) => middle.map((value, k) => value + half[k]))];
  const high = Math.max(...tops, ...(alone ? alone.contents : [])) * 1.06 || 1;
  const at = axes(pen, box, along, { low: 0, high, label: `fraction of ${variable.per}` }, look);
  panel.pick = (pixel) => Math.min(Math.max(edges.findIndex((edge) => pixel < at.x(edge)) - 1, 0), edges.length - 2);
  clipped(pen, box, () => {
    pen.globalAlpha = 0.45;
    pen.fillStyle = look["reference-fill"];
    reference.contents.forEach((value, k) => {
      const [left, right] = [Math.round(at.x(edges[k])), Math.round(at.x(edges[k + 1]))];
      pen.fillRect(left, at.y(value), right - left, box.bottom - at.y(value));
    });
    pen.globalAlpha = 1;
    sides.forEach(({ middle, half }, which) => drawBand(pen, edges, middle, half, at, look, ROLES[which]));
    if (!alone) return;
    pen.strokeStyle = look.series[1];
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    steps(pen, edges, alone.contents, at);
    pen.setLineDash([]);
  });
  if (!generated) return;
  const below = { ...box, top: box.bottom + 12, bottom: box.bottom + lower - 2 };
  drawRatio(pen, below, { ...along, bare: false }, edges, ...sides, look);
}

/** Circles around jets, numbered by falling pt; what leaves at one end of phi comes in at the other. */
function drawJets(pen, { box, x, y }, jets, radius, phis, look) {
  const [width, height] = [x(radius) - x(0), y(0) - y(radius)];
  const [low, high] = [phis[0], phis.at(-1)];
  pen.fillStyle = JET;
  pen.font = look.font(11);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  clipped(pen, box, () => {
    jets.forEach(([, eta, phi], k) => {
      for (const turn of [-2 * Math.PI, 0, 2 * Math.PI]) {
        if (phi + turn < low - radius || phi + turn > high + radius) continue;
        pen.beginPath();
        pen.ellipse(x(eta), y(phi + turn), width, height, 0, 0, 2 * Math.PI);
        // A dark rim makes the circle stand out from a crowded image.
        for (const [colour, extra] of [
          [RIM, 2.5],
          [JET, 0],
        ]) {
          pen.strokeStyle = colour;
          pen.lineWidth = (k === 0 ? 2.2 : 1.3) + extra;
          pen.stroke();
        }
      }
      const side = phi + radius < high ? 0.7 : -0.7;
      pen.strokeStyle = RIM;
      pen.lineWidth = 3;
      pen.strokeText(k + 1, x(eta), y(phi + side * radius));
      pen.fillText(k + 1, x(eta), y(phi + side * radius));
    });
  });
}

/** The labels of an event; a unit stands where the next one is another. */
function inWords(labels, event) {
  const texts = labels.map(({ symbol, unit, values }, k) => {
    const own = labels[k + 1]?.unit === unit ? "" : unit;
    return `${symbol} ${number(values[event])} ${own}`.trim();
  });
  return texts.join(", ");
}

/** An angle between −π and π. */
function turned(angle) {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}

/** Whole numbers between the edges, every one or every few. */
function wholeTicks(edges) {
  const last = Math.floor(edges.at(-1));
  const step = Math.ceil((last + 1) / 10);
  return Array.from({ length: Math.floor(last / step) + 1 }, (_, k) => k * step);
}

export default { render };
