"""The JavaScript of the widgets: rules, format and types, as before each commit."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = ROOT / "node_modules" / ".bin"

pytestmark = pytest.mark.skipif(not (shutil.which("npm") and shutil.which("make")), reason="needs npm and make")


def run(*command, folder=ROOT, timeout=120):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module", autouse=True)
def installed():
    """Biome and TypeScript, installed on first use."""
    code, output = run("make", "--silent", "node_modules/.ready", timeout=300)
    assert code == 0, output


def test_the_javascript_passes_the_checks():
    code, output = run("make", "--silent", "javascript")
    assert code == 0, output


def write(folder, settings_file, changes, faulty):
    """Write a file and the project's settings, changed to check this file only."""
    settings = json.loads((ROOT / settings_file).read_text())
    (folder / settings_file).write_text(json.dumps({**settings, **changes}))
    (folder / "faulty.js").write_text(faulty)


def test_a_violated_rule_is_reported(tmp_path):
    write(tmp_path, "biome.json", {"files": {"includes": ["**"]}}, "export const same = (a, b) => a == b;\n")
    code, output = run(BIN / "biome", "check", ".", folder=tmp_path)
    assert code != 0 and "noDoubleEquals" in output, output


def test_another_format_is_reported(tmp_path):
    write(tmp_path, "biome.json", {"files": {"includes": ["**"]}}, "export const same = (a, b) =>  a === b\n")
    code, output = run(BIN / "biome", "check", ".", folder=tmp_path)
    assert code != 0 and "format" in output, output


@pytest.mark.parametrize(("code", "error"), [('number("text");', "TS2345"), ("export function f(value) {}", "TS7006")])
def test_a_wrong_or_missing_type_is_reported(tmp_path, code, error):
    module = ROOT / "calolab" / "widgets" / "shared" / "numbers.js"
    write(tmp_path, "jsconfig.json", {"include": ["faulty.js"]}, f'import {{ number }} from "{module}";\n{code}\n')
    code, output = run(BIN / "tsc", "--project", "jsconfig.json", folder=tmp_path)
    assert code != 0 and f"error {error}" in output, output
