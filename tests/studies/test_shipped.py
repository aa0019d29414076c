"""The study that makes a generator to ship: its short form, stops in the middle, and what it refuses."""

import json
import warnings

import numpy as np
import pytest

from calolab import datasets, models, simulate, studies, training, validation
from calolab.interrupts import Stopped
from calolab.studies import cards, events, fitting, scoring, shipped
from calolab.studies.folder import StudyFolder
from calolab.validation import Scorecard

pytestmark = pytest.mark.usefixtures("toy")
SHORT = ["toy-showers", "--short", "--no-progress", "--metrics", "energy", "memorised"]


def run(out, *more):
    return shipped.main([*SHORT, "--out", str(out), *more])


def numbers(folder):
    """All results that do not depend on time."""
    found = json.loads((folder / "results.json").read_text())
    targets = {one["name"]: one["value"] for one in found["targets"] if not one["name"].startswith("speed")}
    return {"targets": targets, "scores": found["scores"], "stages": found["card"]["recipe"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of an uninterrupted run; filled by the first test that needs it."""
    return tmp_path_factory.mktemp("finished") / "study"


@pytest.fixture
def done(finished, toy):
    if not (finished / "results.txt").exists():
        assert run(finished) == 0
    return finished


def stops(function, at):
    """A function that is interrupted in its call number `at`, from 1; and the number of calls so far."""
    calls = []

    def called(*arguments, **options):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return called, calls


def test_the_short_form_writes_a_generator_with_its_card_and_all_results(done, capsys):
    loaded = models.load(done / "toy-showers.gan")
    card = loaded.card
    assert (card.name, card.particle, card.detector) == ("toy-showers", "electron", "clic-ecal")
    assert card.validity == {"energy": (10.0, 100.0)} and card.seeds["training"] == 7
    assert "220 showers (gflash" in card.data and "1 epoch of total" in card.recipe
    assert "200 showers" in card.scored_on and "response" in card.scores
    assert any(flaw.startswith("Response at 50 GeV") for flaw in card.flaws)
    assert models.read_header(done / "toy-showers.gan").dtype == "float16"
    assert set(loaded.networks) == {"generator", "total", "shape"}
    score = Scorecard.from_json((done / "scorecard.json").read_text())
    assert score.generators == ("toy-showers",) and score.reference == "GFlash" and score.events["compared"] == 100
    results = json.loads((done / "results.json").read_text())
    names = {one["name"] for one in results["targets"]}
    assert {"response.50", "layers", "pairs", "memorised", "speed.batch", "speed.one"} <= names
    page = (done / "results.html").read_text()
    assert "Known flaw" in page and "number of hits" in page and "scorecard.png" in page
    # The scores are those of the file: its showers are those that were scored.
    made, scored = loaded.generate({"energy": [50.0]}, seed=1), datasets.load(done / "generated.h5")
    assert made.space == scored.space and len(scored) == 200
    again = loaded.generate(scored.labels, seed=7, batch_size=128)
    np.testing.assert_allclose(again.values, scored.values, rtol=1e-4, atol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(done) == 0  # nothing is done again
    assert "targets met on 200 held-out showers" in capsys.readouterr().out


def test_a_stopped_study_continues_with_what_is_missing(done, tmp_path, monkeypatch, capsys):
    out = tmp_path / "study"
    made, simulated = stops(simulate.showers, at=2)
    monkeypatch.setattr(simulate, "showers", made)
    with pytest.raises(Stopped, match=r"the study; .*study holds what is done, and the same command continues"):
        run(out)
    assert [path.name for path in (out / "showers").iterdir()] == ["0000.h5"]

    fit = training.fit
    ends = [True]

    def interrupted(*arguments, **options):
        def stop(progress):
            if progress.epoch == 1 and ends.pop() is True:
                raise KeyboardInterrupt

        return fit(*arguments, **options, callbacks=[stop] if ends else [])

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(Stopped, match="the same command continues"):
        run(out)
    assert (out / "checkpoints" / "checkpoint.npz").exists() and not (out / "trained.gan").exists()
    assert len(simulated) == 3

    card, scored = stops(validation.scorecard, at=1)
    monkeypatch.setattr(validation, "scorecard", card)
    with pytest.raises(Stopped, match="the same command continues"):
        run(out)
    assert (out / "generated.h5").exists() and not (out / "scorecard.json").exists()
    steps = json.loads((out / "training.json").read_text())["steps"]

    monkeypatch.setattr(training, "fit", None)  # it is not called again
    assert run(out) == 0
    assert len(simulated) == 3 and len(scored) == 2
    assert steps == json.loads((done / "training.json").read_text())["steps"] == 8
    assert numbers(out) == numbers(done)


def test_other_arguments_in_the_same_folder_are_refused(done, capsys):
    assert run(done, "--seed", "8", "--epochs", "9") == 2
    assert "(epochs: None before, 9 now; seed: 7 before, 8 now)" in capsys.readouterr().err
    assert run(done, "--processes", "1") == 0  # does not change the results


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--test", "199"], "--test expects at least 200 showers"),
        (["--test", "420"], "fewer than all of them (420)"),
        (["--epochs", "8"], "more than the 8 epochs"),
        (["--showers", "nowhere.h5"], "No file matches 'nowhere.h5'"),
    ],
)
def test_wrong_arguments_end_with_one_line(arguments, message, tmp_path, capsys):
    assert run(tmp_path / "study", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("calolab.studies.shipped: ") and message in error


def test_a_file_is_split_without_the_showers_of_the_packaged_sample(tmp_path, monkeypatch):
    own = simulate.showers("clic-ecal", 300, (10, 100), seed=1, method="gflash", progress=False)
    monkeypatch.setattr(events, "FEWEST_TEST", 10)
    for piece, sample in enumerate((own, datasets.load(events.DEMO, events=20))):
        datasets.save(tmp_path / f"{piece}.h5", sample)
    options = shipped._parser().parse_args(["x", "--out", str(tmp_path), "--test", "100"])
    options.showers = [str(tmp_path / "[01].h5")]
    found = events.prepare(StudyFolder(tmp_path), options)
    assert (len(found.train), len(found.test), found.excluded) == (200, 100, 20)
    energies = [*found.train.labels["energy"], *found.test.labels["energy"]]
    np.testing.assert_allclose(sorted(energies), np.sort(own.labels["energy"]), rtol=1e-6)


def test_pieces_have_seeds_of_their_own_and_make_one_sample(tmp_path):
    options = shipped._parser().parse_args(["x", "--out", str(tmp_path), "--events", "25", "--piece", "10"])
    options.method, options.progress = "gflash", False
    sample = events._simulated(StudyFolder(tmp_path), options)
    assert len(sample) == 25 and len(np.unique(sample.labels["energy"])) == 25


def test_time_for_everything_shortens_the_stages_and_limits_the_training(tmp_path, monkeypatch):
    seen = {}

    def fit(gan, train, **options):
        seen.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(shipped.plan, "seconds_per_epoch", lambda *arguments, **options: [10.0, 30.0])
    monkeypatch.setattr(training, "fit", fit)
    assert run(tmp_path / "study", "--hours", "0.04", "--epochs-per-stage", "99") == 2
    assert [stage.epochs for stage in seen["recipe"].stages] == [4, 2]  # 122 s less the simulation, of 200 s
    assert 100 < seen["time_limit"] <= 0.85 * 144


def test_engines_share_the_batch_of_one_process(tmp_path, monkeypatch):
    from contextlib import nullcontext
    from types import SimpleNamespace

    seen = {}

    def fit(engines, gan, train, **options):
        seen.update(options, engines=engines)
        return SimpleNamespace(wait=lambda: training.History(steps=3))

    monkeypatch.setattr(fitting.cluster, "running", lambda n: nullcontext(f"{n} engines"))
    monkeypatch.setattr(fitting.distributed, "fit", fit)
    chosen = fitting.Fitting(shipped.plan.published("toy-showers"), 33, 5, engines=2, progress=False)
    folder = StudyFolder.opened(tmp_path / "study", "test", {})
    _, summary = fitting.trained(folder, lambda: models.build("toy-showers", "clic-ecal"), None, chosen)
    assert (seen["engines"], seen["batch_size"], seen["global_batch"], seen["seed"]) == ("2 engines", 17, 33, 5)
    assert seen["resume"] is False and summary["steps"] == 3 and (tmp_path / "study" / "trained.gan").exists()


def test_ranges_of_energies_are_rounded_outwards():
    sample = simulate.showers("clic-ecal", 3, np.array([10.3, 40.0, 99.2]), seed=1, method="gflash", progress=False)
    assert cards.validity(sample, ("energy",)) == {"energy": (10.0, 100.0)}
    assert cards.validity(sample.select([0, 1]), ("energy",)) == {"energy": (10.0, 40.0)}


def test_damaged_results_say_what_to_delete(tmp_path):
    folder = StudyFolder.opened(tmp_path / "study", "test", {})
    (folder / scoring.TARGETS).write_text("{")
    with pytest.raises(ValueError, match=r"targets.json is damaged .* delete it"):
        folder.read(scoring.TARGETS)
    with pytest.raises(ValueError, match="command: 'test' before, 'other' now"):
        StudyFolder.opened(tmp_path / "study", "other", {})


def test_the_package_shows_its_targets():
    assert studies.LIMITS["auc.cnn"] == 0.75 and "shower_targets" in studies.__all__
