"""A new architecture is one file, a new objective one record: a model without discriminator that trains in stages."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from calolab import models
from calolab.models import architectures
from calolab.training import OBJECTIVES, Recipe, Stage, fit
from tests.tiny import SPACE

TOY = Path(__file__).parent / "toy"
QUIET = {"batch_size": 8, "progress": False}


@pytest.fixture(autouse=True)
def toys(monkeypatch, tmp_path):
    """The toy files, the architecture in the folder of the registry and the objectives in the table."""
    folder = tmp_path / "architectures"
    folder.mkdir()
    (folder / "toy_flow.py").write_text((TOY / "toy_flow.py").read_text())
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(folder)])
    spec = importlib.util.spec_from_file_location("toy_flow_matching", TOY / "toy_flow_matching.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(OBJECTIVES, "toy-flow-matching", module.FLOW_MATCHING)
    monkeypatch.setitem(OBJECTIVES, "toy-least-squares", module.LEAST_SQUARES)
    yield
    sys.modules.pop("calolab.models.architectures.toy_flow", None)


def arrays(network):
    return [np.array(variable.value.numpy()) for variable in network.weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_toy_is_in_the_registry():
    assert "toy-flow" in models.names() and models.find("toy-flow").citation == "this file"
    recipe = Recipe.published("toy-flow")
    assert recipe.passes == ("total", "velocity")
    assert [recipe.passes_in(epoch) for epoch in range(4)] == [("total",), ("total",), ("velocity",), ("velocity",)]
    assert Recipe(**recipe.to_dict()) == recipe


def test_a_model_without_discriminator_trains_in_stages(tiny_sample):
    gan, sample = models.build("toy-flow", SPACE, seed=1), tiny_sample(64)
    start, seen = {name: arrays(network) for name, network in gan.networks.items()}, []

    def on_epoch(epochs, gan):
        seen.append({name: arrays(network) for name, network in gan.networks.items()})

    history = fit(gan, sample, epochs=4, seed=1, on_epoch=on_epoch, **QUIET)
    assert [set(epoch["losses"]) for epoch in history.epochs] == [{"total"}, {"total"}, {"velocity"}, {"velocity"}]
    # In the first stage only the total energy learns, in the second only the velocity.
    assert same(seen[1]["velocity"], start["velocity"]) and not same(seen[1]["total"], start["total"])
    assert same(seen[3]["total"], seen[1]["total"]) and not same(seen[3]["velocity"], start["velocity"])
    total, velocity = history.losses("total"), history.losses("velocity")
    assert total[1] < total[0] and velocity[3] < velocity[2] and np.isnan(total[3]) and np.isnan(velocity[0])
    assert "velocity" in history._repr_html_() and history.plot().axes
    # The generator is made of the two.
    assert not np.array_equal(
        gan.generate(sample.labels, seed=1).values,
        models.build("toy-flow", SPACE, seed=1).generate(sample.labels, seed=1).values,
    )


def test_a_staged_training_resumes_bit_identically_in_another_stage_and_is_saved(tiny_sample, tmp_path):
    sample = tiny_sample(16)
    whole, first, resumed = (models.build("toy-flow", SPACE, seed=seed) for seed in (1, 1, 2))
    expected = fit(whole, sample, epochs=3, **QUIET)
    fit(first, sample, epochs=1, checkpoints=tmp_path, **QUIET)
    history = fit(resumed, sample, epochs=3, checkpoints=tmp_path, resume=True, **QUIET)
    assert [epoch["losses"] for epoch in history.epochs] == [epoch["losses"] for epoch in expected.epochs]
    for name, network in whole.networks.items():
        assert same(arrays(network), arrays(resumed.networks[name]))
    whole.save(tmp_path / "toy.gan")
    loaded = models.load(tmp_path / "toy.gan")
    assert set(loaded.networks) == {"generator", "total", "velocity"}
    np.testing.assert_array_equal(
        loaded.generate(sample.labels, seed=1).values, whole.generate(sample.labels, seed=1).values
    )
    # The parts are still those of the generator, so a loaded model trains further.
    more = {"seed": 5, "recipe": Recipe.published("toy-flow", stages=()), **QUIET}
    fit(whole, sample, epochs=1, **more)
    fit(loaded, sample, epochs=1, **more)
    np.testing.assert_array_equal(
        loaded.generate(sample.labels, seed=1).values, whole.generate(sample.labels, seed=1).values
    )


def test_a_toy_objective_trains_an_adversarial_model(tiny_gan, tiny_sample):
    gan, recipe = tiny_gan(), Recipe(objective="toy-least-squares")
    start = arrays(gan.generator)
    history = fit(gan, tiny_sample(), epochs=1, recipe=recipe, **QUIET)
    losses = history.epochs[0]["losses"]
    assert losses["generator"] == pytest.approx(
        2 * losses["generator_generation"] + 0.1 * (losses["generator_auxiliary"] + losses["generator_ecal"]), rel=1e-4
    )
    assert not same(arrays(gan.generator), start)


def test_objectives_and_models_that_do_not_fit_are_refused(tiny_gan, tiny_sample):
    with pytest.raises(ValueError, match="trains the networks total, velocity; 'tiny' has generator, discriminator"):
        fit(tiny_gan(), tiny_sample(), epochs=1, recipe=Recipe(objective="toy-flow-matching"), **QUIET)
    with pytest.raises(ValueError, match="networks discriminator, generator; 'toy-flow' has generator, total"):
        fit(models.build("toy-flow", SPACE), tiny_sample(), epochs=1, recipe=Recipe(), **QUIET)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((Stage(("generator",)), Stage(("discriminator",))), "All stages but the last need a number of epochs"),
        ((Stage(("critic",)),), "Unknown network of a stage 'critic'"),
    ],
)
def test_wrong_stages_are_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        Recipe(stages=stages)
    with pytest.raises(ValueError, match="at least 1 epoch"):
        Stage(("generator",), 0)
