// Jets drawn into the image of an event, and what is said of them.

import { clipped } from "../shared/drawing.js";
import { amount } from "../shared/colours.js";

const JET = "#56b4e9";
const RIM = "rgba(0, 0, 0, 0.65)";

/** Circles around jets, numbered by falling pt; what leaves at one end of phi comes in at the other. */
export function drawJets(pen, { box, x, y }, jets, radius, phis, look) {
  const [width, height] = [x(radius) - x(0), y(0) - y(radius)];
  const [low, high] = [phis[0], phis.at(-1)];
  pen.fillStyle = JET;
  pen.font = look.font(11);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  clipped(pen, box, () => {
    jets.forEach(([, eta, phi], k) => {
      for (const turn of [-2 * Math.PI, 0, 2 * Math.PI]) {
        if (phi + turn < low - radius || phi + turn > high + radius) continue;
        pen.beginPath();
        pen.ellipse(x(eta), y(phi + turn), width, height, 0, 0, 2 * Math.PI);
        // A dark rim makes the circle stand out from a crowded image.
        for (const [colour, extra] of [
          [RIM, 2.5],
          [JET, 0],
        ]) {
          pen.strokeStyle = colour;
          pen.lineWidth = (k === 0 ? 2.2 : 1.3) + extra;
          pen.stroke();
        }
      }
      const side = phi + radius < high ? 0.7 : -0.7;
      pen.strokeStyle = RIM;
      pen.lineWidth = 3;
      pen.strokeText(k + 1, x(eta), y(phi + side * radius));
      pen.fillText(k + 1, x(eta), y(phi + side * radius));
    });
  });
}

/** The labels of an event; a unit stands where the next one is another. */
export function inWords(labels, event) {
  const texts = labels.map(({ symbol, unit, values }, k) => {
    const own = labels[k + 1]?.unit === unit ? "" : unit;
    return `${symbol} ${amount(values[event], own)}`;
  });
  return texts.join(", ");
}

/** An angle between −π and π. */
export function turned(angle) {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}
