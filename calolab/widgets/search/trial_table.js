// A table of thousands of trials, of which only the visible ones are elements of the page.

/** @import { Keys } from "../shared/types.js" */
/** @import { Column, Trial } from "./trials.js" */

import { context } from "../shared/canvas.js";
import { button, element } from "../shared/controls.js";
import { bindKeys } from "../shared/frame.js";
import { clamp } from "../shared/values.js";

/** What the table displays: the rows in order, the CSS colours of selected trials, the actions that each trial offers, and
 * why the buttons are disabled, if they are.
 *
 * @typedef {{
 *   rows: Trial[],
 *   empty: string,
 *   columns: Column[],
 *   sort: string,
 *   falling: boolean,
 *   keys: Map<number, string>,
 *   actions: (row: Trial) => string[],
 *   disabled: string,
 * }} Contents
 */
/** @typedef {{ line: HTMLTableRowElement, cells: HTMLElement[], buttons: HTMLElement, actions: string | null }} Entry */

const ROW_HEIGHT = 26; // as in search_dashboard.css [pixels]
const MARGIN_ROWS = 6; // number of rows that are kept above and below the visible ones
const BUTTONS_WIDTH = 166; // width of the column of buttons, which is always visible [pixels]
/** Label and title of each action.
 *
 * @type {Record<string, [string, string]>}
 */
const LABELS = {
  stop: ["Stop", "stop this trial; its results and weights are kept"],
  restart: ["Restart", "train it again from scratch with the same parameters"],
  promote: ["Promote", "continue its training for more epochs"],
};

/** The widths of columns in the available width. If not all fit, those that do fill it, so that none is partly visible.
 *
 * @param {number[]} widths
 * @param {number} room
 */
function fitted(widths, room) {
  let [count, used] = [0, 0];
  while (count < widths.length && used + widths[count] <= room) used += widths[count++];
  return widths.map((width, k) => (count < widths.length && k < count ? (width * room) / used : width));
}

/** The longest text of a column.
 *
 * @param {Trial[]} rows
 * @param {(row: Trial) => string} text
 */
function longest(rows, text) {
  return rows.reduce((most, row) => (text(row).length > most.length ? text(row) : most), "");
}

/** The table; `show` sets its contents, `onact(action, number)` is called by the buttons of a row.
 *
 * @param {{
 *   onsort: (name: string) => void,
 *   onpick: (number: number) => void,
 *   onhover: (number: number | null) => void,
 *   onact: (action: string, number: number) => void,
 * }} options
 */
export function trialTable({ onsort, onpick, onhover, onact }) {
  const head = element("thead");
  const body = element("tbody");
  const table = element("table", { role: "grid", "aria-label": "trials" }, head, body);
  const nothing = element("div", { class: "calolab-nothing" });
  const more = button({ title: "scroll to the columns on the right", onpress: scrollToNext });
  const node = element("div", { class: "calolab-trials", tabindex: 0, "aria-label": "trials, by row" }, table, nothing);
  const [above, below] = [element("tr", { "aria-hidden": true }), element("tr", { "aria-hidden": true })];
  /** @type {Contents} */
  let shown = {
    rows: [],
    empty: "",
    columns: [],
    sort: "",
    falling: false,
    keys: new Map(),
    actions: () => [],
    disabled: "",
  };
  /** The rows that are elements of the page, by number.
   *
   * @type {Map<number, Entry>}
   */
  let ready = new Map();
  let layout = "";
  let font = "";
  let room = 0;
  /** Right edges of the columns [pixels].
   *
   * @type {number[]}
   */
  let ends = [];
  /** @type {number | null} */
  let current = null;
  let pending = 0;

  function fontOf() {
    const { fontFamily, fontSize } = getComputedStyle(table);
    return `${fontSize} ${fontFamily}`;
  }

  /** @param {Contents} contents */
  function showHead({ columns, rows, sort, falling }) {
    const texts = columns.map(({ text }) => longest(rows, text));
    const key = JSON.stringify([
      columns.map(({ name }) => name),
      texts.map((text) => text.length),
      sort,
      falling,
      fontOf(),
      node.clientWidth,
    ]);
    if (key === layout) return;
    layout = key;
    font = fontOf();
    room = node.clientWidth - BUTTONS_WIDTH;
    ready.clear();
    body.replaceChildren();
    const titles = columns.map(({ name, left }) =>
      element(
        "th",
        {
          scope: "col",
          class: left ? "calolab-left" : false,
          "aria-sort": name === sort ? (falling ? "descending" : "ascending") : "none",
        },
        button({
          label: `${name}${name === sort ? (falling ? " ▼" : " ▲") : ""}`,
          title: `sort by ${name}`,
          onpress: () => onsort(name),
        }),
      ),
    );
    const pen = context(document.createElement("canvas"));
    const widths = titles.map((title, k) => {
      pen.font = `600 ${font}`; // the font of headings and of the status of running trials
      const inks = [title.textContent ?? "", texts[k]].map((text) => pen.measureText(text).width);
      return Math.ceil(Math.min(Math.max(...inks), 180)) + 18;
    });
    const space = fitted(widths, room);
    ends = space.map((_, k) => space.slice(0, k + 1).reduce((sum, width) => sum + width, 0));
    table.querySelector("colgroup")?.remove();
    const columnOf = (/** @type {number} */ width) => element("col", { style: `width: ${width}px` });
    table.prepend(element("colgroup", {}, ...[...space, BUTTONS_WIDTH].map(columnOf)));
    head.replaceChildren(element("tr", {}, ...titles, element("th", { scope: "col", class: "calolab-acts" }, more)));
  }

  /** @param {number} number @returns {Entry} */
  function makeRow(number) {
    const cells = shown.columns.map(({ left }) => element("td", { class: left ? "calolab-left" : false }));
    const buttons = element("td", { class: "calolab-acts" });
    const line = element("tr", {
      role: "row",
      onclick: (/** @type {MouseEvent} */ { target }) => {
        if (!(/** @type {Element} */ (target).closest("button"))) pick(number);
      },
      onpointerenter: () => onhover(number),
      onpointerleave: () => onhover(null),
    });
    line.append(...cells, buttons);
    return { line, cells, buttons, actions: null };
  }

  /** @param {Entry} entry @param {Trial} row @param {number} place */
  function fill(entry, row, place) {
    const { line, cells, buttons } = entry;
    shown.columns.forEach(({ text }, k) => {
      const content = text(row);
      if (cells[k].textContent !== content) cells[k].textContent = content;
    });
    const key = shown.keys.get(row.number);
    line.style.setProperty("--calolab-key", key ?? "transparent");
    line.setAttribute("aria-selected", String(key != null));
    line.setAttribute("aria-rowindex", String(place + 2));
    line.dataset.status = row.status;
    line.dataset.trial = String(row.number);
    line.title = row.error;
    line.classList.toggle("calolab-current", row.number === current);
    const actions = shown.actions(row).join();
    if (entry.actions === actions + shown.disabled) return;
    // Buttons are replaced only if they change: a click may have begun on one.
    entry.actions = actions + shown.disabled;
    buttons.replaceChildren(
      ...shown.actions(row).map((action) => {
        const [label, title] = LABELS[action];
        const made = button({
          label,
          title: shown.disabled || `${title} (key: ${action[0]})`,
          onpress: () => onact(action, row.number),
        });
        made.setAttribute("aria-label", `${label} trial ${row.number}`);
        made.disabled = Boolean(shown.disabled);
        return made;
      }),
    );
  }

  const firstHidden = () => ends.findIndex((end) => end > node.scrollLeft + room + 1);

  /** Scroll the first column that is hidden on the right to the left edge. */
  function scrollToNext() {
    node.scrollLeft = ends[firstHidden() - 1] - ends[0];
  }

  /** Hide the text of columns that are partly covered by the first one or the buttons, which are always visible.
   *
   * @param {HTMLTableRowElement} line
   */
  function hideCovered(line) {
    const edges = [node.scrollLeft + ends[0], node.scrollLeft + room];
    [...line.cells].slice(1, -1).forEach((cell, k) => {
      const cut = edges.some((edge) => ends[k] < edge - 1 && edge + 1 < ends[k + 1]);
      cell.classList.toggle("calolab-cut", cut);
    });
  }

  function paint() {
    pending = 0;
    // Widths measured before the table was part of the page are those of another font and of zero available width.
    if (fontOf() !== font || node.clientWidth - BUTTONS_WIDTH !== room) showHead(shown);
    const hidden = ends.filter((end) => end > node.scrollLeft + room + 1).length;
    more.textContent = hidden ? `${hidden} more →` : "";
    more.hidden = !hidden;
    node.classList.toggle("calolab-more", hidden > 0);
    nothing.textContent = shown.rows.length ? "" : shown.empty;
    nothing.hidden = shown.rows.length > 0;
    if (head.rows.length) hideCovered(head.rows[0]);
    const { rows, columns } = shown;
    const first = Math.max(Math.floor(node.scrollTop / ROW_HEIGHT) - MARGIN_ROWS, 0);
    const last = Math.min(first + Math.ceil(node.clientHeight / ROW_HEIGHT) + 2 * MARGIN_ROWS, rows.length);
    above.style.height = `${ROW_HEIGHT * first}px`;
    below.style.height = `${ROW_HEIGHT * (rows.length - last)}px`;
    const kept = new Map();
    let after = above;
    if (body.firstChild !== above) body.prepend(above);
    for (let k = first; k < last; k += 1) {
      const { number } = rows[k];
      const entry = ready.get(number) ?? makeRow(number);
      fill(entry, rows[k], k);
      hideCovered(entry.line);
      if (after.nextSibling !== entry.line) after.after(entry.line);
      after = entry.line;
      kept.set(number, entry);
    }
    if (after.nextSibling !== below) after.after(below);
    while (below.nextSibling) below.nextSibling.remove();
    ready = kept;
    table.setAttribute("aria-rowcount", String(rows.length + 1));
    table.setAttribute("aria-colcount", String(columns.length + 1));
  }
  const redraw = () => {
    pending ||= requestAnimationFrame(paint);
  };
  node.addEventListener("scroll", redraw);
  const resized = new ResizeObserver(redraw);
  resized.observe(node);

  /** @param {number} number */
  function pick(number) {
    current = number;
    onpick(number);
    redraw();
  }

  /** Move the current row.
   *
   * @param {number} change
   */
  function move(change) {
    const { rows } = shown;
    if (!rows.length) return;
    const place = rows.findIndex(({ number }) => number === current);
    point(clamp(place < 0 ? 0 : place + change, 0, rows.length - 1));
    onhover(current);
  }

  /** Make a row the current one and scroll to it.
   *
   * @param {number} place
   */
  function point(place) {
    current = shown.rows[place].number;
    // Not covered by the heading, which is always visible.
    const [top, bottom] = [ROW_HEIGHT * place, ROW_HEIGHT * (place + 2)];
    if (top < node.scrollTop) node.scrollTop = top;
    if (bottom > node.scrollTop + node.clientHeight) node.scrollTop = bottom - node.clientHeight;
    redraw();
  }

  /** @param {string} action */
  function act(action) {
    const row = shown.rows.find(({ number }) => number === current);
    if (row && !shown.disabled && shown.actions(row).includes(action)) onact(action, row.number);
  }

  const pickCurrent = () => current != null && pick(current);
  /** @type {Keys} */
  const keys = {
    row: {
      ArrowUp: () => move(-1),
      ArrowDown: () => move(1),
      PageUp: () => move(-10),
      PageDown: () => move(10),
      Home: () => move(-Infinity),
      End: () => move(Infinity),
    },
    select: { Enter: pickCurrent, " ": pickCurrent },
    stop: { s: () => act("stop") },
    restart: { r: () => act("restart") },
    promote: { p: () => act("promote") },
  };
  bindKeys(node, keys);

  return {
    node,
    keys,
    /** @param {Contents} next */
    show(next) {
      shown = next;
      showHead(next);
      redraw();
    },
    redraw,
    /** Scroll to the row of a trial, if it is displayed.
     *
     * @param {number} trial
     */
    point(trial) {
      const place = shown.rows.findIndex(({ number }) => number === trial);
      if (place >= 0) point(place);
    },
    remove() {
      cancelAnimationFrame(pending);
      resized.disconnect();
    },
  };
}
