// SliceViewer: slices of reference and generated showers side by side.

/** @import { Label, RenderContext, Space } from "../shared/types.js" */
/** @import { SlicingTraits } from "./slicing.js" */

import { unpack } from "../shared/cells.js";
import { assign, element, slider, watch } from "../shared/controls.js";
import { frame } from "../shared/frame.js";
import { amount } from "../shared/numbers.js";
import { clamp, last } from "../shared/values.js";
import { slicing } from "./slicing.js";

/** @typedef {SlicingTraits & {
 *   event: number,
 *   about: { space: Space, samples: { name: string, labels: Label[], visible: number[] }[], signed: boolean, note: string },
 *   showers: DataView<ArrayBuffer>,
 * }} Traits
 */

/** @param {RenderContext<Traits>} context */
async function render({ model, el }) {
  const { space, samples, signed, note } = model.get("about");
  const numbers = await unpack(model.get("showers"));
  const nEvents = samples[0].visible.length;
  const size = last(space.starts);
  const shower = (/** @type {number} */ sample, /** @type {number} */ event) =>
    numbers.subarray((sample * nEvents + event) * size, (sample * nEvents + event + 1) * size);

  const view = slicing({
    model,
    space,
    signed,
    sides: samples.map(({ name }, which) => ({ name, role: which ? "generated" : "reference" })),
    showers: () => samples.map((_, which) => shower(which, model.get("event"))),
  });
  const events = slider({
    label: "event",
    title: "event (keys: up and down)",
    describe: (event) => `${event} (0 to ${nEvents - 1})`,
    onmove: (event) => assign(model, { event }),
  });
  const turn = (/** @type {number} */ change) => () =>
    assign(model, { event: clamp(model.get("event") + change, 0, nEvents - 1) });

  const keys = { event: { ArrowUp: turn(1), ArrowDown: turn(-1) }, ...view.keys };
  frame(
    el,
    { name: "Slice viewer", keys, note },
    element("div", { class: "calolab-controls" }, events.node, ...view.controls),
    ...view.body,
  );

  function show() {
    const event = model.get("event");
    events.show(event, 0, nEvents - 1);
    view.show(
      samples.map(({ labels, visible }) => {
        const facts = labels.map(({ symbol, unit, values }) => `${symbol} ${amount(values[event], unit)}`);
        facts.push(`${space.hasDepth ? "visible" : "sum"} ${amount(visible[event], space.unit)}`);
        return facts.join(", ");
      }),
    );
  }
  const unwatch = watch(model, ["event"], show);
  show();
  return () => {
    unwatch();
    view.remove();
  };
}

export default { render };
