"""The trained generators that are part of calolab: a table of them, loading by name, and their model cards as pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from calolab.model_card import ModelCard
from calolab.models.gan_file import Header, read_header
from calolab.names import check_name, nearest
from calolab.tables import Html, Table

if TYPE_CHECKING:
    from calolab.models.gan import GAN  # Keras loads with the first of them

FOLDER = Path(__file__).with_name("shipped")  # package data
_COLUMNS = ("name", "particle", "detector", "valid for", "size", "AUC trees", "AUC CNN")
_AUC = ("auc.trees", "auc.cnn")  # metrics in the columns of that name


@dataclass(frozen=True, repr=False)
class ShippedGenerator:
    """A trained generator that is part of calolab.

    Args:
        path: its file.
        header: the header of that file.
    """

    path: Path
    header: Header

    @property
    def name(self) -> str:
        """Its name in `load(name)`."""
        return self.path.stem

    @property
    def size(self) -> int:
        """Size of its file [bytes]."""
        return self.path.stat().st_size

    @property
    def card(self) -> ModelCard | None:
        """Its model card."""
        return self.header.card

    def row(self) -> tuple[str, ...]:
        """The cells of its row in the table."""
        card, size = self.card, f"{self.size / 1e6:.1f} MB"
        if card is None:
            return (self.name, "", self.header.space.name, "", size, "", "")
        scores = [f"{card.scores[name].value:.3f}" if name in card.scores else "" for name in _AUC]
        return (self.name, card.particle, card.detector, card.valid_for, size, *scores)

    def __repr__(self):
        return f"ShippedGenerator({self.name!r}, {self.size / 1e6:.1f} MB)"

    def _repr_html_(self):
        return f"<b>{escape(self.name)}</b>" if self.card is None else self.card._repr_html_()


@dataclass(frozen=True, repr=False)
class ShippedGenerators:
    """The trained generators that are part of calolab, by name or by iteration; shown as a table in a notebook."""

    generators: tuple[ShippedGenerator, ...]

    def __iter__(self) -> Iterator[ShippedGenerator]:
        return iter(self.generators)

    def __len__(self):
        return len(self.generators)

    def __getitem__(self, name: str) -> ShippedGenerator:
        held = {one.name: one for one in self.generators}
        check_name("shipped generator", name, held)
        return held[name]

    def _table(self, rows) -> Table:
        remark = (
            "AUC: of classifiers that separate generated from simulated showers, 0.5 if they find no difference, 1 if "
            "they recognise every shower. cl.models.load(name) loads a generator, and .card is its model card."
        )
        return Table(list(rows), _COLUMNS, right=range(4, len(_COLUMNS)), remark=remark)

    def __repr__(self):
        return repr(self._table(one.row() for one in self.generators))

    def _repr_html_(self):
        rows = []
        for one in self.generators:
            name, *others = one.row()
            rows.append((Html(f"<code style='white-space:nowrap'>{escape(name)}</code>", name), *others))
        return self._table(rows)._repr_html_()

    def to_markdown(self) -> str:
        """The table in Markdown, with links to the pages of the model cards."""
        return self._table((f"[{one.name}]({one.name}.md)", *one.row()[1:]) for one in self.generators).to_markdown()


def shipped() -> ShippedGenerators:
    """The trained generators that are part of calolab; `load(name)` loads one.

    Only headers of files are read, so it needs neither Keras nor the Internet.
    """
    return ShippedGenerators(tuple(ShippedGenerator(path, read_header(path)) for path in sorted(FOLDER.glob("*.gan"))))


def load(path: str | os.PathLike) -> GAN:
    """Read a GAN from a file that `GAN.save` wrote, or a trained generator that is part of calolab.

    Args:
        path: the file, or a name in `shipped()`, e.g. `"calolab-fast"`. A file of that name has precedence.

    Raises:
        FileNotFoundError: if there is no such file and no shipped generator of that name.
        ValueError: if it is not a complete GAN file, has weights that are not finite, or a later version of calolab
            wrote it.
        OSError, MemoryError: if it cannot be read at present, whatever its content.
    """
    from calolab.models import gan

    if not Path(path).is_file():
        path = _shipped_file(path)
    return gan.load(path)


def pages() -> dict[str, str]:
    """The pages of the documentation about the shipped generators in Markdown, by file name."""
    found = shipped()
    listed = found.to_markdown() if len(found) else "This version contains no trained generator."
    index = f"# Trained generators\n\n`cl.models.load(name)` loads one of these, without the Internet.\n\n{listed}\n"
    return {"README.md": index, **{f"{one.name}.md": one.card.to_markdown() for one in found}}


def _shipped_file(name: str | os.PathLike) -> Path:
    """The file of a shipped generator.

    Raises:
        FileNotFoundError: for an unknown name, with what is shipped.
    """
    known = {path.stem: path for path in sorted(FOLDER.glob("*.gan"))}
    if str(name) in known:
        return known[str(name)]
    has = f"calolab's trained generators are {', '.join(known)}" if known else "calolab contains no trained generator"
    raise FileNotFoundError(
        f"No GAN file {name}, and no trained generator of this name: {has}.{nearest(name, known)} Files are written by "
        "gan.save(path)."
    )
