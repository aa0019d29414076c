// Cells of showers and images: unpacked from a binary transfer, cut into planes, summed to profiles, drawn.

/** @import { Axes, CellPanel, ColourScale, Cuts, Grid, Look, Pen, Plane, Scales, Space, Values } from "./types.js" */

import { axes } from "./axes.js";
import { beyond, drawLines, EMPTY } from "./colours.js";
import { clipped } from "./shapes.js";
import { last } from "./values.js";

/** The float32 numbers of a trait that was set with Python's `frontend.pack`.
 *
 * @param {DataView<ArrayBuffer>} view
 */
export async function unpack(view) {
  const bytes = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Float32Array(await new Response(bytes).arrayBuffer());
}

/** The float32 numbers of a trait that is not compressed.
 *
 * @param {DataView<ArrayBuffer>} view
 */
export function floats(view) {
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** The planes of an event that are perpendicular to an axis.
 *
 * @param {Space} space
 * @param {string} axis
 * @returns {Cuts}
 */
export function cut(space, axis) {
  const names = space.hasDepth ? space.axes.slice(0, -1) : space.axes;
  if (!space.hasDepth || !space.regular) {
    const planes = space.layers.map(([first, second], k) => {
      const upright = {
        start: space.starts[k],
        columns: first,
        rows: second,
        columnStep: second.length - 1,
        rowStep: 1,
        columnAxis: names[0],
        rowAxis: names[1],
      };
      if (!space.rowsFirst) return upright;
      // An image: columns from left to right, rows from top to bottom.
      return {
        ...upright,
        columns: second,
        rows: first,
        columnStep: 1,
        rowStep: second.length - 1,
        columnAxis: names[1],
        rowAxis: names[0],
        down: true,
      };
    });
    return {
      axis: space.hasDepth ? space.axes[space.axes.length - 1] : null,
      borders: space.depth ?? [0, 1],
      planes,
      summable: false,
    };
  }
  const edges = [...space.layers[0], space.depth ?? []];
  const sizes = edges.map((border) => border.length - 1);
  const strides = [sizes[1] * sizes[2], sizes[2], 1];
  const along = space.axes.indexOf(axis);
  // In a view along the beam, x points to the right and y up; in a side view, the depth points to the right.
  const [columns, rows] = [
    [2, 1],
    [2, 0],
    [0, 1],
  ][along];
  const planes = Array.from({ length: sizes[along] }, (_, k) => ({
    start: k * strides[along],
    columns: edges[columns],
    rows: edges[rows],
    columnStep: strides[columns],
    rowStep: strides[rows],
    columnAxis: space.axes[columns],
    rowAxis: space.axes[rows],
  }));
  return { axis, borders: edges[along], planes, summable: true };
}

/** The values of a plane as an array over (column, row).
 *
 * @param {Values} values the event
 * @param {Plane} plane
 */
export function planeValues(values, plane) {
  const [nColumns, nRows] = [plane.columns.length - 1, plane.rows.length - 1];
  const cells = new Float64Array(nColumns * nRows);
  for (let i = 0; i < nColumns; i += 1) {
    for (let j = 0; j < nRows; j += 1) {
      cells[i * nRows + j] = values[plane.start + i * plane.columnStep + j * plane.rowStep];
    }
  }
  return cells;
}

/** The sum over all planes, cell by cell.
 *
 * @param {Values} values the event
 * @param {Plane[]} planes
 */
export function projection(values, planes) {
  const sum = new Float64Array((planes[0].columns.length - 1) * (planes[0].rows.length - 1));
  for (const plane of planes) {
    planeValues(values, plane).forEach((value, k) => {
      sum[k] += value;
    });
  }
  return sum;
}

/** The sum over each plane.
 *
 * @param {Values} values the event
 * @param {Plane[]} planes
 */
export function planeSums(values, planes) {
  return planes.map((plane) => planeValues(values, plane).reduce((sum, value) => sum + value, 0));
}

/** Draw a panel of cells with axes.
 *
 * @param {Pen} pen
 * @param {number} width
 * @param {number} height
 * @param {Grid} plane
 * @param {Values} cells over (column, row)
 * @param {ColourScale} colours
 * @param {Axes & { unit: string }} space
 * @param {Look} look
 * @param {number[] | null} [marked] column and row of an outlined cell
 * @returns {CellPanel}
 */
export function drawCells(pen, width, height, plane, cells, colours, space, look, marked) {
  const box = { left: 56, top: 6, right: width - 12, bottom: height - 40 };
  // A black panel is an empty event; without an event it is grey.
  pen.fillStyle = colours.signed || !cells.length ? look.grid : EMPTY;
  pen.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  const scales = axes(
    pen,
    box,
    { low: plane.columns[0], high: last(plane.columns), ...axisLabel(space, plane.columnAxis) },
    {
      low: plane.down ? last(plane.rows) : plane.rows[0],
      high: plane.down ? plane.rows[0] : last(plane.rows),
      ...axisLabel(space, plane.rowAxis),
    },
    look,
  );
  // Cells end on whole pixels, so that there is no gap between them.
  const xs = plane.columns.map((edge) => Math.round(scales.x(edge)));
  const ys = plane.rows.map((edge) => Math.round(scales.y(edge)));
  const nRows = ys.length - 1;
  /** @type {(i: number, j: number) => [number, number, number, number]} */
  const rectangle = (i, j) => [xs[i], Math.min(ys[j], ys[j + 1]), xs[i + 1] - xs[i], Math.abs(ys[j] - ys[j + 1])];
  clipped(pen, box, () => {
    cells.forEach((value, k) => {
      const colour = colours.colour(value);
      if (!colour) return;
      pen.fillStyle = colour;
      pen.fillRect(...rectangle(Math.floor(k / nRows), k % nRows));
    });
    const isEmpty = cells.length > 0 && cells.every((value) => value === 0);
    const lines = isEmpty ? ["all cells are empty"] : beyond(cells, colours, space.unit);
    drawLines(pen, box, lines, colours, look);
    if (marked) {
      const [left, top, wide, tall] = rectangle(marked[0], marked[1]);
      pen.strokeStyle = colours.signed ? "black" : "white";
      pen.lineWidth = 1.5;
      pen.strokeRect(left + 0.5, top + 0.5, wide - 1, tall - 1);
    }
  });
  return { box, ...scales };
}

/** The cell [column, row] at a pixel of a panel drawn by `drawCells`, or null.
 *
 * @param {Grid} plane
 * @param {Scales} scales
 * @param {number} pixelX
 * @param {number} pixelY
 */
export function cellAt(plane, { x, y }, pixelX, pixelY) {
  // Pixels count from top to bottom, rows only if `down` is set.
  const before = (/** @type {number} */ edge) => (plane.down ? pixelY < y(edge) : pixelY > y(edge));
  const column = plane.columns.findIndex((edge, k) => k > 0 && pixelX < x(edge)) - 1;
  const row = plane.rows.findIndex((edge, k) => k > 0 && before(edge)) - 1;
  return column < 0 || row < 0 || pixelX < x(plane.columns[0]) || before(plane.rows[0]) ? null : [column, row];
}

/** The symbol of an axis: η for eta.
 *
 * @param {Axes} space
 * @param {string} name
 */
export function axisSymbol(space, name) {
  return space.symbols[space.axes.indexOf(name)];
}

/** The label and the unit of an axis.
 *
 * @param {Axes} space
 * @param {string} name
 */
export function axisLabel(space, name) {
  return { label: axisSymbol(space, name), unit: space.units[space.axes.indexOf(name)] };
}
