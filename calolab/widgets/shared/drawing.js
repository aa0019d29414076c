// Canvases, scales, axes and numbers: what every widget draws with.

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
  const series = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => style.getPropertyValue(`--calolab-series-${n}`).trim());
  return { ...Object.fromEntries(colours), series, font: (size) => `${size}px ${style.fontFamily}` };
}

/** Map `range` = {low, high, log, linear} onto the pixels from `start` to `end`.
 *
 * With `linear` it is logarithmic on both sides of zero and linear up to about this value.
 */
export function scale({ low, high, log, linear }, start, end) {
  const bend = linear
    ? (value) => Math.asinh(value / linear)
    : log
      ? (value) => Math.log10(Math.max(value, low * 1e-6))
      : (value) => value;
  const [first, last] = [bend(low), bend(high)];
  return (value) => start + ((bend(value) - first) / (last - first)) * (end - start);
}

/** Round values for the ticks of `range`, about `count` of them. */
export function ticks({ low, high, log, linear }, count = 5) {
  if (low > high) return ticks({ low: high, high: low, log, linear }, count);
  if (linear) {
    const first = Math.ceil(Math.log10(linear) - 1e-9);
    const powers = Array.from({ length: Math.floor(Math.log10(high) + 1e-9) - first + 1 }, (_, k) =>
      Number(`1e${first + k}`),
    );
    return [...powers.map((power) => -power).reverse(), 0, ...powers];
  }
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

/** Ticks of an axis; a logarithmic one that holds few powers of ten has others between them. */
export function fineTicks(range, count = 5) {
  const found = ticks(range, count);
  if (!range.log || found.length > 2) return found;
  const first = Math.floor(Math.log10(range.low));
  const powers = Array.from({ length: Math.ceil(Math.log10(range.high)) - first + 1 }, (_, k) => first + k);
  const finer = powers
    .flatMap((power) => [1, 2, 5].map((factor) => Number(`${factor}e${power}`)))
    .filter((value) => value >= range.low && value <= range.high);
  return finer.length > 2 ? finer : ticks({ low: range.low, high: range.high }, count);
}

/** A number with `digits` significant digits, as a physicist writes it: 12.3, 0.045, 3.1×10⁻⁵. */
export function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const sign = (text) => text.replace("-", "−");
  // Rounded first: 999.6 has four digits, and toPrecision(3) would write it as 1.00e+3.
  const rounded = Math.abs(Number(value.toPrecision(digits)));
  if (rounded >= 1e-2 && size < 1e5) return sign(rounded < 10 ** digits ? value.toPrecision(digits) : value.toFixed(0));
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${sign(mantissa)}×10${superscript(Number(exponent))}`;
}

/** A number of things: "1 event", "2,000 events". */
export function plural(count, thing) {
  return `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
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

/** A quantity as it stands on an axis or in a table, "energy [GeV]", and without brackets where it has no unit. */
export function withUnit(text, unit) {
  return unit ? `${text} [${unit}]` : text;
}

/** The texts of ticks that are at most `room` pixels wide, and the power of ten that they leave to the axis's title. */
function tickTexts(pen, marks, range, room) {
  const plain = marks.map((value) => tickText(value, range));
  const isWide = (text) => pen.measureText(text).width > room;
  if (!plain.some((text) => isWide(text) || text.includes("×"))) return { texts: plain, exponent: 0 };
  // A logarithmic axis has its powers of ten; what stands between them needs no number.
  if (range.log || range.linear) return { texts: plain.map((text) => (isWide(text) ? "" : text)), exponent: 0 };
  const exponent = Math.floor(Math.log10(Math.max(...marks.map(Math.abs))));
  const texts = marks.map((value) => String(Number((value / 10 ** exponent).toPrecision(6))).replace("-", "−"));
  return { texts, exponent };
}

/** The title of an axis with its unit, and with the power of ten that its ticks leave out. */
function axisTitle({ label, unit }, exponent) {
  const power = exponent ? `10${superscript(exponent)}` : "";
  return withUnit(label, `${power} ${unit ?? ""}`.trim());
}

/** Draw frame, ticks and titles around `box` = {left, top, right, bottom}; returns the two scales {x, y}. */
export function axes(pen, box, horizontal, vertical, look) {
  const x = scale(horizontal, box.left, box.right);
  const y = scale(vertical, box.bottom, box.top);
  // In CSS pixels, of a canvas that stands outside the page, too.
  const [width, height] = [pen.canvas.width, pen.canvas.height].map((size) => size / pen.getTransform().a);
  pen.lineWidth = 1;
  pen.strokeStyle = look.faint;
  pen.fillStyle = look.ink;
  pen.font = look.font(11);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  const across = horizontal.ticks ?? ticks(horizontal, Math.max(2, Math.round((box.right - box.left) / 70)));
  const below = tickTexts(pen, across, horizontal, 60);
  let free = 0;
  across.forEach((value, k) => {
    line(pen, x(value), box.bottom, x(value), box.bottom + 4);
    if (horizontal.bare) return;
    const half = pen.measureText(below.texts[k]).width / 2;
    // No number is cut off at the end of the canvas or runs into the one before.
    const middle = Math.min(Math.max(x(value), half + 1), width - half - 1);
    if (middle - half < free) return;
    pen.fillText(below.texts[k], middle, box.bottom + 6);
    free = middle + half + 4;
  });
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const up = vertical.ticks ?? ticks(vertical, Math.max(2, Math.round((box.bottom - box.top) / 45)));
  const beside = tickTexts(pen, up, vertical, box.left - 21);
  up.forEach((value, k) => {
    line(pen, box.left - 4, y(value), box.left, y(value));
    pen.fillText(beside.texts[k], box.left - 6, y(value));
  });
  pen.strokeRect(
    Math.round(box.left) - 0.5,
    Math.round(box.top) - 0.5,
    Math.round(box.right - box.left) + 1,
    Math.round(box.bottom - box.top) + 1,
  );
  if (!horizontal.bare) {
    pen.textBaseline = "bottom";
    drawTitle(pen, axisTitle(horizontal, below.exponent), (box.left + box.right) / 2, box.bottom + 34, width, look);
  }
  pen.save();
  pen.translate(Math.max(box.left - 54, 0), 0);
  pen.rotate(-Math.PI / 2);
  pen.textBaseline = "top";
  // Turned by a quarter, what was up is now to the right.
  pen.translate(-height, 0);
  drawTitle(pen, axisTitle(vertical, beside.exponent), height - (box.top + box.bottom) / 2, 0, height, look);
  pen.restore();
  return { x, y };
}

/** A title about a place of a line that is `room` pixels long, of which it leaves neither end; smaller if it must be. */
function drawTitle(pen, text, place, baseline, room, look) {
  pen.font = look.font(12);
  const full = pen.measureText(text).width;
  if (full > room - 2) pen.font = look.font(Math.max((12 * (room - 2)) / full, 8));
  const half = Math.min(pen.measureText(text).width, room - 2) / 2;
  pen.textAlign = "center";
  pen.fillText(text, Math.min(Math.max(place, half + 1), room - half - 1), baseline);
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
