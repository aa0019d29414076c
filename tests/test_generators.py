"""A generator is a function of latent vectors and labels, whatever runs it."""

import subprocess
import sys

import numpy as np
import pytest

from calolab.generators import Generator
from calolab.spaces import Layer, Space, pad_edges

SPACE = Space("grid", ("eta", "phi"), ("", "rad"), (Layer((pad_edges(3, 0.1), pad_edges(2, 0.1))),))


def linear(batches=None, conditions=("energy",)):
    """A generator without any library: values are the latent vector times the energy."""

    def run(inputs):
        if batches is not None:
            batches.append(len(inputs["latent"]))
        return (inputs["latent"] * inputs.get("energy", 1)).reshape(-1, 3, 2)

    return Generator("linear", SPACE, run, latent_size=6, conditions=conditions)


def test_events_follow_from_the_latent_vectors_and_labels():
    energy = np.array([10.0, 20.0, 40.0])
    sample = linear().generate({"energy": energy, "theta": energy}, seed=4)
    latent = np.random.default_rng(4).standard_normal((3, 6), dtype=np.float32)
    np.testing.assert_allclose(sample.values.reshape(3, 6), latent * energy[:, None], rtol=1e-6)
    assert set(sample.labels) == {"energy"} and sample.space == SPACE
    assert sample.origin == {"gan": "linear", "training epochs": 0, "seed": 4}


def test_all_batches_have_one_size():
    batches = []
    assert len(linear(batches).generate({"energy": np.ones(7)}, seed=0, batch_size=3)) == 7
    assert batches == [3, 3, 3]


def test_latent_vectors_are_drawn_by_batch_in_the_order_of_the_events():
    seen, whole = [], np.random.default_rng(3).standard_normal((7, 6), dtype=np.float32)

    def run(inputs):
        seen.append(inputs["latent"])
        return np.zeros((len(inputs["latent"]), 3, 2), np.float32)

    Generator("seen", SPACE, run, latent_size=6, conditions=()).generate(7, seed=3, batch_size=3)
    np.testing.assert_array_equal(np.concatenate(seen), whole[[*range(7), 6, 6]])


def test_a_traversal_moves_as_smoothly_as_the_network():
    energy = np.linspace(10, 50, 5)
    sample = linear().traverse({"energy": energy}, seed=1, latents=2)
    for latent in sample.values.reshape(2, 5, 6):
        np.testing.assert_allclose(np.diff(latent, axis=0), np.tile(latent[0], (4, 1)), rtol=1e-5)


def test_values_of_another_shape_are_refused():
    wrong = Generator("wrong", SPACE, lambda inputs: inputs["latent"], 6, ())
    with pytest.raises(ValueError, match=r"run must return values of shape \(2, 3, 2\).*received \(2, 6\)"):
        wrong.generate(2, seed=0)


def test_wrong_labels_are_refused_before_the_network_runs():
    batches = []
    with pytest.raises(ValueError, match="'energy' must be positive"):
        linear(batches).generate({"energy": [10.0, -1.0]}, seed=0)
    with pytest.raises(ValueError, match="has no conditions to traverse"):
        linear(batches, ()).traverse({}, seed=0)
    assert not batches


def test_a_generator_needs_neither_keras_nor_tensorflow():
    code = (
        "import sys; import calolab.generators, calolab.models.gan_file, calolab.models; "
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
