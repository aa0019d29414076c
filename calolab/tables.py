"""Tables as text for a terminal and as HTML for a notebook, laid out by tabulate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

import tabulate


def _row(tag, cells, widths, aligns):
    """A row as HTML; cells without `text-align` would be aligned to the right in Jupyter."""
    styled = (f'<{tag} style="text-align:{align}">{cell.strip()}</{tag}>' for cell, align in zip(cells, aligns))
    return f"<tr>{''.join(styled)}</tr>"


HTML = tabulate.TableFormat(
    lineabove=tabulate.Line('<table style="font-variant-numeric:tabular-nums;font-size:90%">', "", "", ""),
    linebelowheader=None,
    linebetweenrows=None,
    linebelow=tabulate.Line("</table>", "", "", ""),
    headerrow=partial(_row, "th"),
    datarow=partial(_row, "td"),
    padding=0,
    with_header_hide=None,
)


class Html(str):
    """A cell that contains HTML, such as a link.

    Args:
        markup: the HTML.
        plain: the text shown instead in a terminal.
    """

    def __new__(cls, markup: str, plain: str):
        """A string of HTML with its text in `plain`."""
        made = super().__new__(cls, markup)
        made.plain = plain
        return made


@dataclass(frozen=True, repr=False)
class Table:
    """A table with a title and notes; its `repr` is text, and Jupyter shows it as HTML.

    Args:
        rows: one sequence of cells per row; a cell is text, a number written by `str`, or `Html`.
        header: names of the columns; without any, the table has no header.
        right: columns aligned to the right, e.g. numbers; the others are aligned to the left.
        title: a line above the table.
        notes: lines below the table.
        remark: how to read the table, in small print; HTML only.

    Raises:
        ValueError: if rows differ in length, from each other or from the header.

    >>> Table([("discriminator", 1.5), ("generator", 12)], ("loss", "value"), right=[1])
    loss             value
    discriminator      1.5
    generator           12
    """

    rows: Sequence[Sequence[object]]
    header: Sequence[str] = ()
    right: Sequence[int] = ()
    title: str = ""
    notes: Sequence[str] = ()
    remark: str = ""

    def __post_init__(self):
        rows = tuple(tuple(row) for row in self.rows)
        lengths = {len(row) for row in ([*rows, self.header] if self.header else rows)}
        if len(lengths) > 1:
            raise ValueError(f"A table expects rows of one length, received {sorted(lengths)}.")
        object.__setattr__(self, "rows", rows)
        for name in ("header", "right", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def __repr__(self):
        rows = [[getattr(cell, "plain", str(cell)) for cell in row] for row in self.rows]
        table = self._laid_out(rows, self.header, "plain").splitlines() if rows or self.header else []
        return "\n".join([*filter(None, [self.title]), *(line.rstrip() for line in table), *self.notes])

    def _repr_html_(self):
        title = f"<b>{escape(self.title)}</b>" if self.title else ""
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        remark = f"<small>{escape(self.remark)}</small>" if self.remark else ""
        return f"<div>{title}{self.to_html()}{notes}{remark}</div>"

    def to_html(self) -> str:
        """The HTML of the table alone, without title and notes; empty without rows."""
        if not self.rows:
            return ""
        rows = [
            [cell if isinstance(cell, Html) else escape(str(cell), quote=False) for cell in row] for row in self.rows
        ]
        # A long name may be broken at its underscores, so that a wide table fits a page.
        header = [escape(name, quote=False).replace("_", "_<wbr>") for name in self.header]
        return self._laid_out(rows, header, HTML)

    def to_markdown(self) -> str:
        """The table alone in Markdown, as GitHub shows it."""
        rows = [[getattr(cell, "plain", str(cell)).replace("|", "\\|") for cell in row] for row in self.rows]
        return self._laid_out(rows, self.header, "github")

    def _laid_out(self, rows, header, form):
        columns = len(self.rows[0] if self.rows else self.header)
        align = ["right" if column in self.right else "left" for column in range(columns)]
        return str(tabulate.tabulate(rows, header, form, colalign=align if rows else None, disable_numparse=True))


def with_error(value: float, error: float) -> str:
    """A number with its error or standard deviation, with as many digits as the error justifies; a dash for NaN.

    Args:
        value: the number.
        error: its error, zero or positive.

    >>> with_error(12.3456, 0.234), with_error(-0.0004, 0.1)
    ('12.35 ± 0.23', '0.00 ± 0.10')
    """
    if math.isnan(value):
        return "–"
    if error <= 0:
        return f"{value:.4g} ± 0"
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 6:
        return f"{value:.3g} ± {error:.2g}"
    # Adding zero turns a rounded minus zero into zero.
    return f"{round(value, digits) + 0.0:.{digits}f} ± {error:.{digits}f}"
