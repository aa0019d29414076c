import pytest

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
