import pytest

from calolab.training import Recipe


def test_the_published_numbers():
    recipe = Recipe()
    assert recipe.weights == {"generation": 2.0, "auxiliary": 0.1, "ecal": 0.1}
    assert (recipe.flip, recipe.learning_rate, recipe.decay) == (0.05, 1e-3, 0.9)
    assert recipe.passes == ("real", "fake", "generator", "generator")


@pytest.mark.parametrize(
    "wrong",
    [{"flip": 0.6}, {"flip": -0.1}, {"learning_rate": 0}, {"decay": 1.0}, {"generator_passes": 0}, {"patience": 0}],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)
