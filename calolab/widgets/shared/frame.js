// The frame of every widget: it takes the keyboard focus, so that keys are handled by the widget and not by the notebook.

/** @import { Keys } from "./types.js" */

import { element } from "./controls.js";

const CONTROLS = "a[href], button:enabled, input:enabled, select:enabled, textarea:enabled, summary, label, [tabindex]";
// Keys with Ctrl or Cmd that the application handles: save, print, find and next match, side bars and inspector; with
// Shift: save as, command palette, files, previous match. JupyterLab's other keys may undo, select, merge or run cells.
const APPLICATION = { plain: [..."spfgbji"], shifted: [..."scfg"] };
/** @type {Record<string, string>} */
const SIGNS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "Space" };

/** The frame of a widget, with a note at its end that lists the keys.
 *
 * @param {HTMLElement} el
 * @param {{ name: string, keys?: Keys, note?: string }} options
 * @param {...Node} children
 */
export function frame(el, { name, keys = {}, note = "" }, ...children) {
  const text = [note, hint("Keys", keys)].filter(Boolean).join(" ");
  const node = element(
    "section",
    { class: "calolab", "aria-label": name, tabindex: 0 },
    ...children,
    ...(text ? [element("div", { class: "calolab-note" }, text)] : []),
  );
  bindKeys(node, keys);
  keepKeys(node);
  keepFocus(node);
  el.append(node);
  return node;
}

/** The keys as text, "Keys: ↑ ↓ event, l scale."; empty if there are none.
 *
 * @param {string} title
 * @param {Keys} keys
 */
export function hint(title, keys) {
  const parts = Object.entries(keys).map(
    ([what, actions]) =>
      `${Object.keys(actions)
        .map((key) => SIGNS[key] ?? key)
        .join(" ")} ${what}`,
  );
  return parts.length ? `${title}: ${parts.join(", ")}.` : "";
}

/** Call the action of a key that is pressed in `node`; if the action returns false, the key is not considered used.
 *
 * @param {HTMLElement} node
 * @param {Keys} keys
 */
export function bindKeys(node, keys) {
  const actions = Object.assign({}, ...Object.values(keys));
  const names = Object.keys(actions);
  if (names.length) node.setAttribute("aria-keyshortcuts", names.map((key) => (key === " " ? "Space" : key)).join(" "));
  node.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || usedByControl(event)) return;
    if (!Object.hasOwn(actions, event.key) || actions[event.key]() === false) return;
    event.preventDefault();
  });
}

/** @param {any} target */
const isText = (target) =>
  target.isContentEditable || /^(text|search|number|textarea|email|url|password)$/.test(target.type);

/** Whether the control that has the focus uses a key itself: a slider the arrow keys, a button Enter and Space.
 *
 * @param {KeyboardEvent} event
 */
function usedByControl(event) {
  const [target, key] = [/** @type {HTMLInputElement} */ (event.target), event.key];
  if (target.tagName === "SELECT") return true; // arrow keys and letters select an option
  if (isText(target)) return key !== "Escape";
  if (target.type === "range") return /^(Arrow|Page|Home|End)/.test(key);
  return target.matches("button, summary, a, input") && (key === "Enter" || key === " ");
}

/** Whether a key is a command of the application that does not change the notebook, such as Ctrl-S and Ctrl-Shift-C.
 *
 * @param {KeyboardEvent} event
 */
function isForApplication({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  if (!(ctrlKey || metaKey) || altKey) return false;
  return (shiftKey ? APPLICATION.shifted : APPLICATION.plain).includes(key.toLowerCase());
}

/** Keep keys from the notebook, where they could cut or change cells; Escape returns the focus to the notebook.
 *
 * @param {HTMLElement} node
 */
function keepKeys(node) {
  node.addEventListener("keydown", (event) => {
    if (isForApplication(event)) return;
    event.stopPropagation();
    if (event.defaultPrevented) return;
    const target = /** @type {HTMLInputElement} */ (event.target);
    // From radio buttons without a name, Chromium would move to those of another widget and select them.
    if (target.type === "radio" && event.key.startsWith("Arrow")) event.preventDefault();
    if (event.key === "Enter" && /^(checkbox|radio)$/.test(target.type)) target.click();
    if (event.key === "Escape" && target.tagName !== "SELECT") {
      const outside = /** @type {HTMLElement | null | undefined} */ (node.parentElement?.closest("[tabindex]"));
      if (outside) outside.focus({ preventScroll: true });
      else if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    }
  });
}

/** Take the focus on a click anywhere in `node`, and keep it when the control that has it is removed or disabled.
 *
 * @param {HTMLElement} node
 */
function keepFocus(node) {
  const take = () => node.focus({ preventScroll: true });
  /** @type {any} */
  let held = null;
  /** @type {HTMLElement | null} */
  let picking = null;
  node.addEventListener("pointerdown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    picking = target.tagName === "SELECT" ? target : null;
    if (target.closest(CONTROLS) === node) take();
  });
  // After an option was selected with the pointer, the arrow keys are the widget's again.
  node.addEventListener("change", ({ target }) => target === picking && take());
  node.addEventListener("keydown", () => {
    picking = null;
  });
  node.addEventListener("focusin", ({ target }) => {
    held = target;
  });
  node.addEventListener("focusout", ({ relatedTarget }) => {
    if (node.contains(/** @type {Node | null} */ (relatedTarget))) return;
    setTimeout(() => {
      if (!node.contains(document.activeElement)) held = null;
    });
  });
  const lost = () => held && !(node.contains(held) && !held.disabled && held.checkVisibility());
  const watching = new MutationObserver(() => {
    if (!lost()) return;
    const away = document.activeElement !== held && document.activeElement !== document.body;
    held = null;
    if (!away) take();
  });
  watching.observe(node, { subtree: true, childList: true, attributeFilter: ["disabled", "hidden"] });
}
