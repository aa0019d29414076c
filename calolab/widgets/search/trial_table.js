// A table of thousands of trials, of which only those in sight stand in the page.

import { button, element } from "../shared/controls.js";
import { bindKeys } from "../shared/frame.js";

const ROW = 26; // pixels, as in search_dashboard.css
const SPARE = 6; // rows kept ready above and below
const ACTS = 166; // pixels of the column of buttons, which stays in sight
const LABELS = {
  stop: ["Stop", "end this trial; what it has learnt stays"],
  restart: ["Restart", "train it anew with the same parameters"],
  promote: ["Promote", "train it on to more epochs"],
};

/** The widths of columns in a room: where not all fit, those that do fill it, so that none is cut before it is scrolled. */
function fitted(widths, room) {
  let [count, used] = [0, 0];
  while (count < widths.length && used + widths[count] <= room) used += widths[count++];
  return widths.map((width, k) => (count < widths.length && k < count ? (width * room) / used : width));
}

/** The longest text of a column. */
function longest(rows, text) {
  return rows.reduce((most, row) => (text(row).length > most.length ? text(row) : most), "");
}

/** The table; `show` takes the rows in order, `onact(action, number)` is called by a row's buttons. */
export function trialTable({ onsort, onpick, onhover, onact }) {
  const head = element("thead");
  const body = element("tbody");
  const table = element("table", { role: "grid", "aria-label": "trials" }, head, body);
  const nothing = element("div", { class: "calolab-nothing" });
  const more = button({ title: "scroll to the columns on the right", onpress: scrollOn });
  const node = element("div", { class: "calolab-trials", tabindex: 0, "aria-label": "trials, by row" }, table, nothing);
  const [above, below] = [element("tr", { "aria-hidden": true }), element("tr", { "aria-hidden": true })];
  let shown = { rows: [], columns: [], keys: new Map(), actions: () => [], disabled: "" };
  let ready = new Map();
  let layout = "";
  let font = "";
  let room = 0;
  let ends = [];
  let current = null;
  let pending = 0;

  function fontOf() {
    const { fontFamily, fontSize } = getComputedStyle(table);
    return `${fontSize} ${fontFamily}`;
  }

  function showHead({ columns, rows, sort, falling }) {
    const texts = columns.map(({ text }) => longest(rows, text));
    const key = JSON.stringify([columns.map(({ name }) => name), texts.map((text) => text.length), sort, falling, fontOf(), node.clientWidth]);
    if (key === layout) return;
    layout = key;
    font = fontOf();
    room = node.clientWidth - ACTS;
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
    const pen = document.createElement("canvas").getContext("2d");
    const widths = titles.map((title, k) => {
      pen.font = `600 ${font}`; // as heads and the states of running trials are drawn
      const inks = [title.textContent, texts[k]].map((text) => pen.measureText(text).width);
      return Math.ceil(Math.min(Math.max(...inks), 180)) + 18;
    });
    const space = fitted(widths, room);
    ends = space.map((_, k) => space.slice(0, k + 1).reduce((sum, width) => sum + width, 0));
    table.querySelector("colgroup")?.remove();
    const columnOf = (width) => element("col", { style: `width: ${width}px` });
    table.prepend(element("colgroup", {}, ...[...space, ACTS].map(columnOf)));
    head.replaceChildren(element("tr", {}, ...titles, element("th", { scope: "col", class: "calolab-acts" }, more)));
  }

  function makeRow(number) {
    const cells = shown.columns.map(({ left }) => element("td", { class: left ? "calolab-left" : false }));
    const acts = element("td", { class: "calolab-acts" });
    const line = element("tr", {
      role: "row",
      onclick: (event) => event.target.closest("button") || pick(number),
      onpointerenter: () => onhover(number),
      onpointerleave: () => onhover(null),
    });
    line.append(...cells, acts);
    return { line, cells, acts, actions: null };
  }

  function fill(entry, row, place) {
    const { line, cells, acts } = entry;
    shown.columns.forEach(({ text }, k) => {
      const words = text(row);
      if (cells[k].textContent !== words) cells[k].textContent = words;
    });
    const key = shown.keys.get(row.number);
    line.style.setProperty("--calolab-key", key ?? "transparent");
    line.setAttribute("aria-selected", String(key != null));
    line.setAttribute("aria-rowindex", place + 2);
    line.dataset.status = row.status;
    line.dataset.trial = row.number;
    line.title = row.error;
    line.classList.toggle("calolab-current", row.number === current);
    const actions = shown.actions(row).join();
    if (entry.actions === actions + shown.disabled) return;
    // A button that stays is not made anew: a click may have begun on it.
    entry.actions = actions + shown.disabled;
    acts.replaceChildren(
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

  /** Bring the first column that is hidden on the right beside the one that stays in sight. */
  function scrollOn() {
    node.scrollLeft = ends[firstHidden() - 1] - ends[0];
  }

  /** Hide the words of columns that lie partly under the first one or the buttons, which stay in sight. */
  function hideCut(line) {
    const edges = [node.scrollLeft + ends[0], node.scrollLeft + room];
    [...line.cells].slice(1, -1).forEach((cell, k) => {
      const cut = edges.some((edge) => ends[k] < edge - 1 && edge + 1 < ends[k + 1]);
      cell.classList.toggle("calolab-cut", cut);
    });
  }

  function paint() {
    pending = 0;
    // Widths that were measured before the table stood in the page are those of another font, and of no room.
    if (fontOf() !== font || node.clientWidth - ACTS !== room) showHead(shown);
    const hidden = ends.filter((end) => end > node.scrollLeft + room + 1).length;
    more.textContent = hidden ? `${hidden} more →` : "";
    more.hidden = !hidden;
    node.classList.toggle("calolab-more", hidden > 0);
    nothing.textContent = shown.rows.length ? "" : shown.empty;
    nothing.hidden = shown.rows.length > 0;
    if (head.rows.length) hideCut(head.rows[0]);
    const { rows, columns } = shown;
    const first = Math.max(Math.floor(node.scrollTop / ROW) - SPARE, 0);
    const last = Math.min(first + Math.ceil(node.clientHeight / ROW) + 2 * SPARE, rows.length);
    above.style.height = `${ROW * first}px`;
    below.style.height = `${ROW * (rows.length - last)}px`;
    const kept = new Map();
    let after = above;
    if (body.firstChild !== above) body.prepend(above);
    for (let k = first; k < last; k += 1) {
      const { number } = rows[k];
      const entry = ready.get(number) ?? makeRow(number);
      fill(entry, rows[k], k);
      hideCut(entry.line);
      if (after.nextSibling !== entry.line) after.after(entry.line);
      after = entry.line;
      kept.set(number, entry);
    }
    if (after.nextSibling !== below) after.after(below);
    while (below.nextSibling) below.nextSibling.remove();
    ready = kept;
    table.setAttribute("aria-rowcount", rows.length + 1);
    table.setAttribute("aria-colcount", columns.length + 1);
  }
  const redraw = () => {
    pending ||= requestAnimationFrame(paint);
  };
  node.addEventListener("scroll", redraw);
  const resized = new ResizeObserver(redraw);
  resized.observe(node);

  function pick(number) {
    current = number;
    onpick(number);
    redraw();
  }

  function go(change) {
    const { rows } = shown;
    if (!rows.length) return;
    const before = rows.findIndex(({ number }) => number === current);
    point(Math.min(Math.max(before < 0 ? 0 : before + change, 0), rows.length - 1));
    onhover(current);
  }

  /** Make a row the current one and bring it into sight. */
  function point(place) {
    current = shown.rows[place].number;
    // Clear of the heading, which stays in sight.
    const [top, bottom] = [ROW * place, ROW * (place + 2)];
    if (top < node.scrollTop) node.scrollTop = top;
    if (bottom > node.scrollTop + node.clientHeight) node.scrollTop = bottom - node.clientHeight;
    redraw();
  }

  function act(action) {
    const row = shown.rows.find(({ number }) => number === current);
    if (row && !shown.disabled && shown.actions(row).includes(action)) onact(action, row.number);
  }

  const pickCurrent = () => current != null && pick(current);
  const keys = {
    row: {
      ArrowUp: () => go(-1),
      ArrowDown: () => go(1),
      PageUp: () => go(-10),
      PageDown: () => go(10),
      Home: () => go(-Infinity),
      End: () => go(Infinity),
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
    show(next) {
      shown = next;
      showHead(next);
      redraw();
    },
    redraw,
    /** Bring a trial's row into sight, if it is shown. */
    point(wanted) {
      const place = shown.rows.findIndex(({ number }) => number === wanted);
      if (place >= 0) point(place);
    },
    remove() {
      cancelAnimationFrame(pending);
      resized.disconnect();
    },
  };
}
