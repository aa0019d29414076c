// Types of the widgets' JavaScript, for `make javascript`; not sent to the browser.

/** The traits of a widget's Python side; T maps their names to the types of their values. */
export interface Model<T extends object> {
  get<K extends keyof T & string>(name: K): T[K];
  set<K extends keyof T & string>(name: K, value: T[K]): void;
  save_changes(): void;
  send(content: object): void;
  on(event: string, react: (...values: never[]) => void): void;
  off(event: string, react: (...values: never[]) => void): void;
  /** The manager of ipywidgets, which makes the view of another widget. */
  widget_manager: {
    get_model(id: string): Promise<object>;
    create_view(model: object, options: object): Promise<{ el: HTMLElement }>;
  };
}

/** What anywidget passes to `render`, which returns a function that removes the widget. */
export interface RenderContext<T extends object> {
  model: Model<T>;
  el: HTMLElement;
}

export type Pen = CanvasRenderingContext2D;
/** The values of cells, events, columns. */
export type Values = number[] | Float32Array | Float64Array;
export type Role = "reference" | "generated";

/** Colours and font of a place of the page. */
export interface Look {
  ink: string;
  faint: string;
  grid: string;
  paper: string;
  reference: string;
  "reference-fill": string;
  generated: string;
  "generated-fill": string;
  accent: string;
  /** --calolab-series-1 to -8 */
  series: string[];
  font(size: number): string;
}

/** Draws a canvas of the given size in CSS pixels. */
export type Draw = (pen: Pen, width: number, height: number, look: Look) => void;

export interface Surface {
  node: HTMLCanvasElement;
  /** Repaint in the next frame. */
  redraw(): void;
  remove(): void;
}

/** A part of a canvas [CSS pixels]. */
export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Range {
  low: number;
  high: number;
  log?: boolean;
  /** The scale is logarithmic on both sides of zero, and linear up to about this value. */
  linear?: number;
}

export interface AxisRange extends Range {
  label: string;
  unit?: string;
  ticks?: number[];
  /** Without numbers and title. */
  bare?: boolean;
}

/** From a value to a pixel. */
export type Scale = (value: number) => number;

export interface Scales {
  x: Scale;
  y: Scale;
}

/** A histogram with half the height of its band. */
export interface Band {
  middle: number[];
  half: number[];
}

export interface Axes {
  axes: string[];
  symbols: string[];
  units: string[];
}

/** `frontend.describe_space` */
export interface Space extends Axes {
  rowsFirst: boolean;
  quantity: string;
  unit: string;
  hasDepth: boolean;
  regular: boolean;
  layers: [number[], number[]][];
  depth: number[] | null;
  starts: number[];
}

/** `frontend.describe_labels` */
export interface Label {
  symbol: string;
  unit: string;
  values: number[];
}

/** The cells of a plane: cell (i, j) is between the edges columns[i], columns[i + 1] and rows[j], rows[j + 1]. */
export interface Grid {
  columns: number[];
  rows: number[];
  columnAxis: string;
  rowAxis: string;
  /** Rows are drawn from top to bottom. */
  down?: boolean;
}

/** A plane of an event, in which cell (i, j) has the index start + i * columnStep + j * rowStep. */
export interface Plane extends Grid {
  start: number;
  columnStep: number;
  rowStep: number;
}

/** The planes along an axis. */
export interface Cuts {
  /** null for an image, which has a single plane */
  axis: string | null;
  borders: number[];
  planes: Plane[];
  summable: boolean;
}

export interface ColourScale extends Range {
  signed: boolean;
  /** The colour at a fraction of the scale. */
  place(fraction: number): string;
  /** The colour of a value; null for an empty cell. */
  colour(value: number): string | null;
  /** Whether a value is beyond an end of the scale, up to rounding. */
  isOver(value: number): boolean;
  isUnder(value: number): boolean;
}

/** A panel drawn by `drawCells`. */
export interface CellPanel extends Scales {
  box: Box;
}

/** Actions by key, by what they change: {event: {ArrowUp: next, ArrowDown: previous}}. */
export type Keys = Record<string, Record<string, () => unknown>>;

export type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => unknown)>;
