// The views of a trial's best model: the buttons that ask for one, and the place where it is shown.

import { button, element } from "../shared/controls.js";

/** `offer(place, trial)` puts the buttons into a place; `show()` shows in `node` what the model's `view` holds. */
export function trialViews(model, answers) {
  const node = element("div", { class: "calolab-view", hidden: true });

  /** Buttons that open the views of a trial's best model; replaced only for another trial. */
  function offer(place, row) {
    const key = row?.epochs.length ? String(row.number) : "";
    if (place.dataset.trial === key) return;
    place.dataset.trial = key;
    place.replaceChildren(
      ...(key ? model.get("view_names") : []).map((name) =>
        button({
          label: name,
          title: `${name} of trial ${key}, with the weights of its best epoch`,
          onpress: () =>
            answers.ask(`${name} of trial ${key}`, { type: "view", view: name, trial: Number(key) }),
        }),
      ),
    );
  }

  let opened = 0;
  async function show() {
    const now = (opened += 1);
    const { title, kind, widget, image, html } = model.get("view");
    node.hidden = !kind;
    if (!kind) return node.replaceChildren();
    const body = element("div");
    const shut = button({ label: "Close", title: "close this view", onpress: () => model.send({ type: "close view" }) });
    const head = element("div", { class: "calolab-controls" }, element("b", { class: "calolab-grow" }, title), shut);
    node.replaceChildren(head, body);
    if (kind === "html") body.innerHTML = html;
    if (kind === "image") {
      const source = URL.createObjectURL(new Blob([image], { type: "image/png" }));
      body.append(element("img", { src: source, alt: title, onload: () => URL.revokeObjectURL(source) }));
    }
    if (kind !== "widget") return;
    const child = await model.widget_manager.create_view(await model.widget_manager.get_model(widget), {});
    if (now === opened) body.append(child.el);
  }
  return { node, offer, show };
}
