// Showers in the browser: unpacked from one binary transfer, cut into planes, summed to profiles, drawn as cells.

import { axes, clipped } from "./drawing.js";
import { beyond, drawLines, EMPTY } from "./colours.js";

/** The float32 numbers of a trait that Python's `frontend.pack` filled. */
export async function unpack(view) {
  const bytes = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Float32Array(await new Response(bytes).arrayBuffer());
}

/** How one event falls into planes along an axis: where each begins and how its cells lie.
 *
 * A plane is {start, columns, rows, columnStep, rowStep, columnAxis, rowAxis}: cell (i, j) of an event stands at
 * start + i * columnStep + j * rowStep, between the edges columns[i], columns[i + 1] and rows[j], rows[j + 1] [mm];
 * with `down` its rows run down.
 */
export function cut(space, axis) {
  const last = space.axes.length - 1;
  const names = space.hasDepth ? space.axes.slice(0, last) : space.axes;
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
      // A picture: its columns to the right, its rows down.
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
    return { axis: space.hasDepth ? space.axes[last] : null, borders: space.depth ?? [0, 1], planes, summable: false };
  }
  const edges = [...space.layers[0], space.depth];
  const sizes = edges.map((border) => border.length - 1);
  const strides = [sizes[1] * sizes[2], sizes[2], 1];
  const along = space.axes.indexOf(axis);
  // Seen along the beam: x to the right, y up. Seen from the side: the depth to the right.
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

/** The values of a plane as an array over (column, row). */
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

/** The sum over all planes, cell by cell. */
export function projection(values, planes) {
  const sum = new Float64Array((planes[0].columns.length - 1) * (planes[0].rows.length - 1));
  for (const plane of planes) planeValues(values, plane).forEach((value, k) => (sum[k] += value));
  return sum;
}

/** The energy in each plane. */
export function planeSums(values, planes) {
  return planes.map((plane) => planeValues(values, plane).reduce((sum, value) => sum + value, 0));
}

/** A panel of cells with axes; `cells` over (column, row); returns the scales and the box for hovering. */
export function drawCells(pen, width, height, plane, cells, colours, space, look, marked) {
  const box = { left: 56, top: 6, right: width - 12, bottom: height - 40 };
  pen.fillStyle = colours.signed ? look.grid : EMPTY;
  pen.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  const scales = axes(
    pen,
    box,
    { low: plane.columns[0], high: plane.columns.at(-1), ...axisLabel(space, plane.columnAxis) },
    // The rows of a picture run down.
    {
      low: plane.rows.at(plane.down ? -1 : 0),
      high: plane.rows.at(plane.down ? 0 : -1),
      ...axisLabel(space, plane.rowAxis),
    },
    look,
  );
  // Cells end on whole pixels, so that no seam shows between them.
  const xs = plane.columns.map((edge) => Math.round(scales.x(edge)));
  const ys = plane.rows.map((edge) => Math.round(scales.y(edge)));
  const nRows = ys.length - 1;
  const place = (i, j) => [xs[i], Math.min(ys[j], ys[j + 1]), xs[i + 1] - xs[i], Math.abs(ys[j] - ys[j + 1])];
  clipped(pen, box, () => {
    cells.forEach((value, k) => {
      const colour = colours.colour(value);
      if (!colour) return;
      pen.fillStyle = colour;
      pen.fillRect(...place(Math.floor(k / nRows), k % nRows));
    });
    drawLines(pen, box, beyond(cells, colours, space.unit), colours, look);
    if (marked) {
      const [left, up, wide, tall] = place(...marked);
      pen.strokeStyle = colours.signed ? "black" : "white";
      pen.lineWidth = 1.5;
      pen.strokeRect(left + 0.5, up + 0.5, wide - 1, tall - 1);
    }
  });
  return { box, ...scales };
}

/** The cell [column, row] of `plane` under a pixel of a panel drawn by `drawCells`, or null. */
export function cellAt(plane, { x, y }, pixelX, pixelY) {
  // Where the rows run down, they rise with the pixels.
  const before = (edge) => (plane.down ? pixelY < y(edge) : pixelY > y(edge));
  const column = plane.columns.findIndex((edge, k) => k > 0 && pixelX < x(edge)) - 1;
  const row = plane.rows.findIndex((edge, k) => k > 0 && before(edge)) - 1;
  return column < 0 || row < 0 || pixelX < x(plane.columns[0]) || before(plane.rows[0]) ? null : [column, row];
}

/** How an axis is written: η for eta. */
export function axisSymbol(space, name) {
  return space.symbols[space.axes.indexOf(name)];
}

/** An axis with its unit, as `axes` takes it. */
export function axisLabel(space, name) {
  return { label: axisSymbol(space, name), unit: space.units[space.axes.indexOf(name)] };
}
