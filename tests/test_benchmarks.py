"""`make bench`: progress, the conditions of the measurement, and results that are kept when a later part fails."""

import json
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "benchmarks"


def test_figures_are_saved_as_they_come_and_a_failing_part_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.syspath_prepend(FOLDER)
    bench = runpy.run_path(str(FOLDER / "__main__.py"), run_name="benchmarks")
    about, saved = bench["machine"](), []

    def keep(figures):
        file = Path(f"{bench['save'](tmp_path, about, figures)}.json")
        saved.append(json.loads(file.read_text()))

    assert bench["measure"](["imports", "no such part"], keep) == ["no such part"]
    assert [len(content["figures"]) for content in saved] == [1, 2]
    light, heavy = saved[-1]["figures"]
    assert (light["name"], heavy["name"]) == ("import calolab", "import calolab.models")
    assert 0 < light["value"] / 1e3 < heavy["value"]
    assert "oneDNN" in saved[-1]["machine"] and str(about["date"]) in [*tmp_path.glob("*.md")][0].read_text()
    told = capfd.readouterr().err
    assert "[1/2] imports: took" in told and "[2/2] no such part: failed" in told
    for name in ("figures", "events", "networks", "scorecard"):
        del sys.modules[name]
