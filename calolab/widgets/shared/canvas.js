// A canvas that follows its size, the screen's resolution and the theme of the page.

/** @import { Draw, Look, Surface } from "./types.js" */

const COLOURS = /** @type {const} */ ([
  "ink",
  "faint",
  "grid",
  "paper",
  "reference",
  "reference-fill",
  "generated",
  "generated-fill",
  "accent",
]);

/** A canvas that is sharp on every screen and is repainted when its size or JupyterLab's theme changes.
 *
 * @param {string} label its text alternative
 * @param {string} className
 * @param {Draw} draw
 * @returns {Surface}
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
    const pen = context(node);
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

/** The drawing context of a canvas.
 *
 * @param {HTMLCanvasElement} canvas
 */
export function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/** The colours and the font that the style sheet defines for an element.
 *
 * @param {Element} node
 * @returns {Look}
 */
function look(node) {
  const style = getComputedStyle(node);
  const read = (/** @type {string} */ name) => style.getPropertyValue(`--calolab-${name}`).trim();
  const colours = /** @type {Record<typeof COLOURS[number], string>} */ (
    Object.fromEntries(COLOURS.map((name) => [name, read(name)]))
  );
  const series = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => read(`series-${n}`));
  return { ...colours, series, font: (size) => `${size}px ${style.fontFamily}` };
}
