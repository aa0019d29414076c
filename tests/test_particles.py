import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import particles, spaces
from calolab.particles import Particles

WHOLE = spaces.space("whole-detector")


def events(counts, seed=0, **more):
    random, n = np.random.default_rng(seed), sum(counts)
    columns = {
        "pt": random.exponential(5.0, n),
        "eta": random.uniform(-4, 4, n),
        "phi": random.uniform(-np.pi, np.pi, n),
        "mass": random.exponential(0.2, n),
    }
    return Particles.from_flat(
        counts, {**columns, **more}, {"gluino_mass": 1400.0 + np.arange(len(counts))}, {"seed": seed}
    )


def test_records_give_back_what_went_in():
    made = events([3, 0, 2], identity=np.array([22, 211, -211, 11, 13]))
    assert len(made) == 3 and made.counts.tolist() == [3, 0, 2]
    assert made.flat("identity").tolist() == [22, 211, -211, 11, 13]
    np.testing.assert_allclose(
        made.flat("energy") ** 2, (made.flat("pt") * np.cosh(made.flat("eta"))) ** 2 + made.flat("mass") ** 2
    )
    chosen = made.select(np.array([2, 0]))
    assert chosen.counts.tolist() == [2, 3] and chosen.labels["gluino_mass"].tolist() == [1402, 1400]
    assert "3 events" in repr(made) and "gluino_mass" in made._repr_html_()


def test_concatenate_and_merge():
    first, second = events([3, 0]), events([1, 4], seed=1)
    joined = particles.concatenate([first, second])
    assert joined.counts.tolist() == [3, 0, 1, 4]
    assert joined.labels["gluino_mass"].tolist() == [1400, 1401, 1400, 1401]
    laid = particles.merge([first, second])
    assert laid.counts.tolist() == [4, 4] and laid.labels["gluino_mass"].tolist() == [1400, 1401]
    np.testing.assert_allclose(
        particles.images(laid).values, particles.images(first).values + particles.images(second).values, rtol=1e-5
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 100))
def test_images_keep_the_energy_inside_the_window(counts, seed):
    made = events(counts, seed)
    image = particles.images(made)
    inside = np.abs(made.flat("eta")) < 2.5
    event = np.repeat(np.arange(len(counts)), counts)
    expected = np.bincount(event[inside], made.flat("energy")[inside], minlength=len(counts))
    np.testing.assert_allclose(image.values.sum(axis=(1, 2), dtype=float), expected, rtol=1e-5)
    assert image.labels["gluino_mass"].tolist() == made.labels["gluino_mass"].tolist()


def test_a_particle_lands_in_its_pixel_edges_included():
    # In single precision -pi and pi are just outside the range and are mapped to the other side.
    eta = WHOLE.edges("eta")
    columns = {
        "pt": np.ones(5),
        "eta": np.array([0.01, -2.5, 2.5, eta[20], 2.6]),
        "phi": np.array([0.01, -np.pi, np.pi, 1.0, 0.0], np.float32),
        "mass": np.zeros(5),
    }
    image = particles.images(Particles.from_flat([1] * 5, columns)).values
    assert [tuple(map(int, np.argwhere(one)[0])) for one in image[:4]] == [(32, 32), (0, 63), (63, 0), (20, 42)]
    assert image[0, 32, 32] == pytest.approx(np.cosh(0.01))
    assert image[4].sum() == 0


def test_a_momentum_image_sums_transverse_momentum():
    made = events([200])
    image = particles.images(made, "jet-image")
    inside = (np.abs(made.flat("eta")) < 1.25) & (np.abs(made.flat("phi")) < 1.25)
    assert image.values.sum() == pytest.approx(made.flat("pt")[inside].sum(), rel=1e-5)


def test_images_and_back_again():
    image = particles.images(events([300, 0, 500]))
    back = particles.from_images(image, minimum_pt=0.0)
    assert back.counts.tolist() == [int(np.count_nonzero(one)) for one in image.values] and back.counts[1] == 0
    np.testing.assert_allclose(particles.images(back).values, image.values, rtol=1e-5)
    least = 4.0
    some = particles.from_images(image, minimum_pt=least)
    pt = image.values / np.cosh(WHOLE.centres("eta"))[:, None]
    np.testing.assert_allclose(np.sort(some.flat("pt")), np.sort(pt[pt > least]), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pt": np.array([-1.0, 1.0])}, "must not be negative"),
        ({"eta": np.array([np.inf, 1.0])}, "not finite"),
        ({"colour": np.zeros(2)}, "fields"),
        ({"pt": np.zeros(3)}, "sum of the counts"),
    ],
)
def test_bad_columns_are_refused(change, message):
    columns = {name: np.ones(2) for name in particles.MOMENTUM}
    with pytest.raises(ValueError, match=message):
        Particles.from_flat([1, 1], {**columns, **change})


def test_bad_requests_are_refused():
    made = events([2, 1])
    with pytest.raises(ValueError, match="shape"):
        Particles(made.columns, {"gluino_mass": np.ones(3)})
    with pytest.raises(ValueError, match="with the fields pt"):
        Particles(ak.Array([1.0, 2.0]))
    with pytest.raises(ValueError, match="These particles have"):
        made.flat("charge")
    with pytest.raises(ValueError, match="eta and phi"):
        particles.images(made, "clic-ecal")
    with pytest.raises(ValueError, match="equal numbers"):
        particles.merge([made, events([1])])
    with pytest.raises(ValueError, match="at least one"):
        particles.concatenate([])
    with pytest.raises(ValueError, match="with the labels"):
        particles.concatenate([made, Particles(made.columns)])
    with pytest.raises(ValueError, match="same fields"):
        particles.merge([made, events([2, 1], identity=np.ones(3))])
