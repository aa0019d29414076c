// The question of how many epochs a promoted trial shall have in all.

import { button, element } from "../shared/controls.js";

/** A form that is hidden until `open(trial, done)`; `onpromote(trial, epochs)` is called with the answer. */
export function epochsForm(onpromote) {
  const node = element("form", { class: "calolab-controls calolab-asking", hidden: true });
  const close = () => (node.hidden = true);

  function open(trial, done) {
    const input = element("input", { type: "number", min: done + 1, step: 1, value: 2 * done, required: true });
    node.replaceChildren(
      element("label", {}, `Train trial ${trial} on, from ${done} epochs to `, input, " epochs in all"),
      element("button", { type: "submit", class: "calolab-button" }, "Promote"),
      button({ label: "Cancel", onpress: close }),
    );
    node.onsubmit = (event) => {
      event.preventDefault();
      close();
      onpromote(trial, input.valueAsNumber);
    };
    node.hidden = false;
    input.focus();
    input.select();
  }
  return { node, open, close };
}
