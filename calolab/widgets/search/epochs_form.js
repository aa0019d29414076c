// A form for the total number of epochs of a promoted trial.

import { button, element } from "../shared/controls.js";

/** A form that is hidden until `open(trial, done)`; `onpromote(trial, epochs)` is called with the number entered.
 *
 * @param {(trial: number, epochs: number) => void} onpromote
 */
export function epochsForm(onpromote) {
  const node = element("form", { class: "calolab-controls calolab-asking", hidden: true });
  const close = () => {
    node.hidden = true;
  };

  /** @param {number} trial @param {number} done */
  function open(trial, done) {
    const input = element("input", { type: "number", min: done + 1, step: 1, value: 2 * done, required: true });
    node.replaceChildren(
      element("label", {}, `Continue trial ${trial} from ${done} to `, input, " epochs in total"),
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
