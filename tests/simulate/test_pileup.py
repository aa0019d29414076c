"""Pile-up: the drawn collisions are added, mu = 0 adds nothing, and the library is the same after a round trip."""

import errno
import resource

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import spaces
from calolab.particles import Particles, images
from calolab.samples import Sample
from calolab.simulate import pileup, towers
from calolab.simulate.pileup import PileupLibrary

SIZE = 60


def particles(events, seed, kind="towers", mean=20, **labels):
    random = np.random.default_rng(seed)
    counts = random.poisson(mean, events)
    total = counts.sum()
    columns = {
        "pt": random.exponential(1.5, total).astype(np.float32) + 0.1,
        "eta": random.uniform(-3, 3, total).astype(np.float32),
        "phi": random.uniform(-3.14, 3.14, total).astype(np.float32),
        "mass": np.zeros(total, np.float32),
    }
    if kind == "towers":
        energy = columns["pt"] * np.cosh(columns["eta"])
        columns |= {"ecal": energy, "hcal": 0 * energy}
    else:
        columns["identity"] = random.choice(np.array([22, 211, -211, 130], np.int32), total)
    return Particles.from_flat(counts, columns, labels)


LIBRARY = PileupLibrary(particles(SIZE, 1))
EXACT = PileupLibrary(particles(SIZE, 1, "particles"), "particles")


def per_event(sample):
    return sample.values.sum((1, 2), dtype=float)


def energy(events):
    return np.asarray(np.sum(events.energy, axis=1), float)


@given(st.floats(0, 60), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_an_overlay_is_the_sum_of_signal_and_pileup(mu, seed):
    signal = particles(4, 2)
    alone = LIBRARY.draw(4, mu, seed)
    both = pileup.overlay(signal, LIBRARY, mu, seed=seed)
    assert both.fields == signal.fields
    assert np.array_equal(both.counts, signal.counts + alone.counts)
    np.testing.assert_allclose(energy(both), energy(signal) + energy(alone), rtol=1e-4)
    pictures = pileup.overlay(images(signal), LIBRARY, mu, seed=seed)
    np.testing.assert_allclose(pictures.values, images(both).values, rtol=1e-3, atol=1e-3)
    for made in (both, pictures):
        assert np.all(made.labels["mu"] == mu)
        assert np.array_equal(made.labels["collisions"], alone.labels["collisions"])


def test_the_collisions_drawn_are_whole_ones_of_the_library():
    drawn = LIBRARY.draw(30, 5, 3)
    first = {float(one[0]): one for one in map(np.asarray, LIBRARY.collisions.columns.pt)}
    for event, number in zip(drawn.columns.pt, drawn.labels["collisions"]):
        rest, found = np.asarray(event), 0
        while len(rest):
            whole = first[float(rest[0])]
            assert np.array_equal(rest[: len(whole)], whole)
            rest, found = rest[len(whole) :], found + 1
        assert found == number


def test_without_pileup_the_signal_comes_back():
    signal = particles(5, 2, gluino_mass=np.full(5, 1400.0))
    for one in (signal, images(signal)):
        made = pileup.overlay(one, LIBRARY, 0, seed=1)
        if isinstance(one, Sample):
            assert np.array_equal(made.values, one.values)
        else:
            assert made.columns.tolist() == one.columns.tolist()
        assert np.all(made.labels["collisions"] == 0)
        assert np.all(made.labels["gluino_mass"] == 1400)


def test_the_numbers_of_collisions_are_poisson_and_their_energy_adds_up():
    made = LIBRARY.images(4000, 20, 3)
    collisions = made.labels["collisions"]
    assert collisions.mean() == pytest.approx(20, abs=4 * np.sqrt(20 / 4000))
    assert collisions.var() == pytest.approx(20, rel=0.1)
    mean = per_event(images(LIBRARY.collisions)).mean()
    assert per_event(made).sum() == pytest.approx(collisions.sum() * mean, rel=0.02)


def test_mu_may_differ_from_event_to_event():
    mu = np.repeat([0.0, 20.0, 200.0], 200)
    made = LIBRARY.images(600, mu, 4)
    assert np.array_equal(made.labels["mu"], mu)
    energies = per_event(made).reshape(3, 200).mean(1)
    assert energies[0] == 0
    assert energies[2] / energies[1] == pytest.approx(10, rel=0.1)


def test_the_same_seed_gives_the_same_pileup():
    one, same, other = (LIBRARY.images(50, 20, seed) for seed in (5, 5, 6))
    assert np.array_equal(one.values, same.values)
    assert not np.array_equal(one.values, other.values)


def test_pileup_of_particles_is_read_out_as_one_crossing():
    """Together they exceed thresholds that none of them exceeds alone."""
    events = pileup.EXACT_PIECE
    made = EXACT.images(2 * events, 30, 8)
    drawn = EXACT.draw(2 * events, 30, 8)
    expected = images(towers.simulate(drawn.select(slice(events)), seed=pileup._towers_seed(8, 0)))
    assert np.array_equal(made.values[:events], expected.values)
    assert np.array_equal(made.labels["collisions"], drawn.labels["collisions"])
    alone = PileupLibrary(towers.simulate(EXACT.collisions, seed=1)).images(2 * events, 30, 8)
    assert per_event(made).mean() > 1.02 * per_event(alone).mean()


def test_other_spaces_and_earlier_pileup():
    space = spaces.space("jet-image")
    signal = images(particles(6, 2), space)
    once = pileup.overlay(signal, LIBRARY, 3, seed=1)
    assert once.space == space
    twice = pileup.overlay(once, LIBRARY, 4, seed=2)
    assert np.all(twice.labels["mu"] == 7)
    assert np.array_equal(
        twice.labels["collisions"], once.labels["collisions"] + LIBRARY.images(6, 4, 2).labels["collisions"]
    )


def test_events_without_particles_are_events_too():
    empty = particles(3, 1, mean=0)
    made = pileup.overlay(empty, LIBRARY, 10, seed=1)
    assert np.array_equal(made.counts, LIBRARY.draw(3, 10, 1).counts)
    library = PileupLibrary(particles(5, 1, mean=0))
    assert np.all(library.images(4, 10, 1).values == 0)
    assert pileup.overlay(particles(4, 2), library, 10, seed=1).counts.tolist() == particles(4, 2).counts.tolist()


def test_vertices_and_bare_momenta():
    bare = particles(3, 2)
    bare = Particles.from_flat(bare.counts, {name: bare.flat(name) for name in ("pt", "eta", "phi", "mass")})
    assert pileup.overlay(bare, EXACT, 5, seed=1).fields == bare.fields
    signal = particles(3, 2, "particles")
    columns = {name: signal.flat(name) for name in signal.fields} | {x: np.ones(signal.counts.sum()) for x in "xyz"}
    made = pileup.overlay(Particles.from_flat(signal.counts, columns), EXACT, 5, seed=1)
    assert np.sum(made.flat("z")) == signal.counts.sum()


@pytest.mark.parametrize("mu", [-1, np.nan, np.inf, 1e9, "many", [1.0, 2.0], None])
def test_impossible_mu_is_refused(mu):
    with pytest.raises(ValueError, match="mu= expects"):
        LIBRARY.images(3, mu, 1)
    with pytest.raises(ValueError, match="mu= expects"):
        pileup.overlay(particles(3, 2), LIBRARY, mu, seed=1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="These events are towers, but the library contains particles.*kind='towers'"):
        pileup.overlay(particles(2, 1), EXACT, 5, seed=1)
    with pytest.raises(
        ValueError, match="These events are particles, but the library contains towers.*towers.simulate"
    ):
        pileup.overlay(particles(2, 1, "particles"), LIBRARY, 5, seed=1)
    with pytest.raises(ValueError, match="at least one event, received none"):
        pileup.overlay(particles(2, 1).select(slice(0)), LIBRARY, 5, seed=1)
    with pytest.raises(ValueError, match="Particles or a Sample"):
        pileup.overlay(np.zeros((2, 64, 64)), LIBRARY, 5, seed=1)
    with pytest.raises(ValueError, match="axes eta and phi"):
        LIBRARY.images(2, 5, 1, "convergence")
    with pytest.raises(ValueError, match="events= expects a whole number of at least 1, received 0"):
        LIBRARY.images(0, 5, 1)
    with pytest.raises(ValueError, match="at least one collision with the field 'ecal'"):
        PileupLibrary(particles(5, 1, "particles"))
    with pytest.raises(ValueError, match="kind.*received 'tower'"):
        pileup.library(10, seed=1, kind="tower")
    with pytest.raises(ValueError, match="events= expects"):
        pileup.library(0, seed=1)


def test_a_library_is_made_once_and_read_from_then_on(tmp_path, monkeypatch):
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path))
    made = pileup.library(60, seed=3, kind="towers", processes=1, progress=False)
    (file,) = (tmp_path / "pileup").iterdir()
    before = file.stat()
    found = pileup.library(60, seed=3, kind="towers", progress=False)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    for library in (found, pileup.read(file)):
        assert library.kind == "towers"
        assert library.collisions.columns.tolist() == made.collisions.columns.tolist()
        assert library.collisions.origin == made.collisions.origin
        assert np.array_equal(library.images(9, 20, 1).values, made.images(9, 20, 1).values)
    # Once the tables of minimum bias are in the cache, they give the same collisions.
    again = pileup.library(60, seed=3, kind="towers", processes=2, path=tmp_path / "again.npz", progress=False)
    assert again.collisions.columns.tolist() == made.collisions.columns.tolist()
    # Minimum bias: some 40 towers above threshold within the acceptance, and 50 GeV in |eta| < 2.5.
    assert per_event(images(made.collisions)).mean() == pytest.approx(50, rel=0.4)
    with pytest.raises(ValueError, match="another library: 60 collisions .towers. with seed 3"):
        pileup.library(60, seed=4, kind="towers", path=file)
    assert pileup._fingerprint({"kind": "towers", "seed": 3}) != pileup._fingerprint({"kind": "towers", "seed": 4})


def test_no_room_for_a_library_and_a_disk_that_fails(tmp_path):
    wanted, before = {"kind": "particles"}, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"a\.npz: .*needs up to .* MB.*nothing was written.*path=") as raised:
            pileup._write(tmp_path / "a.npz", particles(50, 1), wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG and list(tmp_path.iterdir()) == []
    (tmp_path / "a.npz").symlink_to("/proc/self/mem")  # reading its first bytes fails with EIO
    with pytest.raises(OSError, match=r"a\.npz: cannot be read now") as raised:
        pileup.read(tmp_path / "a.npz")
    assert raised.value.errno == errno.EIO


def test_a_broken_file_is_told(tmp_path):
    file = tmp_path / "library.npz"
    with pytest.raises(ValueError, match="library.npz is not a pile-up library"):
        pileup.read(file)
    for content in (b"", b"not a zip file", b"PK\x03\x04 broken"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="library.npz is not a pile-up library.*Delete it"):
            pileup.library(10, seed=1, path=file)
    np.savez(file, something=np.zeros(3))
    with pytest.raises(ValueError, match="library.npz is not a pile-up library"):
        pileup.read(file)
