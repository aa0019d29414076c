import numpy as np
import pytest

from calolab import simulate, spaces
from calolab.spaces import Slab, Space, pad_edges, stack


def gflash(space="clic-ecal", events=4, energy=20.0, **settings):
    return simulate.showers(space, events, energy, progress=False, **{"method": "gflash", "seed": 1, **settings})


def small(slabs, layers=4, edges=None, units=("mm", "mm", "mm")):
    edges = pad_edges(5, 10.0) if edges is None else edges
    return Space("small", ("x", "y", "z"), units, stack([slabs] * layers, [(edges, edges)] * layers))


LEAD = (Slab("Pb", 4.0), Slab("lAr", 4.0, sensitive=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": "clik-ecal"}, "Nearest: clic-ecal"),
        ({"space": "calogan"}, "does not define the materials"),
        ({"space": small((Slab("W", 1.0),))}, "one sensitive slab"),
        ({"space": small(LEAD, edges=(0.0, 1.0, 3.0))}, "equal cells along x"),
        ({"space": small(LEAD, units=("cm", "mm", "mm"))}, "axes in mm"),
        ({"space": small((Slab("Unobtainium", 1.0), Slab("Si", 1.0, sensitive=True)))}, "no constants for material"),
        ({"events": 0}, "events=.*at least 1"),
        ({"events": 2.5}, "events=.*whole number"),
        ({"seed": -1}, "seed=.*at least 0"),
        ({"processes": 0}, "processes=.*at least 1"),
        ({"energy": 0.5}, "from 1 to 500 GeV, received 0.5"),
        ({"energy": (100, 501)}, "from 1 to 500 GeV, received 100 to 501"),
        ({"energy": (50, 10)}, "low < high"),
        ({"energy": np.array([10.0, 20.0, 30.0])}, r"shape \(4,\).*received shape \(3,\)"),
        ({"energy": float("nan")}, "from 1 to 500 GeV"),
        ({"particle": "pi+"}, "Unknown particle 'pi\\+'.*gamma"),
        ({"method": "geant5"}, "Unknown method 'geant5'.*Nearest: geant4"),
        ({"angle": np.pi / 2}, "normal incidence only.*clic-ecal-51"),
        ({"space": "clic-ecal-51", "angle": 1.0}, "from 1.047 to 2.094 rad, received 1"),
        ({"space": "clic-ecal-51", "angle": (np.pi / 2, np.pi)}, "1.571 to 3.142"),
        ({"physics": "FTFP_BERT"}, "option of Geant4"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(arguments, message):
    with pytest.raises(ValueError, match=message):
        gflash(**arguments)


def test_energies_may_be_one_number_a_range_or_one_per_shower():
    assert gflash(energy=20).labels["energy"].tolist() == [20.0] * 4
    assert gflash(energy=np.array([10.0, 20, 30, 40])).labels["energy"].tolist() == [10, 20, 30, 40]
    uniform = gflash(energy=(10, 100), events=1500).labels["energy"]
    assert 10 <= uniform.min() < 11
    assert 99 < uniform.max() <= 100
    assert uniform.mean() == pytest.approx(55, abs=2.5)


def test_labels_and_origin_say_what_was_simulated():
    normal = gflash(particle="gamma", seed=3)
    assert set(normal.labels) == {"energy"}
    assert normal.origin == {"simulation": "gflash", "particle": "gamma", "seed": 3}
    tilted = gflash("clic-ecal-51", angle=(np.pi / 3, 2 * np.pi / 3), energy=(10, 100))
    assert set(tilted.labels) == {"energy", "theta"}
    assert np.ptp(tilted.labels["theta"]) > 0
    # The two labels must not be drawn from the same random numbers.
    assert not np.allclose((tilted.labels["energy"] - 10) / 90, tilted.labels["theta"] * 3 / np.pi - 1)


def test_more_showers_of_a_seed_begin_with_the_same_energies():
    few, many = gflash(events=5, energy=(10, 50)), gflash(events=9, energy=(10, 50))
    assert np.array_equal(few.labels["energy"], many.labels["energy"][:5])


def test_hits_are_the_deposits_that_showers_add_up():
    hits = simulate.hits("clic-ecal", 70, (10, 50), seed=2, method="gflash", progress=False)
    sample = gflash(events=70, energy=(10, 50), seed=2)
    space = spaces.space("clic-ecal")
    cells = np.stack([hits.x, hits.y, hits.z], axis=1)
    binned = np.stack(
        [
            np.histogramdd(
                cells[hits.event == event],
                [space.edges(axis) for axis in space.axes],
                weights=hits.energy[hits.event == event],
            )[0]
            for event in range(70)
        ]
    )
    assert np.array_equal(hits.labels["energy"], sample.labels["energy"])
    # A spot on the border of two cells may fall on either side of it in float32.
    assert np.isclose(binned, sample.values, rtol=1e-4, atol=1e-9).mean() > 0.9999
    assert "70 showers" in repr(hits) and "clic-ecal" in hits._repr_html_()
