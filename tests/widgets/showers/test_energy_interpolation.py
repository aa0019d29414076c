import zlib

import numpy as np
import pytest
import traitlets

from calolab.generators import Generator
from calolab.samples import Sample
from calolab.widgets import EnergyInterpolation


@pytest.fixture
def traverse(make_sample):
    """The same few showers, scaled with the energy, as from a very simple GAN."""
    base = make_sample(events=3)

    def traverse(labels, seed, latents):
        energies = labels["energy"]
        values = np.concatenate([np.multiply.outer(energies / 50, shower) for shower in base.values[:latents]])
        found = {name: np.tile(column, latents) for name, column in labels.items()}
        return Sample(values, {**found, "latent": np.repeat(np.arange(latents), len(energies))}, base.space)

    return traverse


def test_the_whole_traversal_is_sent_once(traverse):
    widget = EnergyInterpolation(traverse, energies=(10, 100), points=4, latents=3)
    assert widget.energies.tolist() == [10, 40, 70, 100]
    received = np.frombuffer(zlib.decompress(widget.showers), dtype="<f4")
    assert np.array_equal(received, widget.traversal.values.ravel())
    assert [name for name, value in widget.get_state().items() if isinstance(value, bytes)] == ["showers"]


def test_the_energy_is_set_to_the_nearest_point(traverse):
    widget = EnergyInterpolation(traverse, points=4, latents=1)
    widget.energy = 52.0
    assert widget.energy == 40.0
    with pytest.raises(traitlets.TraitError, match="latent must be between 0 and 0"):
        widget.latent = 1


def test_every_reference_shower_is_assigned_to_the_nearest_energy(traverse, make_sample):
    reference = make_sample(events=40, seed=3)
    widget = EnergyInterpolation(traverse, points=4, latents=1, reference=reference)
    column = reference.labels["energy"]
    nearest = np.abs(column[:, None] - widget.energies).argmin(axis=1)
    assert widget.about["reference"]["counts"] == np.bincount(nearest, minlength=4).tolist()
    received = np.frombuffer(zlib.decompress(widget.showers), dtype="<f4").reshape(8, *reference.space.shape)
    for point, mean in enumerate(received[4:]):
        assert mean == pytest.approx(reference.values[nearest == point].mean(axis=0), abs=1e-6)


def test_energies_without_a_reference_shower_have_no_mean(traverse, make_sample):
    reference = make_sample(events=40, seed=3)
    low = reference.select(reference.labels["energy"] < 30)
    widget = EnergyInterpolation(traverse, points=4, latents=2, reference=low)
    assert widget.about["reference"]["counts"][2:] == [0, 0]
    assert widget.about["reference"]["visible"][2:] == [None, None]
    for energy in (10.0, 100.0):
        widget.energy, widget.average = energy, not widget.average
        assert widget._repr_png_()[0].startswith(b"\x89PNG")


@pytest.mark.parametrize("factor", [1.95, 100])
def test_the_reference_sets_the_colours(traverse, make_sample, factor):
    reference = make_sample(events=40, seed=3)

    def bad(labels, seed, latents):
        made = traverse(labels, seed, latents)
        return Sample(factor * made.values, made.labels, made.space)

    widget = EnergyInterpolation(bad, points=4, latents=2, reference=reference, names=("Geant4", "GAN"))
    means = np.frombuffer(zlib.decompress(widget.showers), "<f4")[-4 * reference.space.n_cells :]
    made = widget.traversal.values.reshape(2, 4, -1)
    assert widget.about["tops"]["single"] == pytest.approx([reference.values.max(), made.max()])
    assert widget.about["tops"]["mean"] == pytest.approx([means.max(), made.mean(axis=0).max()])
    assert widget.about["names"] == ["Geant4", "GAN"]
    assert widget._repr_png_()[0].startswith(b"\x89PNG")


def test_other_labels_are_constant(traverse):
    widget = EnergyInterpolation(traverse, points=3, latents=2, labels={"theta": 1.5})
    assert widget.traversal.labels["theta"].tolist() == [1.5] * 6


def test_a_traverse_in_another_order_is_rejected(traverse):
    def point_major(labels, seed, latents):
        sample = traverse(labels, seed, latents)
        return sample.select(np.arange(len(sample)).reshape(latents, -1).T.ravel())

    with pytest.raises(ValueError, match="6 events with the labels .*; its label 'energy' differs"):
        EnergyInterpolation(point_major, points=3, latents=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"energies": (100, 10)}, "lowest, highest"),
        ({"points": 1}, "At least 2 points"),
        ({"latents": 0}, "received 19 and 0"),
    ],
)
def test_invalid_arguments_are_rejected(traverse, settings, message):
    with pytest.raises(ValueError, match=message):
        EnergyInterpolation(traverse, **settings)


def test_a_reference_in_another_space_is_rejected(traverse, make_sample):
    with pytest.raises(ValueError, match="is in space 'calogan'"):
        EnergyInterpolation(traverse, points=3, latents=1, reference=make_sample("calogan"))


def test_a_generator_is_traversed(make_sample):
    reference = make_sample()

    def run(inputs):
        return np.ones((len(inputs["latent"]), *reference.space.shape)) * inputs["energy"][:, :, None, None]

    widget = EnergyInterpolation(Generator("toy", reference.space, run, latent_size=2), points=3, latents=2)
    assert np.allclose(widget.traversal.values[:, 0, 0, 0], [10, 55, 100, 10, 55, 100])


def test_a_sample_cannot_be_traversed(make_sample):
    with pytest.raises(TypeError, match="must be a Generator or a function, received Sample"):
        EnergyInterpolation(make_sample())
