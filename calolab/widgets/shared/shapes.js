// Lines, histograms, markers and texts.

/** @import { Box, Look, Pen, Scales } from "./types.js" */

/** @param {Pen} pen @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 */
export function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

/** A filled circle.
 *
 * @param {Pen} pen
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 */
export function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

/** A line through points [pixels]: one that is not finite leaves a gap, and one without a neighbour is a dot.
 *
 * @param {Pen} pen
 * @param {number[]} xs
 * @param {number[]} ys
 */
export function curve(pen, xs, ys) {
  const isPoint = (/** @type {number} */ k) => Number.isFinite(ys[k]);
  pen.beginPath();
  ys.forEach((y, k) => {
    if (isPoint(k) && isPoint(k - 1)) pen.lineTo(xs[k], y);
    else if (isPoint(k)) pen.moveTo(xs[k], y);
  });
  pen.stroke();
  pen.fillStyle = pen.strokeStyle;
  ys.forEach((y, k) => isPoint(k) && !isPoint(k - 1) && !isPoint(k + 1) && dot(pen, xs[k], y, 2.5));
}

/** Draw inside `box` only.
 *
 * @param {Pen} pen
 * @param {Box} box
 * @param {() => void} draw
 */
export function clipped(pen, box, draw) {
  pen.save();
  pen.beginPath();
  pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  pen.clip();
  draw();
  pen.restore();
}

/** Draw `values` as the line of a histogram; a value that is not finite leaves a gap.
 *
 * @param {Pen} pen
 * @param {number[]} edges
 * @param {number[]} values
 * @param {Scales} scales
 */
export function steps(pen, edges, values, { x, y }) {
  pen.beginPath();
  let joined = false;
  values.forEach((value, k) => {
    if (Number.isFinite(value)) {
      if (joined) pen.lineTo(x(edges[k]), y(value));
      else pen.moveTo(x(edges[k]), y(value));
      pen.lineTo(x(edges[k + 1]), y(value));
    }
    joined = Number.isFinite(value);
  });
  pen.stroke();
}

/** Fill the area below the line of a histogram.
 *
 * @param {Pen} pen
 * @param {number[]} edges
 * @param {number[]} values
 * @param {Scales} scales
 */
export function fillSteps(pen, edges, values, scales) {
  const halves = values.map((value) => value / 2);
  band(pen, edges, halves, halves, scales);
}

/** Fill the area within `half` above and below the line of a histogram.
 *
 * @param {Pen} pen
 * @param {number[]} edges
 * @param {number[]} middle
 * @param {number[]} half
 * @param {Scales} scales
 */
export function band(pen, edges, middle, half, { x, y }) {
  middle.forEach((value, k) => {
    if (!Number.isFinite(value + half[k])) return;
    // Whole pixels, so that there is no gap between neighbouring bins.
    const [left, right] = [Math.round(x(edges[k])), Math.round(x(edges[k + 1]))];
    pen.fillRect(left, y(value + half[k]), right - left, y(value - half[k]) - y(value + half[k]));
  });
}

/** The centres of bins [pixels].
 *
 * @param {number[]} edges
 * @param {(value: number) => number} x
 */
export function centres(edges, x) {
  return edges.slice(1).map((edge, k) => (x(edges[k]) + x(edge)) / 2);
}

/** Text with an outline, to be readable on everything that is drawn below it; font and alignment are those of the pen.
 *
 * @param {Pen} pen
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {{ colour: string, outline: string, width?: number, room?: number }} options `room` is the largest width
 */
export function outlined(pen, text, x, y, { colour, outline, width = 3, room }) {
  pen.lineWidth = width;
  pen.lineJoin = "round";
  pen.strokeStyle = outline;
  pen.strokeText(text, x, y, room);
  pen.fillStyle = colour;
  pen.fillText(text, x, y, room);
}

/** A text in the middle of a canvas, or of a part with these sums of its borders, that has nothing else to display.
 *
 * @param {Pen} pen
 * @param {number} width
 * @param {number} height
 * @param {Look} look
 * @param {string} text
 */
export function drawEmpty(pen, width, height, look, text) {
  pen.font = look.font(13);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  outlined(pen, text, width / 2, height / 2, { colour: look.faint, outline: look.paper, width: 6, room: width });
}
