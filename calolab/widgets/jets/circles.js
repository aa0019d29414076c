// Jets drawn as circles in the image of an event, and its labels as text.

/** @import { CellPanel, Label, Look, Pen } from "../shared/types.js" */
/** @import { Jet } from "./types.js" */

import { amount } from "../shared/numbers.js";
import { clipped, outlined } from "../shared/shapes.js";
import { last } from "../shared/values.js";

const JET = "#56b4e9";
const OUTLINE = "rgba(0, 0, 0, 0.65)";

/** Circles around jets, numbered in order of decreasing pt; phi is periodic.
 *
 * @param {Pen} pen
 * @param {CellPanel} panel
 * @param {Jet[]} jets
 * @param {number} radius
 * @param {number[]} phis edges of the image in phi
 * @param {Look} look
 */
export function drawJets(pen, { box, x, y }, jets, radius, phis, look) {
  const [width, height] = [x(radius) - x(0), y(0) - y(radius)];
  const [low, high] = [phis[0], last(phis)];
  pen.font = look.font(11);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  clipped(pen, box, () => {
    jets.forEach(([, eta, phi], k) => {
      for (const turn of [-2 * Math.PI, 0, 2 * Math.PI]) {
        if (phi + turn < low - radius || phi + turn > high + radius) continue;
        pen.beginPath();
        pen.ellipse(x(eta), y(phi + turn), width, height, 0, 0, 2 * Math.PI);
        // A dark outline makes the circle visible in a crowded image.
        for (const { colour, extra } of [
          { colour: OUTLINE, extra: 2.5 },
          { colour: JET, extra: 0 },
        ]) {
          pen.strokeStyle = colour;
          pen.lineWidth = (k === 0 ? 2.2 : 1.3) + extra;
          pen.stroke();
        }
      }
      const side = phi + radius < high ? 0.7 : -0.7;
      outlined(pen, String(k + 1), x(eta), y(phi + side * radius), { colour: JET, outline: OUTLINE });
    });
  });
}

/** The labels of an event as text; a unit shared by successive labels is written once.
 *
 * @param {Label[]} labels
 * @param {number} event
 */
export function labelText(labels, event) {
  const texts = labels.map(({ symbol, unit, values }, k) => {
    const own = labels[k + 1]?.unit === unit ? "" : unit;
    return `${symbol} ${amount(values[event], own)}`;
  });
  return texts.join(", ");
}

/** An angle between −π and π.
 *
 * @param {number} angle
 */
export function wrapped(angle) {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}
