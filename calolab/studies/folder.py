"""The folder of a study: its arguments and results, so that a command that was stopped continues where it was."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from calolab.files import complete
from calolab.interrupts import Stopped, stopping
from calolab.validation.json_content import plain

FILE = "study.json"


@dataclass(frozen=True)
class StudyFolder:
    """A folder with the results of one command.

    Args:
        path: the folder.
    """

    path: Path

    @classmethod
    def opened(cls, path: Path, command: str, arguments: Mapping[str, object]) -> StudyFolder:
        """The folder of a command, which is created if it is missing.

        Args:
            path: the folder.
            command: name of the command.
            arguments: all arguments that influence the results, as plain numbers, strings and lists.

        Raises:
            ValueError: if it holds the results of another command, or of other arguments.
        """
        folder = cls(Path(path))
        folder.path.mkdir(parents=True, exist_ok=True)
        asked = plain({"command": command, **arguments})
        before = folder.read(FILE)
        if before is None:
            folder.write(FILE, {"arguments": asked, "seconds": {}})
            return folder
        held = before.get("arguments", {})
        differing = [
            f"{name}: {held.get(name)!r} before, {asked.get(name)!r} now"
            for name in sorted({*held, *asked})
            if held.get(name) != asked.get(name)
        ]
        if differing:
            raise ValueError(
                f"{folder.path} holds results of other arguments ({'; '.join(differing)}). Repeat those to continue, "
                "or give another folder with --out."
            )
        return folder

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def read(self, name: str) -> dict | None:
        """The content of a JSON file; None if there is none.

        Args:
            name: its name.

        Raises:
            ValueError: if it is damaged.
        """
        path = self.path / name
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}): delete it to repeat what it held.") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} is damaged: delete it to repeat what it held.")
        return content

    def write(self, name: str, content: Mapping) -> dict:
        """Write a JSON file; returns the content as `read` does.

        Args:
            name: its name.
            content: its content.
        """
        text = json.dumps(plain(content), indent=1)
        with complete(self.path / name, len(text)) as partial:
            partial.write_text(text)
        return json.loads(text)

    def seconds(self, part: str) -> float:
        """Time spent on a part of the study so far, in all runs of the command together [s]."""
        return float((self.read(FILE) or {}).get("seconds", {}).get(part, 0.0))

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the time of the block, also of one that is stopped, to that of a part of the study.

        Args:
            part: its name.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            content = self.read(FILE) or {}
            spent = content.get("seconds", {})
            content["seconds"] = {**spent, part: spent.get(part, 0.0) + time.perf_counter() - began}
            self.write(FILE, content)


def run(command: str, path: Path, action: Callable[[], str]) -> int:
    """Run the command of a study and print its result, or why it failed; after Ctrl-C, say that it continues.

    Args:
        command: name of the command.
        path: the folder of the study.
        action: function that does what is left to do and returns the text to print.

    Returns:
        The exit status: 0, or 2 if an argument is wrong or a part fails.
    """
    kept = f"{path} holds what is done, and the same command continues"
    try:
        with stopping("the study", kept):
            print(action())
    except Stopped as error:  # that of a part knows only what the part has kept
        raise Stopped("the study", kept, error.number) from None
    except (ValueError, OSError, MemoryError, RuntimeError, ImportError) as error:
        print(f"calolab.studies.{command}: {error}", file=sys.stderr)
        return 2
    return 0
