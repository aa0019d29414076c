from dataclasses import replace

import numpy as np
import pytest

from calolab import models, spaces
from calolab.models.fast_showers.sampling import BLOCK
from calolab.training import Recipe, Stage, fit
from tests.models.fast_showers.showers import randomised, sample, small
from tests.models.fast_showers.showers import space as small_space


def test_only_square_layers_with_an_odd_number_of_pads_fit():
    for name in ("calogan", "jet-image"):
        with pytest.raises(ValueError, match="calolab-fast generates showers in.*clic-ecal"):
            models.build("calolab-fast", spaces.space(name))
    with pytest.raises(ValueError, match="at least 5"):
        models.build("calolab-fast", small_space(3))
    gan = models.build("calolab-fast", "clic-ecal-51", width=8, hidden=4)
    assert gan.latent_size == 1 + 7 * 25 + 2 * 51 * 51 * 25


def showers(gan, events, seed=1):
    """Showers without a compiled network, which takes seconds."""
    latent = np.random.default_rng(seed).standard_normal((events, gan.latent_size), dtype=np.float32)
    energy = np.linspace(10, 100, events, dtype=np.float32)[:, None]
    return np.asarray(gan.generator({"latent": latent, "energy": energy}, training=False))[..., 0]


def test_a_training_in_two_stages_lowers_both_losses_and_depends_on_the_seed_only():
    recipe = Recipe.published("calolab-fast")
    faster = {**recipe.stages[0].recipe, "learning_rate": 1e-2, "batch_multiple": 1}
    stages = (Stage("quantities", 8, faster), Stage("cells", None, recipe.stages[1].recipe))
    options = {
        "recipe": replace(recipe, stages=stages, calibrate=False),
        "batch_size": 32,
        "seed": 3,
        "progress": False,
    }
    gan, again = (small(5, 3, fitted=False, width=64) for _ in range(2))
    data = sample(200, 5, 3)
    history = fit(gan, data, epochs=14, **options)
    losses = history.losses("quantities")
    assert losses[0] > 1.03 * losses[7]
    losses = history.losses("cells")[8:]
    assert losses[0] > 1.01 * losses[-1]
    for epoch in history.epochs[8:]:
        parts = epoch["losses"]
        assert parts["cells"] == pytest.approx(parts["cells_hits"] + parts["cells_energies"], rel=1e-4)
    assert np.all(np.isfinite(showers(gan, 3)))
    repeated = fit(again, data, epochs=2, **options)
    # On a busy machine, one training in about ten differs in the last bits of the flow's weights; the cause is unknown.
    assert repeated.losses("quantities") == pytest.approx(history.losses("quantities")[:2], rel=1e-5)


def test_showers_do_not_depend_on_the_blocks_in_which_they_are_made():
    gan, events = small(), BLOCK + 9
    randomised(gan.networks["cells"], size=0.1)
    whole = showers(gan, events)
    assert np.all(whole.sum(axis=(1, 2, 3)) > 0) and np.all((whole == 0) | (whole > 2.9e-5))
    compiled = gan.generate({"energy": np.linspace(10, 100, events)}, seed=1, batch_size=7).values
    np.testing.assert_allclose(compiled, whole, rtol=0, atol=1e-5 * whole.max())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_saved_files_have_all_constants(dtype, tmp_path):
    gan = small()
    gan.save(tmp_path / "fast.gan", dtype=dtype)
    loaded = models.load(tmp_path / "fast.gan")
    for name, network in gan.networks.items():
        for before, after in zip(network.non_trainable_weights, loaded.networks[name].non_trainable_weights):
            np.testing.assert_allclose(after.numpy(), before.numpy(), rtol=2.0**-11 if dtype == "float16" else 0)
    assert loaded.networks["quantities"] is loaded.generator.get_layer("quantities")
    total, again = (showers(one, 4).sum(axis=(1, 2, 3)) for one in (gan, loaded))
    np.testing.assert_allclose(again, total, rtol=0 if dtype == "float32" else 0.05)
