import numpy as np
import pytest

from calolab import models, spaces
from calolab.models.fast_showers.sampling import BLOCK
from calolab.training import Recipe, Stage, fit
from tests.models.fast_showers.showers import randomised, sample, small


def test_only_square_layers_with_an_odd_number_of_pads_fit():
    for name in ("calogan", "jet-image"):
        with pytest.raises(ValueError, match="calolab-fast generates showers in.*clic-ecal"):
            models.build("calolab-fast", spaces.space(name))
    gan = models.build("calolab-fast", "clic-ecal-51", width=8, hidden=4)
    assert gan.latent_size == 1 + 7 * 25 + 2 * 51 * 51 * 25


def test_a_training_in_two_stages_lowers_both_losses_and_depends_on_the_seed_only():
    data = sample(200)
    recipe = Recipe.published("calolab-fast")
    faster = {**recipe.stages[0].recipe, "learning_rate": 1e-2}
    stages = (Stage("quantities", 15, faster), Stage("cells", None, recipe.stages[1].recipe))
    recipe = Recipe(**{**recipe.to_dict(), "stages": stages})
    trained = [small(fitted=False, width=64) for _ in range(2)]
    histories = [fit(gan, data, epochs=24, batch_size=32, seed=3, recipe=recipe, progress=False) for gan in trained]
    history = histories[0]
    assert history.epochs[0]["losses"]["quantities"] > 1.03 * history.epochs[14]["losses"]["quantities"]
    losses = [epoch["losses"]["cells"] for epoch in history.epochs[15:]]
    assert losses[0] > 1.01 * losses[-1]
    for epoch in history.epochs[15:]:
        losses = epoch["losses"]
        assert losses["cells"] == pytest.approx(losses["cells_hits"] + losses["cells_energies"], rel=1e-4)
    assert histories[1].epochs[-1]["losses"] == history.epochs[-1]["losses"]
    first, second = (gan.generate({"energy": [20.0, 60.0]}, seed=1).values for gan in trained)
    np.testing.assert_array_equal(first, second)


def test_showers_do_not_depend_on_the_blocks_in_which_they_are_made():
    gan = small()
    randomised(gan.networks["cells"], size=0.1)
    energy = {"energy": np.linspace(10, 100, BLOCK + 9)}
    whole = gan.generate(energy, seed=2, batch_size=BLOCK + 9).values
    assert np.all(whole.sum(axis=(1, 2, 3)) > 0) and np.all((whole == 0) | (whole > 2.9e-5))
    apart = gan.generate(energy, seed=2, batch_size=7).values
    np.testing.assert_allclose(apart, whole, rtol=0, atol=1e-5 * whole.max())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_saved_files_have_all_constants(dtype, tmp_path):
    gan = small()
    gan.save(tmp_path / "fast.gan", dtype=dtype)
    loaded = models.load(tmp_path / "fast.gan")
    for name, network in gan.networks.items():
        for before, after in zip(network.non_trainable_weights, loaded.networks[name].non_trainable_weights):
            np.testing.assert_allclose(after.numpy(), before.numpy(), rtol=2.0**-11 if dtype == "float16" else 0)
    quantities = loaded.networks["quantities"]
    assert quantities is loaded.generator.get_layer("quantities")
    energy = {"energy": np.linspace(10, 100, 4)}
    showers, again = (one.generate(energy, seed=1).values for one in (gan, loaded))
    total = showers.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(again.sum(axis=(1, 2, 3)), total, rtol=0 if dtype == "float32" else 0.05)
