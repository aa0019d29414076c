"""ROOT files: open them with the right diagnosis, and find their trees (TTree or RNTuple) and branches."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from calolab import memory
from calolab.files import diagnosed

# Memory needed relative to the size of the data: for some time there are awkward arrays in the precision of the file
# and flat ones in double precision.
_MEMORY = 6
_PROBED = 1000  # events whose number of particles gives an estimate for all


@contextmanager
def opened(path: Path) -> Iterator[uproot.ReadOnlyDirectory]:
    """Open a ROOT file for reading; exceptions that uproot raises for damaged files become one error.

    Raises:
        ValueError: if the file is truncated or corrupt.
        OSError, MemoryError: if it cannot be read at present, whatever its content.
    """

    def explain(error: Exception) -> str:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        return (
            f"{path}: truncated or corrupt ROOT file ({type(error).__name__}: {reason}). Copy, download or write it "
            "again; an interrupted copy is the usual cause."
        )

    # With a damaged file uproot may raise any exception.
    with diagnosed(path, explain), uproot.open({str(path): None}) as file:
        promised, held = file.file.fEND, path.stat().st_size
        if held < promised:
            raise EOFError(f"only {held} of {promised} bytes")
        yield file


def names(file: uproot.ReadOnlyDirectory) -> dict[str, str]:
    """Names of the trees in a file, each with its format, `"TTree"` or `"RNTuple"`.

    Args:
        file: the open file.
    """
    found = {}
    for key, kind in file.classnames().items():
        if kind.startswith("TTree") or "RNTuple" in kind:
            found[_bare(key)] = "RNTuple" if "RNTuple" in kind else "TTree"
    return dict(sorted(found.items()))


def described(file: uproot.ReadOnlyDirectory) -> str:
    """Description of the trees in a file, for messages; `"no tree"` if there is none.

    Args:
        file: the open file.
    """
    listed = [f"an RNTuple {name!r}" if kind == "RNTuple" else name for name, kind in names(file).items()]
    return ", ".join(listed) or "no tree"


def tree(path: Path, file: uproot.ReadOnlyDirectory, name: str):
    """The tree or RNTuple with this name; if there are several cycles, the last, which is the complete one.

    Args:
        path: the file, for messages.
        file: the open file.
        name: name of the tree.

    Raises:
        KeyError: if there is none.
    """
    cycles = {int(key.rpartition(";")[2]): key for key in file.classnames() if _bare(key) == name}
    if name not in names(file):
        raise KeyError(name)
    found = file[cycles[max(cycles)]]
    longest = max(cycles, key=lambda cycle: (file[cycles[cycle]].num_entries, cycle))
    if file[cycles[longest]].num_entries > found.num_entries:
        warnings.warn(
            f"{path}: contains tree {name!r} {len(cycles)} times. The last, {cycles[max(cycles)]!r} with "
            f"{found.num_entries} events, is read, although {cycles[longest]!r} has "
            f"{file[cycles[longest]].num_entries}. Was its writer interrupted, or were two outputs put into one file?",
            stacklevel=8,
        )
    return found


def branches(tree) -> Mapping[str, object]:
    """All branches of a tree, or fields of an RNTuple, by name; they are nested in the files of Delphes itself.

    Args:
        tree: the tree.
    """
    if hasattr(tree, "field_records"):
        return _Fields(tree)
    return {branch.name: branch for branch in tree.itervalues(recursive=True)}


class _Fields(Mapping):
    """The fields of an RNTuple, which uproot takes seconds to list when there are thousands; nested ones as `a.b`."""

    def __init__(self, ntuple):
        self._ntuple = ntuple
        self._names = dict.fromkeys(record.field_name for record in ntuple.field_records)

    def __getitem__(self, name: str):
        if all(part in self._names for part in name.split(".")):
            with contextlib.suppress(uproot.KeyInFileError):
                return self._ntuple[name]
        raise KeyError(name)

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)


def flat_columns(
    path: Path, columns: Mapping[str, object], events: int, hint: str = "events=n"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read branches with one number per particle.

    Args:
        path: the file, for messages.
        columns: branches by the name of their column.
        events: number of events to read, starting with the first.
        hint: the argument that reads fewer events, for the message about too little memory.

    Returns:
        The number of particles in each event, shape `(event,)`, and the columns in double precision, each of shape
        `(particle,)`.

    Raises:
        ValueError: if a branch does not have one number per particle, or branches have different lengths.
        MemoryError: if they do not fit into the available memory.
    """
    first = next(iter(columns.values()))
    probed = first.array(entry_stop=min(_PROBED, events))
    if probed.ndim != 2:
        raise ValueError(
            f"{path}: branch {first.name!r} has the type {probed.type.content}, expected a list of numbers for each "
            "event."
        )
    check_memory(path, 4 * len(columns) * int(ak.count(probed)) / max(1, len(probed)) * events, hint)
    counts, flat = None, {}
    for name, branch in columns.items():
        held = branch.array(entry_stop=events)
        if held.ndim != 2:
            raise ValueError(
                f"{path}: branch {branch.name!r} has the type {held.type.content}, expected a list of numbers for each "
                "event."
            )
        number = ak.to_numpy(ak.num(held))
        counts = number if counts is None else counts
        if not np.array_equal(counts, number):
            named = ", ".join(one.name for one in columns.values())
            raise ValueError(f"{path}: the branches {named} have different lengths: write the file again.")
        flat[name] = ak.to_numpy(ak.flatten(held)).astype(np.float64)
    return counts, flat


def check_memory(path: Path, size: float, hint: str = "events=n") -> None:
    """Raise MemoryError unless columns of a file fit into the available memory.

    Args:
        path: the file, for the message.
        size: size of the columns in the precision of the file [bytes].
        hint: the argument that reads fewer events.
    """
    needed, free = _MEMORY * size, memory.available()
    if needed > free.bytes:
        raise MemoryError(
            f"{path}: reading its particles takes about {needed / 1e9:.2g} GB, which do not fit into {free}. Use "
            f"{hint}."
        )


def one_per_event(branch, events: int | None) -> np.ndarray | None:
    """A branch with one number per event, shape `(event,)`, otherwise None; arrays of one number are accepted.

    Args:
        branch: the branch.
        events: number of events to read, starting with the first; None for all.
    """
    held = branch.array(entry_stop=events)
    if held.ndim == 2 and ak.all(ak.num(held) == 1):
        held = ak.flatten(held)
    if held.ndim != 1 or ak.fields(held):
        return None
    try:
        return ak.to_numpy(held).astype(np.float64)
    except (TypeError, ValueError):  # text
        return None


def _bare(key: str) -> str:
    """A key without its cycle."""
    return key.rpartition(";")[0]
