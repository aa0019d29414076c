"""The study of adaptation: a trained generator and a new one learn a changed detector from the same showers."""

import json
import math

import numpy as np
import pytest

from calolab import datasets, models, simulate, spaces, training
from calolab.studies import adaptation, scoring
from calolab.validation.scorecards.records import Entry, Scorecard

pytestmark = pytest.mark.usefixtures("toy")
CHANGE = ["--material", "W=Pb", "--scale", "W=1.6"]
LEAD = spaces.space("clic-ecal").replaced(material={"W": "Pb"}, scale={"W": 1.6})


@pytest.fixture
def trained(toy, tmp_path):
    """The file of a generator that was trained for the former detector."""
    sample = simulate.showers("clic-ecal", 100, (10, 100), seed=1, method="gflash", progress=False)
    gan = models.build("toy-showers", "clic-ecal", seed=3, width=9)
    training.fit(gan, sample, epochs=9, batch_size=32, seed=1, progress=False)
    gan.save(tmp_path / "own.gan")
    return tmp_path / "own.gan"


def run(out, generator, *more):
    short = ["--short", "--no-progress", "--metrics", "correlations"]
    return adaptation.main(["--out", str(out), "--generator", str(generator), *short, *more])


def test_all_trainings_are_scored_and_kept(trained, tmp_path, monkeypatch, capsys):
    out, scored, fit = tmp_path / "study", scoring.scored, training.fit
    calls, learned = [], []

    def counted(folder, name, made, train, *arguments):
        calls.append((name, len(train)))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return scored(folder, name, made, train, *arguments)

    def noted(gan, sample, **options):
        if options.get("checkpoints"):
            learned.append((gan.space.name, bool(gan.provenance.get("trainings")), len(sample), gan.settings["width"]))
        return fit(gan, sample, **options)

    monkeypatch.setattr(scoring, "scored", counted)
    monkeypatch.setattr(training, "fit", noted)
    with pytest.raises(KeyboardInterrupt, match="the same command continues"):
        run(out, trained, *CHANGE)
    assert run(out, trained, *CHANGE) == 0
    adapted, scratch = ("adapted, 50 showers", 50), ("from scratch, 50 showers", 50)
    assert calls == [("without training", 220), adapted, adapted, scratch]  # what was scored is kept
    assert learned == [(LEAD.name, True, 50, 9), (LEAD.name, False, 50, 9)]  # also the trainings

    found = json.loads((out / "adaptation.json").read_text())
    assert spaces.Space.from_dict(found["space"]) == LEAD
    results = {(one["kind"], one["showers"]): one for one in found["results"]}
    assert list(results) == [("without training", 0), ("adapted", 50), ("from scratch", 50)]
    assert [one["steps"] > 0 for one in results.values()] == [False, True, True]
    assert all("correlations.layers" in one["scores"] and one["targets"] for one in results.values())
    assert (out / "adaptation.png").read_bytes().startswith(b"\x89PNG")
    text = (out / "adaptation.txt").read_text()
    assert "real against real" in text and "0.02 min of training" in text and text.rstrip() in capsys.readouterr().out
    made = datasets.load(out / "without-training" / "generated.h5")
    np.testing.assert_allclose(
        models.load(trained).generate(made.labels, seed=7, batch_size=128).values, made.values, rtol=1e-3, atol=1e-8
    )
    assert models.load(out / "00050-adapted" / "trained.gan").provenance["adapted_from"] == "clic-ecal"

    assert run(out, trained, *CHANGE, "--minutes", "0.5") == 2
    assert "minutes: 0.02 before, 0.5 now" in capsys.readouterr().err


def test_files_of_showers_name_the_changed_detector(trained, tmp_path):
    files = str(tmp_path / "lead.h5")
    datasets.save(files, simulate.showers(LEAD, 12, (10, 100), seed=1, method="gflash", progress=False))
    parse = adaptation._parser().parse_args
    former = spaces.space("clic-ecal")
    base = ["--out", "x", "--showers", files]
    assert adaptation._changed(former, parse(base)) == LEAD
    assert adaptation._changed(former, parse([*base, *CHANGE])) == LEAD
    with pytest.raises(ValueError, match="W -> Pb x 1.6.*the changes result in.*pads 4 mm"):
        adaptation._changed(former, parse([*base, "--pads", "4"]))
    options = parse(["--out", "x", "--thickness", "W=2", "--pads", "3", "4"])
    assert adaptation._changed(former, options) == former.replaced(thickness={"W": 2.0}, pads=(3, 4))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "The detector does not change"),
        ([*CHANGE, "--numbers", "10", "9999"], "at most the 220 showers that are not held out, received 9,999"),
        ([*CHANGE, "--numbers", "0"], "--numbers expects at least 1 shower, received 0"),
        (["--material", "Fe=Pb"], "Fe"),
        (["--generator", "unknown"], "unknown"),
        (["--generator", "nowhere.gan"], "nowhere.gan"),
    ],
)
def test_wrong_arguments_end_with_one_line_before_any_work(arguments, message, tmp_path, capsys):
    models.build("toy-showers", "clic-ecal").save(tmp_path / "own.gan")
    assert run(tmp_path / "study", tmp_path / "own.gan", *arguments) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "study").exists()


@pytest.mark.parametrize("arguments", [["--material", "W"], ["--scale", "W=much"], ["--minutes", "0"]])
def test_values_that_cannot_be_read_are_refused(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path / "study", tmp_path / "own.gan", *arguments)
    assert arguments[0] in capsys.readouterr().err


def test_a_file_without_the_networks_that_learn_is_refused(tmp_path, capsys):
    models.build("toy-showers", "clic-ecal").save(tmp_path / "small.gan", networks=("generator",))
    assert run(tmp_path / "study", tmp_path / "small.gan", *CHANGE) == 2
    assert "lacks the networks shape, total" in capsys.readouterr().err


def test_the_table_and_the_figure_say_which_training_failed_and_where_the_floor_is():
    def result(value):
        entry, unknown = Entry("fpd", value, 0.0002, 0.0001, 0.0001), Entry("auc.trees", math.nan)
        card = Scorecard.__new__(Scorecard)
        object.__setattr__(card, "results", {"one": {"fpd": entry, "auc.trees": unknown}})
        return {"card": card, "targets": [], "minutes": 1.0, "epochs": 3, "steps": 4}

    found = {
        (0, "without training"): result(0.3),
        (100, "adapted"): result(0.02),
        (100, "from scratch"): {"failed": "the loss is NaN"},
    }
    text = repr(adaptation._table(found, "lead"))
    assert "from scratch, 100 showers, failed: the loss is NaN" in text and "FPD × 1000" in text
    assert "20.0" in text and "300.0" in text
    (panel,) = adaptation._panels(found)
    assert panel.curves == {"adapted": {100: (20.0, pytest.approx(0.2))}, "from scratch": {}} and panel.log
    assert panel.untrained == (300.0, pytest.approx(0.2)) and panel.floor == pytest.approx((0.1, 0.1))
