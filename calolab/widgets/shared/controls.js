// Sliders, buttons and lists, and the connection to the traits of the Python side.

/** @import { Attributes, Model } from "./types.js" */

/** An element with attributes and children; `on...` attributes become listeners.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/** A slider for integers; `describe(value)` is displayed beside it and is its text for screen readers.
 *
 * @param {{
 *   label: string,
 *   title?: string,
 *   describe: (value: number) => string,
 *   onmove: (value: number) => void,
 * }} options
 */
export function slider({ label, title, describe, onmove }) {
  const shown = element("output", { class: "calolab-value" });
  /** @type {HTMLInputElement} */
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
    /** @param {number} value @param {number} low @param {number} high */
    show(value, low, high) {
      Object.assign(input, { min: low, max: high, value });
      const text = describe(value);
      input.setAttribute("aria-valuetext", text);
      shown.textContent = text;
    },
  };
}

/** A row of radio buttons.
 *
 * The buttons have no common name, so that the arrow keys can be used by the widget: Tab moves from one to the next,
 * Space and Enter select.
 *
 * @template T
 * @param {{ label: string, options: [T, string][], onpick: (value: T) => void }} options
 */
export function choice({ label, options, onpick }) {
  const inputs = options.map(([value]) => element("input", { type: "radio", onchange: () => pick(value) }));
  /** @param {T} value */
  function show(value) {
    inputs.forEach((input, k) => {
      input.checked = options[k][0] === value;
    });
  }
  /** @param {T} value */
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

/** A choice between a logarithmic and a linear scale, for the trait `log`.
 *
 * @param {Model<{ log: boolean }>} model
 * @param {string} label
 */
export function logChoice(model, label = "scale") {
  return choice({
    label,
    options: [
      [true, "log"],
      [false, "linear"],
    ],
    onpick: (log) => assign(model, { log }),
  });
}

/** A drop-down list; `show(value, options)` sets its options.
 *
 * @param {{ label: string, title?: string, onpick: (value: string) => void }} options
 */
export function dropdown({ label, title, onpick }) {
  /** @type {HTMLSelectElement} */
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
    /** @param {string} value @param {[string, string][]} options */
    show(value, options) {
      // An open list would close if its options were replaced.
      const key = JSON.stringify(options);
      if (key !== shown)
        select.replaceChildren(...options.map(([option, text]) => element("option", { value: option }, text)));
      shown = key;
      select.value = value;
    },
  };
}

/** A row of check boxes, each with the `key` of its line; `onpick` receives the names that are checked.
 *
 * @param {{
 *   label: string,
 *   options: { name: string, text: string, checked: boolean, key: Node }[],
 *   onpick: (names: string[]) => void,
 * }} options
 */
export function chips({ label, options, onpick }) {
  const inputs = options.map(({ checked }) => element("input", { type: "checkbox", checked, onchange: report }));
  function report() {
    onpick(options.filter((_, k) => inputs[k].checked).map(({ name }) => name));
  }
  const nodes = options.map(({ text, key }, k) => element("label", {}, inputs[k], key, element("span", {}, text)));
  return element("span", { class: "calolab-chips", role: "group", "aria-label": label }, ...nodes);
}

/** A button.
 *
 * @param {{ label?: string, title?: string, onpress: () => void, className?: string }} options
 */
export function button({ label, title, onpress, className = "" }) {
  return element(
    "button",
    { type: "button", class: `calolab-button ${className}`, title: title ?? false, onclick: onpress },
    label ?? "",
  );
}

/** A button that asks for confirmation: it acts on a second click within five seconds.
 *
 * @param {{ label: string, sure: string, title: string, onpress: () => void }} options
 */
export function armed({ label, sure, title, onpress }) {
  /** @type {ReturnType<typeof setTimeout> | 0} */
  let timer = 0;
  const node = button({ label, title, className: "calolab-stop", onpress: press });
  function reset() {
    clearTimeout(timer);
    timer = 0;
    node.textContent = label;
    delete node.dataset.armed;
  }
  function press() {
    if (timer) {
      reset();
      onpress();
      return;
    }
    node.textContent = sure;
    node.dataset.armed = "true";
    timer = setTimeout(reset, 5000);
  }
  return {
    node,
    /** Disable the button for a reason, or enable it if the reason is empty.
     *
     * @param {string} reason
     */
    disable(reason) {
      if (reason && timer) reset();
      node.disabled = Boolean(reason);
      node.title = reason || title;
    },
    remove: () => clearTimeout(timer),
  };
}

/** A box for an error message, which `show(text)` hides if the text is empty. */
export function messageBox() {
  const node = element("pre", { class: "calolab-message", role: "alert" });
  return {
    node,
    /** @param {string} text */
    show(text) {
      node.textContent = text;
      node.hidden = !text;
    },
  };
}

/** Call `react` with the horizontal place at which a canvas is pressed, and with those to which the pointer is dragged.
 *
 * @param {HTMLCanvasElement} node
 * @param {(pixel: number) => void} react
 */
export function onDrag(node, react) {
  const drag = (/** @type {PointerEvent} */ event) => event.buttons & 1 && react(event.offsetX);
  node.addEventListener("pointerdown", drag);
  node.addEventListener("pointermove", drag);
}

/** Set traits and send them to Python; the page is repainted immediately, also while the kernel is busy.
 *
 * @template {object} T
 * @param {Model<T>} model
 * @param {Partial<T>} changes
 */
export function assign(model, changes) {
  for (const name of /** @type {(keyof T & string)[]} */ (Object.keys(changes))) {
    model.set(name, /** @type {T[keyof T & string]} */ (changes[name]));
  }
  model.save_changes();
}

/** Reverse a trait that is true or false.
 *
 * @template {object} T
 * @param {Model<T>} model
 * @param {keyof T & string} name
 */
export function toggle(model, name) {
  assign(model, /** @type {Partial<T>} */ ({ [name]: !model.get(name) }));
}

/** Call `react` whenever one of the named traits changes, here or in Python; returns a function that ends this.
 *
 * @template {object} T
 * @param {Model<T>} model
 * @param {(keyof T & string)[]} names
 * @param {() => void} react
 */
export function watch(model, names, react) {
  for (const name of names) model.on(`change:${name}`, react);
  return () => {
    for (const name of names) model.off(`change:${name}`, react);
  };
}
