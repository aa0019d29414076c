// The frame of every widget: it holds the keyboard focus, so that keys reach the widget and not the notebook around it.

import { element } from "./controls.js";

const CONTROLS = "a[href], button:enabled, input:enabled, select:enabled, textarea:enabled, summary, label, [tabindex]";
// With Ctrl or Cmd: save, print, find and its next match, side bars and inspector; with Shift, too: save as, command
// palette, files, the match before. JupyterLab's others may undo, select, merge or run cells.
const APPLICATION = { plain: [..."spfgbji"], shifted: [..."scfg"] };
const SIGNS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "Space" };

/** The frame of a widget, inside `el`, with a note at its end that names the keys.
 *
 * `keys` maps what is changed to the keys that change it and what each of them calls:
 * {scale: {l: toggle}, event: {ArrowUp: next, ArrowDown: previous}}.
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

/** The keys in words: "Keys: ↑ ↓ event, l scale."; nothing if there are none. */
export function hint(title, keys) {
  const parts = Object.entries(keys).map(
    ([what, actions]) => `${Object.keys(actions).map((key) => SIGNS[key] ?? key).join(" ")} ${what}`,
  );
  return parts.length ? `${title}: ${parts.join(", ")}.` : "";
}

/** Call what `keys` says when one of them is pressed in `node`; an action that returns false leaves the key unused. */
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

const isText = (target) => target.isContentEditable || /^(text|search|number|textarea|email|url|password)$/.test(target.type);

/** Whether the control that has the focus uses a key itself: a slider its arrows, a button Enter and Space. */
function usedByControl({ target, key }) {
  if (target.tagName === "SELECT") return true; // it is walked through by arrows and letters
  if (isText(target)) return key !== "Escape";
  if (target.type === "range") return /^(Arrow|Page|Home|End)/.test(key);
  return target.matches("button, summary, a, input") && (key === "Enter" || key === " ");
}

/** Whether a key is meant for the application around and changes no notebook, as Ctrl-S and Ctrl-Shift-C. */
function isForApplication({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  if (!(ctrlKey || metaKey) || altKey) return false;
  return (shiftKey ? APPLICATION.shifted : APPLICATION.plain).includes(key.toLowerCase());
}

/** Let no key go on from `node` to the notebook, whose cells it would cut or change; Escape hands the focus back. */
function keepKeys(node) {
  node.addEventListener("keydown", (event) => {
    if (isForApplication(event)) return;
    event.stopPropagation();
    if (event.defaultPrevented) return;
    // Of radio buttons without a name, Chromium would go on to those of another widget and choose them.
    if (event.target.type === "radio" && event.key.startsWith("Arrow")) event.preventDefault();
    if (event.key === "Enter" && /^(checkbox|radio)$/.test(event.target.type)) event.target.click();
    if (event.key === "Escape" && event.target.tagName !== "SELECT") {
      const outside = node.parentElement?.closest("[tabindex]");
      if (outside) outside.focus({ preventScroll: true });
      else document.activeElement?.blur();
    }
  });
}

/** Take the focus on a click anywhere in `node`, and keep it when the control that has it is taken away or disabled. */
function keepFocus(node) {
  const take = () => node.focus({ preventScroll: true });
  let held = null;
  let picking = null;
  node.addEventListener("pointerdown", ({ target }) => {
    picking = target.tagName === "SELECT" ? target : null;
    if (target.closest(CONTROLS) === node) take();
  });
  // After a choice from a list by the pointer, arrows are the widget's again.
  node.addEventListener("change", ({ target }) => target === picking && take());
  node.addEventListener("keydown", () => (picking = null));
  node.addEventListener("focusin", ({ target }) => (held = target));
  node.addEventListener("focusout", ({ relatedTarget }) => {
    if (!node.contains(relatedTarget)) setTimeout(() => node.contains(document.activeElement) || (held = null));
  });
  const lost = () => held && !(node.contains(held) && !held.disabled && held.checkVisibility());
  const watching = new MutationObserver(() => {
    if (!lost()) return;
    const away = ![held, document.body].includes(document.activeElement);
    held = null;
    if (!away) take();
  });
  watching.observe(node, { subtree: true, childList: true, attributeFilter: ["disabled", "hidden"] });
}
