"""The study of baselines: several generators with the same budget in one table."""

import json

import pytest

from calolab import models
from calolab.studies import baselines, scoring
from calolab.training.state import TrainingDiverged
from calolab.validation import Scorecard

pytestmark = pytest.mark.usefixtures("toy")
SHORT = ["--short", "--no-progress", "--metrics", "energy"]


def run(out, *generators, more=()):
    return baselines.main(["--out", str(out), *SHORT, *more, "--generators", *generators])


def test_generators_of_all_kinds_are_compared_and_each_is_kept(tmp_path, monkeypatch, capsys):
    models.build("toy-showers", "clic-ecal", seed=3).save(tmp_path / "own.gan")
    out, scored, calls = tmp_path / "study", scoring.scored, []

    def counted(folder, name, *arguments):
        calls.append(name)
        if calls == ["toy-showers", "gflash"]:
            raise KeyboardInterrupt
        return scored(folder, name, *arguments)

    monkeypatch.setattr(scoring, "scored", counted)
    generators = ["toy-showers", "gflash", f"own={tmp_path / 'own.gan'}"]
    with pytest.raises(KeyboardInterrupt, match="the same command continues"):
        run(out, *generators)
    assert run(out, *generators) == 0
    assert calls == ["toy-showers", "gflash", "gflash", "own"]  # the first one is kept
    text = capsys.readouterr().out
    assert "Budget: 0.02 min of training on" in text and "targets met" in text

    card = Scorecard.from_json((out / "scorecard.json").read_text())
    assert card.generators == ("toy-showers", "gflash", "own")
    assert card.ranking("response")[0] == "gflash"  # the showers of this test are from GFlash, too
    assert set(card.panels["energy_fraction"].contents) == {"GFlash", *card.generators}
    assert (out / "scorecard.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((out / "baselines.json").read_text())["generators"]
    assert found["toy-showers"]["steps"] > 0 and found["gflash"]["steps"] == found["own"]["steps"] == 0
    assert all(one["milliseconds"] > 0 and one["targets"] for one in found.values())

    assert run(out, *generators, more=["--minutes", "0.5"]) == 2
    assert "minutes: 0.02 before, 0.5 now" in capsys.readouterr().err
    models.build("toy-showers", "clic-ecal", seed=3, width=9).save(tmp_path / "own.gan")
    assert run(out, *generators) == 2
    assert "bytes:" in capsys.readouterr().err


def test_a_generator_that_fails_is_noted_and_the_others_are_compared(tmp_path, monkeypatch, capsys):
    def diverges(*arguments):
        raise TrainingDiverged("the loss is NaN")

    monkeypatch.setattr(baselines, "_trained", diverges)
    assert run(tmp_path / "study", "toy-showers", "gflash") == 0
    text = capsys.readouterr().out
    assert "toy-showers failed: the loss is NaN" in text
    assert Scorecard.from_json((tmp_path / "study" / "scorecard.json").read_text()).generators == ("gflash",)


@pytest.mark.parametrize(
    "generators, message",
    [
        (["3dgn"], "3dgan"),
        (["3dgan:wgan"], "wgan-gp"),
        (["gflash", "gflash"], "names one of them twice"),
        (["shipped:unknown"], "unknown"),
        (["nowhere.gan"], "No GAN file nowhere.gan"),
    ],
)
def test_wrong_names_end_with_one_line_before_any_work(generators, message, tmp_path, capsys):
    assert run(tmp_path / "study", *generators) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "study" / "showers").exists()


def test_names_and_objectives():
    parsed = baselines.Baseline.parsed
    assert parsed("3dgan") == baselines.Baseline("3dgan", "3dgan")
    assert parsed("3dgan:wgan-gp") == baselines.Baseline("3dgan-wgan-gp", "3dgan", "wgan-gp")
    assert parsed("fast=gflash") == baselines.Baseline("fast")
    assert {parsed(text).name for text in baselines.GENERATORS} >= {"3dgan", "gflash", "3dgan-hinge"}
