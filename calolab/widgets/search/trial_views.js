// The views of a trial's best model: the buttons that open them, and the place where they are displayed.

/** @import { Model } from "../shared/types.js" */
/** @import { Trial } from "./trials.js" */

import { button, element } from "../shared/controls.js";

/** @typedef {{
 *   view_names: string[],
 *   view: { title?: string, kind?: string, widget?: string, image?: DataView<ArrayBuffer>, html?: string },
 * }} ViewTraits
 */

/** `offer(place, trial)` inserts the buttons into an element; `show()` displays the trait `view` in `node`.
 *
 * @param {Model<ViewTraits>} model
 * @param {{ request(text: string, message: object): void }} actions
 */
export function trialViews(model, actions) {
  const node = element("div", { class: "calolab-view", hidden: true });

  /** Buttons that open the views of a trial's best model; they are replaced only for another trial.
   *
   * @param {HTMLElement} place
   * @param {Trial | null} row
   */
  function offer(place, row) {
    const key = row?.epochs.length ? String(row.number) : "";
    if (place.dataset.trial === key) return;
    place.dataset.trial = key;
    place.replaceChildren(
      ...(key ? model.get("view_names") : []).map((name) =>
        button({
          label: name,
          title: `${name} of trial ${key}, with the weights of its best epoch`,
          onpress: () => actions.request(`${name} of trial ${key}`, { type: "view", view: name, trial: Number(key) }),
        }),
      ),
    );
  }

  let opened = 0;
  async function show() {
    opened += 1;
    const current = opened;
    const { title, kind, widget, image, html } = model.get("view");
    node.hidden = !kind;
    if (!kind) return node.replaceChildren();
    const body = element("div");
    const shut = button({
      label: "Close",
      title: "close this view",
      onpress: () => model.send({ type: "close view" }),
    });
    const head = element(
      "div",
      { class: "calolab-controls" },
      element("b", { class: "calolab-grow" }, title ?? ""),
      shut,
    );
    node.replaceChildren(head, body);
    if (kind === "html") body.innerHTML = html ?? "";
    if (kind === "image" && image) {
      const source = URL.createObjectURL(new Blob([image], { type: "image/png" }));
      body.append(element("img", { src: source, alt: title, onload: () => URL.revokeObjectURL(source) }));
    }
    if (kind !== "widget" || !widget) return;
    const child = await model.widget_manager.create_view(await model.widget_manager.get_model(widget), {});
    if (current === opened) body.append(child.el);
  }
  return { node, offer, show };
}
