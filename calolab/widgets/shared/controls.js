// Sliders, buttons and lists: the controls of every widget, tied to the traits of its Python side.

/** An element with attributes and children; `on...` attributes become listeners. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A slider over whole numbers; `describe(value)` is shown beside it and read aloud. */
export function slider({ label, title, describe, onmove }) {
  const shown = element("output", { class: "calolab-value" });
  const input = element("input", {
    type: "range",
    step: 1,
    "aria-label": title ?? label,
    oninput: () => onmove(Number(input.value)),
  });
  const node = element(
    "label",
    { class: "calolab-slider", title: title ?? false },
    element("span", {}, label),
    input,
    shown,
  );
  return {
    node,
    input,
    show(value, low, high) {
      Object.assign(input, { min: low, max: high, value });
      const text = describe(value);
      input.setAttribute("aria-valuetext", text);
      shown.textContent = text;
    },
  };
}

/** One of several: a row of radio buttons; `options` are [value, text] pairs.
 *
 * The buttons have no common name, so that the arrow keys are the widget's: Tab goes from one to the next, Space and
 * Enter choose.
 */
export function choice({ label, options, onpick }) {
  const inputs = options.map(([value]) => element("input", { type: "radio", onchange: () => pick(value) }));
  function show(value) {
    inputs.forEach((input, k) => (input.checked = options[k][0] === value));
  }
  function pick(value) {
    show(value);
    onpick(value);
  }
  const buttons = options.map(([, text], k) => element("label", {}, inputs[k], element("span", {}, text)));
  const node = element(
    "span",
    { class: "calolab-choice", role: "radiogroup", "aria-label": label },
    element("span", { class: "calolab-caption" }, label),
    ...buttons,
  );
  return { node, show };
}

/** A logarithmic or a linear scale, as the model's `log` says. */
export function logChoice(model) {
  return choice({
    label: "scale",
    options: [
      [true, "log"],
      [false, "linear"],
    ],
    onpick: (log) => assign(model, { log }),
  });
}

/** One of many: a list that opens; `show(value, options)` takes the [value, text] pairs to choose from. */
export function dropdown({ label, title, onpick }) {
  const select = element("select", { "aria-label": title ?? label, onchange: () => onpick(select.value) });
  let shown = "";
  const node = element(
    "label",
    { class: "calolab-dropdown", title: title ?? false },
    element("span", { class: "calolab-caption" }, label),
    select,
  );
  return {
    node,
    show(value, options) {
      // An open list would close if its options were made anew.
      const key = JSON.stringify(options);
      if (key !== shown)
        select.replaceChildren(...options.map(([option, text]) => element("option", { value: option }, text)));
      shown = key;
      select.value = value;
    },
  };
}

/** Any number of several: a row of check boxes, each with the `key` of its line; `onpick` gets the checked names. */
export function chips({ label, options, onpick }) {
  const inputs = options.map(({ checked }) => element("input", { type: "checkbox", checked, onchange: tell }));
  function tell() {
    onpick(options.filter((_, k) => inputs[k].checked).map(({ name }) => name));
  }
  const nodes = options.map(({ text, key }, k) => element("label", {}, inputs[k], key, element("span", {}, text)));
  return element("span", { class: "calolab-chips", role: "group", "aria-label": label }, ...nodes);
}

/** A button. */
export function button({ label, title, onpress, className = "" }) {
  return element(
    "button",
    { type: "button", class: `calolab-button ${className}`, title: title ?? false, onclick: onpress },
    label,
  );
}

/** A button that asks once more before it acts: a second press within a few seconds does it. */
export function armed({ label, sure, title, onpress }) {
  let timer = 0;
  const node = button({ label, title, className: "calolab-stop", onpress: press });
  function calm() {
    clearTimeout(timer);
    timer = 0;
    node.textContent = label;
    delete node.dataset.armed;
  }
  function press() {
    if (timer) {
      calm();
      onpress();
      return;
    }
    node.textContent = sure;
    node.dataset.armed = "true";
    timer = setTimeout(calm, 5000);
  }
  return {
    node,
    /** Off with the reason, or on with an empty one. */
    disable(reason) {
      if (reason && timer) calm();
      node.disabled = Boolean(reason);
      node.title = reason || title;
    },
    remove: () => clearTimeout(timer),
  };
}

/** Set traits and tell Python; the page repaints at once, whether or not the kernel is busy. */
export function assign(model, changes) {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  model.save_changes();
}

/** Call `react` whenever one of the named traits changes, here or in Python; returns how to stop. */
export function watch(model, names, react) {
  for (const name of names) model.on(`change:${name}`, react);
  return () => names.forEach((name) => model.off(`change:${name}`, react));
}
