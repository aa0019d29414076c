"""The one way through: the scripts of README run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


# The scripts as they stand in README, with so many events instead of the number there: what they prove is the path.
@pytest.mark.parametrize(
    ("heading", "shown", "run"),
    [
        ("The one way through", "events=300,", "events=40,"),
        ("Whole events and their jets", '("rpv", 600,', '("rpv", 160,'),
    ],
)
def test_the_scripts_of_readme_run(heading, shown, run, tmp_path):
    script = re.search(rf"## {heading}\n.*?```python\n(import.*?)```", README.read_text(), re.DOTALL).group(1)
    assert "cl.simulate." in script
    assert "cl.validation.compare" in script
    assert script.count(shown) == 1
    script = script.replace(shown, run)
    script += "\nassert generated.values.shape == test.values.shape and len(history.epochs) == 2\nprint('went through')"
    path = tmp_path / "one_way_through.py"
    path.write_text(script)
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] == "went through"


def test_every_file_that_readme_links_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []
