import numpy as np
import pytest

from calolab.generators import Generator
from calolab.widgets import ProfileExplorer, SliceViewer
from calolab.widgets.shared import side_by_side


def test_only_samples_of_one_space_are_displayed_side_by_side(make_sample):
    one = make_sample()
    assert list(side_by_side.named_samples(one, one)) == ["reference", "generated"]
    with pytest.raises(ValueError, match="'clic-ecal' and generated in 'calogan'"):
        side_by_side.named_samples(one, make_sample("calogan"))
    with pytest.raises(ValueError, match="generated has no events"):
        side_by_side.named_samples(one, one.select(slice(0)))
    with pytest.raises(TypeError, match="reference must be a Sample, received ndarray"):
        side_by_side.named_samples(one.values, None)


def test_pairs_are_cut_to_the_shorter_sample_and_others_are_not(make_sample):
    samples = make_sample(events=6), make_sample(events=5)
    paired, note = side_by_side.first_events(*samples, ("full", "fast"), 10, in_pairs=True)
    assert ({name: len(sample) for name, sample in paired.items()}, note) == ({"full": 5, "fast": 5}, "")
    whole, note = side_by_side.first_events(*samples, None, 10, in_pairs=False)
    assert ([len(sample) for sample in whole.values()], note) == ([6, 5], "")
    cut, note = side_by_side.first_events(*samples, None, 5, in_pairs=False)
    assert ([len(sample) for sample in cut.values()], note) == ([5, 5], "The first 5 of 6 events.")


def test_a_generator_is_called_with_the_labels_of_the_first_events(make_sample):
    reference = make_sample(events=6)
    batches = []

    def run(inputs):
        batches.append(inputs["energy"][:, 0])
        return np.broadcast_to(inputs["energy"][:, :, None, None], (len(inputs["energy"]), *reference.space.shape))

    generator = Generator("toy", reference.space, run, latent_size=2)
    samples, note = side_by_side.first_events(reference, generator, None, 4, in_pairs=True, seed=3)
    energies = reference.labels["energy"][:4]
    assert np.allclose(batches[0], energies) and note == "The first 4 of 6 events."
    assert np.allclose(samples["generated"].values[:, 0, 0, 0], energies)
    assert samples["generated"].origin["seed"] == 3
    for widget in (SliceViewer, ProfileExplorer):
        shown = widget(reference, generator, events=4, seed=5)
        assert shown.about["note"] == note and shown._samples["generated"].origin["seed"] == 5
        assert shown._repr_png_()[0].startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="reference has no events"):
        SliceViewer(reference.select(slice(0)), generator)
