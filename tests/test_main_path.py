"""The scripts of README and docs/ run unchanged, and their links lead to files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]


TRAINED = "generated.values.shape == test.values.shape and len(history.epochs) == 2"


# The scripts as they are printed, but with fewer events.
@pytest.mark.parametrize(
    ("page", "heading", "shown", "run", "check"),
    [
        (
            "README.md",
            "## The main path",
            '"clic-electrons-demo")',
            '"clic-electrons-demo").select(slice(200))',
            "generated.values.shape == geant4.values.shape",
        ),
        ("README.md", "## Your own generator", "events=300,", "events=20,", TRAINED),
        ("docs/whole-events.md", "# Whole events and their jets", '("rpv", 600,', '("rpv", 64,', TRAINED),
    ],
)
def test_the_printed_scripts_run(page, heading, shown, run, check, tmp_path):
    script = re.search(rf"{heading}\n.*?```python\n(import.*?)```", (ROOT / page).read_text(), re.DOTALL).group(1)
    assert "cl.validation." in script
    assert script.count(shown) == 1
    script = script.replace(shown, run)
    script += f"\nassert {check}\nprint('finished')"
    path = tmp_path / "main_path.py"
    path.write_text(script)
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] == "finished"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:calolab|tests|notebooks|docs)/[\w/.]*)`", text)
    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_readme_is_short_and_links_every_page():
    text = README.read_text()
    assert len(text.splitlines()) <= 100
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in text] == []
