// Canvases, scales, axes, colours and numbers: what every widget draws with.

const INFERNO = [
  [0, 0, 4],
  [5, 4, 23],
  [17, 10, 48],
  [33, 12, 74],
  [50, 10, 94],
  [69, 10, 105],
  [87, 16, 110],
  [103, 22, 110],
  [120, 28, 109],
  [138, 34, 106],
  [154, 40, 101],
  [171, 47, 94],
  [188, 55, 84],
  [202, 64, 74],
  [216, 76, 62],
  [228, 90, 49],
  [237, 105, 37],
  [245, 123, 23],
  [249, 142, 9],
  [252, 161, 8],
  [251, 182, 26],
  [249, 203, 53],
  [244, 223, 83],
  [242, 242, 125],
  [252, 255, 164],
];
// Empty cells are black; the faintest deposit starts visibly above it.
const FAINTEST = 0.14;
export const EMPTY = "rgb(0, 0, 4)";

/** Colour of a fraction between 0 (faintest deposit) and 1, as a CSS string. */
export function inferno(fraction) {
  const place = (FAINTEST + (1 - FAINTEST) * Math.min(Math.max(fraction, 0), 1)) * (INFERNO.length - 1);
  const below = Math.min(Math.floor(place), INFERNO.length - 2);
  const mixed = INFERNO[below].map((c, k) => Math.round(c + (place - below) * (INFERNO[below + 1][k] - c)));
  return `rgb(${mixed.join(", ")})`;
}

/** A canvas that stays sharp on every screen and repaints when its size or JupyterLab's theme changes.
 *
 * `draw(pen, width, height, look)` works in CSS pixels; `redraw()` asks for one repaint in the next frame.
 */
export function surface(label, className, draw) {
  const node = document.createElement("canvas");
  node.className = `calolab-surface ${className}`;
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", label);
  let pending = 0;
  function paint() {
    pending = 0;
    const { clientWidth: width, clientHeight: height } = node;
    if (!width || !height) return;
    const density = window.devicePixelRatio || 1;
    node.width = Math.round(width * density);
    node.height = Math.round(height * density);
    const pen = node.getContext("2d");
    pen.scale(density, density);
    draw(pen, width, height, look(node));
  }
  const redraw = () => {
    pending ||= requestAnimationFrame(paint);
  };
  const resized = new ResizeObserver(redraw);
  resized.observe(node);
  const themed = new MutationObserver(redraw);
  themed.observe(document.body, { attributes: true });
  const remove = () => {
    cancelAnimationFrame(pending);
    resized.disconnect();
    themed.disconnect();
  };
  return { node, redraw, remove };
}

/** The colours and the font that style.css gives to this place of the page. */
function look(node) {
  const style = getComputedStyle(node);
  const names = [
    "ink",
    "faint",
    "grid",
    "paper",
    "reference",
    "reference-fill",
    "generated",
    "generated-fill",
    "accent",
  ];
  const colours = names.map((name) => [name, style.getPropertyValue(`--calolab-${name}`).trim()]);
  const series = [1, 2, 3, 4, 5, 6].map((n) => style.getPropertyValue(`--calolab-series-${n}`).trim());
  return { ...Object.fromEntries(colours), series, font: (size) => `${size}px ${style.fontFamily}` };
}

/** Map `range` = {low, high, log} onto the pixels from `start` to `end`. */
export function scale({ low, high, log }, start, end) {
  const bend = log ? (value) => Math.log10(Math.max(value, low * 1e-6)) : (value) => value;
  const [first, last] = [bend(low), bend(high)];
  return (value) => start + ((bend(value) - first) / (last - first)) * (end - start);
}

/** Round values for the ticks of `range`, about `count` of them. */
export function ticks({ low, high, log }, count = 5) {
  if (log) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const step = Math.ceil((last - first) / (count + 1));
    // Few decades leave room for 2 and 5 between the powers of ten.
    const factors = last - first <= 2 ? [1, 2, 5] : [1];
    const powers = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, k) => first + k * step);
    const marks = powers.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)));
    return marks.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) =>
    Number(((first + k) * step).toPrecision(12)),
  );
}

/** A number with `digits` significant digits, as a physicist writes it: 12.3, 0.045, 3.1×10⁻⁵. */
export function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const sign = (text) => text.replace("-", "−");
  if (size >= 1e-2 && size < 1e5) return sign(size < 10 ** digits ? value.toPrecision(digits) : value.toFixed(0));
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${sign(mantissa)}×10${superscript(Number(exponent))}`;
}

/** A measured mean with its error, both to the error's second digit: 52.50 ± 0.30. */
export function measured(mean, error) {
  if (!(error > 0) || !Number.isFinite(mean)) return number(mean, 4);
  const decimals = Math.max(1 - Math.floor(Math.log10(error)), 0);
  if (decimals > 6) return `${number(mean, 3)} ± ${number(error, 2)}`;
  return `${mean.toFixed(decimals)} ± ${error.toFixed(decimals)}`.replace("-", "−");
}

function tickText(value, range) {
  const exponent = Math.log10(value);
  if (range.log && Math.abs(exponent - Math.round(exponent)) < 1e-9 && (exponent < -0.5 || exponent > 2.5)) {
    return `10${superscript(Math.round(exponent))}`;
  }
  const text = Number(value.toPrecision(6));
  return Math.abs(text) >= 1e5 || (text !== 0 && Math.abs(text) < 1e-3)
    ? number(text, 2)
    : String(text).replace("-", "−");
}

function superscript(exponent) {
  return String(exponent).replace(/./g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)]));
}

/** Draw frame, ticks and titles around `box` = {left, top, right, bottom}; returns the two scales {x, y}. */
export function axes(pen, box, horizontal, vertical, look) {
  const x = scale(horizontal, box.left, box.right);
  const y = scale(vertical, box.bottom, box.top);
  pen.lineWidth = 1;
  pen.strokeStyle = look.faint;
  pen.fillStyle = look.ink;
  pen.font = look.font(11);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const value of horizontal.ticks ?? ticks(horizontal, Math.max(2, Math.round((box.right - box.left) / 70)))) {
    line(pen, x(value), box.bottom, x(value), box.bottom + 4);
    if (!horizontal.bare) pen.fillText(tickText(value, horizontal), x(value), box.bottom + 6);
  }
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const value of vertical.ticks ?? ticks(vertical, Math.max(2, Math.round((box.bottom - box.top) / 45)))) {
    line(pen, box.left - 4, y(value), box.left, y(value));
    pen.fillText(tickText(value, vertical), box.left - 6, y(value));
  }
  pen.strokeRect(
    Math.round(box.left) - 0.5,
    Math.round(box.top) - 0.5,
    Math.round(box.right - box.left) + 1,
    Math.round(box.bottom - box.top) + 1,
  );
  pen.font = look.font(12);
  if (!horizontal.bare) {
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.fillText(horizontal.label, (box.left + box.right) / 2, box.bottom + 34);
  }
  pen.save();
  pen.translate(box.left - 50, (box.top + box.bottom) / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  pen.fillText(vertical.label, 0, 0);
  pen.restore();
  return { x, y };
}

export function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

/** Draw inside `box` only. */
export function clipped(pen, box, draw) {
  pen.save();
  pen.beginPath();
  pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  pen.clip();
  draw();
  pen.restore();
}

/** Draw `values` as a histogram line over `edges`; a value that is not finite leaves a gap. */
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

/** Fill `half` above and below a histogram line over `edges`. */
export function band(pen, edges, middle, half, { x, y }) {
  middle.forEach((value, k) => {
    if (!Number.isFinite(value + half[k])) return;
    // Whole pixels, so that no seam shows between neighbours.
    const [left, right] = [Math.round(x(edges[k])), Math.round(x(edges[k + 1]))];
    pen.fillRect(left, y(value + half[k]), right - left, y(value - half[k]) - y(value + half[k]));
  });
}
