"""Functions of the shared JavaScript, evaluated by Node.js."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from calolab.widgets import shared

FOLDER = Path(shared.__file__).parent
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs node, which is not installed")


def evaluate(module, expression):
    """The value of an expression that uses a module of the folder `shared` as `m`."""
    code = f"import * as m from '{(FOLDER / module).as_uri()}'; console.log(JSON.stringify({expression}));"
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", code], capture_output=True, text=True, timeout=30, check=True
    )
    return json.loads(done.stdout)


def test_the_bin_of_a_number_is_the_first_or_the_last_one_beyond_the_edges():
    places = [-5, 0, 0.5, 1, 2.9, 3, 4]
    bins = evaluate("values.js", f"{places}.map((place) => m.binAt([0, 1, 3], place))")
    assert bins == [0, 0, 0, 1, 1, 1, 1]


def test_extent_highest_nearest_and_clamp():
    found = evaluate(
        "values.js",
        "[m.extent([3, -1, NaN, 2]), m.highest([-3, -1]), m.highest([-3, 4]), m.nearest([1, 5, 9], 6.9),"
        " m.clamp(7, 0, 5), m.clamp(-7, 0, 5), m.clamp(2, 0, 5)]",
    )
    assert found == [{"low": -1, "high": 3}, 0, 4, 1, 5, 0, 2]


@pytest.mark.parametrize(("signed", "under"), [(False, [-0.1, 0.0]), (True, [-1.1, -1.0])])
def test_a_cell_is_beyond_the_scale_only_by_more_than_rounding(signed, under):
    values = [1.1, 1 + 1e-7, *under]
    colours, over, below = evaluate(
        "colours.js",
        f"(() => {{ const scale = m.colourScale(1, false, {{ signed: {json.dumps(signed)} }});"
        f" const values = {values};"
        " return [values.map(scale.colour), values.map(scale.isOver), values.map(scale.isUnder)]; })()",
    )
    assert over == [True, False, False, False]
    assert below == [False, False, True, False]
    assert len(set(colours)) == 4
    assert evaluate(
        "colours.js", f"m.beyond({values}, m.colourScale(1, false, {{ signed: {str(signed).lower()} }}), 'GeV')"
    ) == [
        "1 cell above the scale, up to 1.10 GeV",
        f"1 cell below {'the scale' if signed else 'zero'}, down to {'−1.10' if signed else '−0.100'} GeV",
    ]


@pytest.mark.parametrize("span", ["low: -0.87, high: 0.87", "low: 0, high: 1.9", "low: 3.1, high: 3.9"])
def test_an_axis_has_at_least_two_numbers(span):
    assert len(evaluate("axes.js", f"m.ticks({{ {span} }}, 3)")) >= 2


def test_a_line_has_gaps_and_a_point_without_neighbours_is_a_dot():
    pen = """(() => {
        const calls = [];
        const pen = { beginPath() {}, stroke() {}, fill() {} };
        for (const name of ["moveTo", "lineTo", "arc"]) pen[name] = (x, y) => calls.push([name, x, y]);
        m.curve(pen, [0, 1, 2, 3, 4, 5], [7, 8, NaN, 9, NaN, NaN]);
        return calls;
    })()"""
    assert evaluate("shapes.js", pen) == [["moveTo", 0, 7], ["lineTo", 1, 8], ["moveTo", 3, 9], ["arc", 3, 9]]
