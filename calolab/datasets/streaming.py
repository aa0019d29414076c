"""EventStream: a sample on disk that is read in shuffled windows, so that files may be larger than memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from html import escape
from itertools import accumulate, groupby, pairwise
from pathlib import Path

import numpy as np

from calolab.datasets import sorting
from calolab.datasets.events import EventFile, check_content, open_file, read_labels, read_values
from calolab.datasets.layouts import HCAL
from calolab.datasets.plausible import EmptyEvents
from calolab.labels import UNITS
from calolab.samples import Sample, batch_slices, check_shard, concatenate
from calolab.spaces import Space, with_unit
from calolab.tables import Table

_LABEL_EVENTS = 1_000_000  # number of events whose label is read at a time


@dataclass(frozen=True)
class EventStream:
    """A sample on disk, returned by `stream` and used like a `Sample`; no events are kept in memory.

    It is small, opens its files only while it reads, and can be sent to other processes that have access to the files.
    Empty showers are reported by a warning when all events, or those of `head`, have been read.

    Args:
        files: description of each file.
        space: space of the values.
        window: number of events that are shuffled together.
        ranges: the events of this stream, as `(start, stop)` with events numbered across all files; None for all.
        origin: where the events come from.
    """

    files: tuple[EventFile, ...]
    space: Space
    window: int
    ranges: tuple[tuple[int, int], ...] | None = None
    origin: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        if self.window < 1:
            raise ValueError(f"window expects a positive number of events, received {self.window}.")
        if self.ranges is None:
            object.__setattr__(self, "ranges", ((0, sum(file.n_events for file in self.files)),))

    def __len__(self):
        return sum(stop - start for start, stop in self.ranges)

    @property
    def labels(self) -> StreamLabels:
        """The labels by name, each read from disk on access: `stream.labels["energy"]`, shape `(event,)`."""
        return StreamLabels(self)

    def shard(self, rank: int, size: int) -> EventStream:
        """The `rank`-th of `size` contiguous parts, whose lengths differ by one event at most.

        Every event belongs to exactly one part, and each part reads few files.

        Args:
            rank: index of the part, from 0.
            size: number of parts.

        Raises:
            ValueError: if `rank` is out of range, or a rank would have no event.
        """
        check_shard(rank, size, len(self))
        each, left = divmod(len(self), size)
        start = rank * each + min(rank, left)
        return replace(self, ranges=_cut(self.ranges, start, start + each + (rank < left)))

    def split(self, test: float, seed: int) -> tuple[EventStream, EventStream]:
        """Split at random into `(train, test)`, by blocks of events that are neighbours in the files.

        Args:
            test: fraction of the events in the test sample, between 0 and 1.
            seed: seed of the split.

        Raises:
            ValueError: if `test` is not between 0 and 1, or one part would be empty.
        """
        if not 0 < test < 1:
            raise ValueError(f"split(test=) expects a fraction between 0 and 1, received {test}.")
        n_test = round(len(self) * test)
        if n_test == 0 or n_test == len(self):
            raise ValueError(f"split(test={test}) of {len(self)} events leaves one part empty; use more events.")
        starts = self._file_starts()
        blocks = [(starts[file] + start, starts[file] + stop) for file, start, stop in self._blocks()]
        order = np.random.default_rng(seed).permutation(len(blocks))
        shuffled = tuple(blocks[i] for i in order)
        test_ranges, train_ranges = _cut(shuffled, 0, n_test), _cut(shuffled, n_test, len(self))
        return replace(self, ranges=_merge(train_ranges)), replace(self, ranges=_merge(test_ranges))

    def batches(self, batch_size: int | Sequence[int], seed: int, steps: int | None = None) -> Iterator[Sample]:
        """One epoch in an order fixed by `seed`, in `steps` batches; the last batch contains the remaining events.

        Blocks of neighbouring events are read in random order, and the events of a window are shuffled. The next
        window is read while the current one is used.

        Args:
            batch_size: events per batch; several sizes are used in turn, as returned by `samples.rank_batches`.
            seed: seed of the order.
            steps: number of batches; by default `steps_per_epoch(len(self), batch_size)`.

        Raises:
            ValueError: if there are too few events for the batches, or, while reading, if a file is corrupt or
                contains NaN or negative energies.
        """
        slices = batch_slices(len(self), batch_size, steps)
        return self._serve([chosen.stop - chosen.start for chosen in slices], seed)

    def in_order(self) -> Iterator[Sample]:
        """All events in the order of the files, one block of a few MB at a time."""
        blocks, empty = self._blocks(), EmptyEvents()
        for number, block in enumerate(blocks, 1):
            sample = self._sample(*self._read([block], empty))
            if number == len(blocks):
                self._warn(empty, stacklevel=3)
            yield sample

    def head(self, n: int | None = None, *, shuffle: int | None = None) -> Sample:
        """The first `n` events in the order of the files, or `n` random ones, by default all, in memory.

        A warning is issued if the files are sorted, so that the first events do not represent all events.

        Args:
            n: number of events; by default all.
            shuffle: seed of a random choice of `n` events, in random order; by default the first ones.
        """
        return self._head(n, shuffle, f"head({n}, shuffle=seed)", stacklevel=4)

    def _head(self, n: int | None, shuffle: int | None, remedy: str, stacklevel: int) -> Sample:
        n = len(self) if n is None else min(n, len(self))
        if n < 1:
            raise ValueError(f"head(n) expects at least one event, received {n}.")
        empty = EmptyEvents()
        if shuffle is not None:
            sample = self._sample(*self._read_random(n, shuffle, empty))
        else:
            blocks = replace(self, ranges=_cut(self.ranges, 0, n))._blocks()
            sample = self._sample(*self._read(blocks, empty))
            if n < len(self) and (doubt := sorting.doubtful_head(sample.labels, len(self), self._column_pieces)):
                warnings.warn(f"{self._where}: {doubt} For a random choice, use {remedy}.", stacklevel=stacklevel - 1)
        self._warn(empty, stacklevel)
        return sample

    def _read_random(self, n: int, seed: int, empty: EmptyEvents) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Values and labels of `n` random events, in random order; at most one block more is in memory."""
        chosen = np.random.default_rng(seed).permutation(len(self))[:n]
        order = np.argsort(chosen)
        chosen = chosen[order]
        values, labels = np.empty((n, *self.space.shape), np.float32), {name: np.empty(n) for name in self.labels}
        done = 0
        for index, start, stop in self._blocks():
            first, last = np.searchsorted(chosen, (done, done + stop - start))
            if first < last:
                inside, places = chosen[first:last] - done + start, order[first:last]
                piece, columns = self._read([(index, int(inside[0]), int(inside[-1]) + 1)], empty)
                values[places] = piece[inside - inside[0]]
                for name, column in columns.items():
                    labels[name][places] = column[inside - inside[0]]
            done += stop - start
        return values, labels

    def _column_pieces(self, name: str) -> Iterator[np.ndarray]:
        """A label in the order of the events, some of them at a time."""
        for index, group in groupby(self._spans(), key=lambda span: span[0]):
            file = replace(self.files[index], labels=(name,))
            with open_file(file.path) as handle:
                check_content(
                    handle, file, [] if name in dict(file.constants) else [file.layout.column_of(name).dataset]
                )
                for _, start, stop in group:
                    for begin in range(start, stop, _LABEL_EVENTS):
                        yield read_labels(handle, file, begin, min(begin + _LABEL_EVENTS, stop))[name]

    @property
    def _where(self) -> object:
        return self.origin.get("file", self.files[0].path)

    def _warn(self, empty: EmptyEvents, stacklevel: int) -> None:
        for doubt in filter(None, (empty.doubt(), empty.lost())):
            warnings.warn(f"{self._where}: {doubt}", stacklevel=stacklevel)

    def _file_starts(self) -> list[int]:
        return [0, *accumulate(file.n_events for file in self.files)]

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """The events as `(file, start, stop)` in order."""
        starts = self._file_starts()
        for first, last in self.ranges:
            for index in range(len(self.files)):
                begin, end = max(first, starts[index]) - starts[index], min(last, starts[index + 1]) - starts[index]
                if begin < end:
                    yield index, begin, end

    def _blocks(self) -> list[tuple[int, int, int]]:
        """The events as `(file, start, stop)` in order, divided at the boundaries of the files' chunks."""
        blocks = []
        for index, begin, end in self._spans():
            block = self.files[index].block
            borders = [begin, *range((begin // block + 1) * block, end, block), end]
            blocks += [(index, start, stop) for start, stop in pairwise(borders)]
        return blocks

    def _plan(self, seed: int) -> Iterator[tuple[list[tuple[int, int, int]], np.ndarray]]:
        """The windows of an epoch: the blocks of each, and the position of each of their events in it."""
        random = np.random.default_rng(seed)
        blocks = self._blocks()
        held, n_events = [], 0
        for i in random.permutation(len(blocks)):
            length = blocks[i][2] - blocks[i][1]
            if held and n_events + length > self.window:
                yield sorted(held), random.permutation(n_events)
                held, n_events = [], 0
            held.append(blocks[i])
            n_events += length
        yield sorted(held), random.permutation(n_events)

    def _read(
        self, blocks, empty: EmptyEvents, places: np.ndarray | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Values and labels of the events of some blocks; the i-th event is stored at position `places[i]`."""
        n_events = sum(stop - start for _, start, stop in blocks)
        values = np.empty((n_events, *self.space.shape), np.float32)
        labels = {name: np.empty(n_events) for name in self.labels}
        done, showers = 0, self.space.has_depth
        for index, group in groupby(blocks, key=lambda block: block[0]):
            file = self.files[index]
            with open_file(file.path) as handle:
                check_content(handle, file)
                for _, start, stop in group:
                    where = slice(done, done + stop - start)
                    done = where.stop
                    piece = values[where] if places is None else np.empty((stop - start, *self.space.shape), np.float32)
                    outside = read_values(handle, file, start, stop, piece)
                    if file.layout.points is not None:
                        empty.outside += outside
                        empty.inside += float(piece.sum(dtype=np.float64))
                    columns = read_labels(handle, file, start, stop)
                    energy = columns.get("energy") if showers and file.dataset != HCAL else None
                    empty.add(piece, energy, file.path, start, index)
                    if places is not None:
                        where = places[where]
                        values[where] = piece
                    for name, column in columns.items():
                        labels[name][where] = column
        return values, labels

    def _windows(self, seed: int, empty: EmptyEvents) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        plan = ((blocks, empty, places) for blocks, places in self._plan(seed))
        with ThreadPoolExecutor(1, thread_name_prefix="calolab-stream") as reader:
            coming = reader.submit(self._read, *next(plan))
            for following in plan:
                window = coming.result()
                coming = reader.submit(self._read, *following)
                yield window
                del window  # otherwise its memory would be kept until the next window has been read
            yield coming.result()

    def _serve(self, sizes: list[int], seed: int) -> Iterator[Sample]:
        empty = EmptyEvents()
        windows = self._windows(seed, empty)
        (values, labels), used = next(windows), 0
        try:
            for number, size in enumerate(sizes, 1):
                parts = []
                while size:
                    if used == len(values):
                        values = labels = None
                        (values, labels), used = next(windows), 0
                    taken = slice(used, min(used + size, len(values)))
                    parts.append(self._sample(values[taken], {name: c[taken] for name, c in labels.items()}))
                    used, size = taken.stop, size - (taken.stop - taken.start)
                if number == len(sizes):
                    self._warn(empty, stacklevel=3)
                yield parts[0] if len(parts) == 1 else concatenate(parts)
        finally:
            windows.close()

    def _sample(self, values: np.ndarray, labels: dict[str, np.ndarray]) -> Sample:
        return Sample(values, labels, self.space, self.origin)

    def __repr__(self):
        return f"EventStream({len(self)} events of {len(self.files)} files in {self.space.name!r})"

    def _repr_html_(self):
        megabytes = 4e-6 * self.space.n_cells
        names = ", ".join(escape(with_unit(name, UNITS.get(name, ""))) for name in self.labels)
        rows = [
            (Path(file.path).name, f"{file.n_events} events", f"{file.dataset}, layout {file.layout.name}")
            for file in self.files[:10]
        ]
        more = [(f"and {len(self.files) - 10} more", "", "")] if len(self.files) > 10 else []
        return (
            f"<b>{len(self)} events on disk</b> ({len(self) * megabytes:.0f} MB when read) in "
            f"{self.space._repr_html_()}<br>labels: {names}; shuffled within windows of {self.window} events "
            f"({self.window * megabytes:.0f} MB){Table([*rows, *more]).to_html()}"
        )


class StreamLabels(Mapping):
    """The labels of a stream by name; a column is read from disk on each access.

    A call, `stream.labels(("energy", "theta"))`, reads several columns into a dict.
    """

    def __init__(self, stream: EventStream):
        self._stream = stream

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._stream.files[0].labels:
            raise KeyError(f"no label {name!r}; this stream has {', '.join(self)}")
        parts = []
        for index, group in groupby(self._stream._blocks(), key=lambda block: block[0]):
            file = replace(self._stream.files[index], labels=(name,))
            with open_file(file.path) as handle:
                check_content(handle, file)
                column = read_labels(handle, file)[name]
            parts += [column[start:stop] for _, start, stop in group]
        return np.concatenate(parts)

    def __iter__(self):
        return iter(self._stream.files[0].labels)

    def __len__(self):
        return len(self._stream.files[0].labels)

    def __call__(self, names) -> dict[str, np.ndarray]:
        """The columns with these names, each of shape `(event,)`."""
        return {name: self[name] for name in names}

    def __repr__(self):
        return f"StreamLabels({', '.join(self)})"


def _cut(ranges, start: int, stop: int) -> tuple[tuple[int, int], ...]:
    """The `start`-th to `stop`-th event of the given ranges."""
    kept, before = [], 0
    for first, last in ranges:
        begin, end = max(start - before, 0) + first, min(stop - before, last - first) + first
        if begin < end:
            kept.append((begin, end))
        before += last - first
    return tuple(kept)


def _merge(ranges) -> tuple[tuple[int, int], ...]:
    """The same events in ascending order, with adjacent ranges joined."""
    merged = []
    for first, last in sorted(ranges):
        if merged and merged[-1][1] == first:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return tuple(merged)
