"""`python -m calolab.models docs/models` writes the model cards of the shipped generators as pages of Markdown."""

import sys
from pathlib import Path

from calolab.models.collection import pages


def main(arguments: list[str]) -> int:
    """Write the pages into a folder, and remove the pages of generators that are no longer shipped.

    Args:
        arguments: the folder.
    """
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder, content = Path(arguments[0]), pages()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in content:
            path.unlink()
    for name, text in content.items():
        (folder / name).write_text(text)
    print(f"{folder}: {', '.join(sorted(content))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
