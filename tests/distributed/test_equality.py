"""The spine of data-parallel training, over Gloo on local engines and over MPI on those that MPI launched.

Ranks that see different events with different noise hold the same weights after each step, and their averaged gradient
is that of all their events together.
"""

import numpy as np
import pytest

from calolab import datasets, models
from calolab.distributed import rank, shipment
from calolab.training import TrainingRequest, passes
from calolab.training.recipe import Recipe
from tests.tiny import tiny_gan


@pytest.fixture(scope="module", params=["gloo", "mpi"])
def either(request):
    """Two engines whose ranks talk by this controller."""
    return request.getfixturevalue({"gloo": "two", "mpi": "by_mpi"}[request.param])


def test_the_ranks_meet_over_the_controller_that_fits_their_engines(either, meetings):
    assert {meeting.controller for meeting in meetings(either)} == {"gloo" if either.launcher == "local" else "mpi"}


def watched_training(job, networks, functions, values, labels):
    """`train_rank`, with a look at all variables and at the random numbers of the first pass."""
    from calolab.distributed import rank
    from calolab.training import loop

    seen = {}
    draw, variables = loop.draw, loop.store.variables

    def watched_draw(*args, **kwargs):
        drawn = draw(*args, **kwargs)
        seen.setdefault("latent", drawn.latent)
        seen.setdefault("seeds", drawn.seeds)
        return drawn

    def watched_variables(gan, *others):
        weights = {id(v) for network in (gan.generator, gan.discriminator) for v in network.weights}
        found = variables(gan, *others)
        seen["weights"] = {name: v for name, v in found.items() if id(v) in weights}
        seen["slots"] = {name: v for name, v in found.items() if "optimizer" in name}
        return found

    loop.draw, loop.store.variables = watched_draw, watched_variables
    try:
        seen["digest"] = rank.train(job, networks, functions, values, labels)["digest"]
    finally:
        loop.draw, loop.store.variables = draw, variables
    for kind in ("weights", "slots"):
        seen[kind] = {name: v.numpy() for name, v in seen[kind].items()}
    return seen


@pytest.fixture(scope="module")
def ranks(either, on_all, meetings, make_electrons):
    """Both ranks after two steps on different events, seen from inside."""
    sample = make_electrons(7)
    shards = [sample.shard(rank, 2) for rank in range(2)]
    request = TrainingRequest(epochs=1, batch_size=2, seed=3)
    jobs = [rank.RankTask(m, request, sample.space, {}) for m in meetings(either)]
    values, labels = [shard.values for shard in shards], [dict(shard.labels) for shard in shards]
    sent = [shipment.pack_gan(tiny_gan())] * 2, [shipment.pack(((), None), "nothing")] * 2
    return on_all(either, watched_training, per_rank=(jobs, *sent, values, labels))


def test_weights_and_optimizer_slots_are_bit_equal_on_all_ranks(ranks):
    first, second = ranks
    for kind in ("weights", "slots"):
        assert set(first[kind]) == set(second[kind]) and len(first[kind]) > 12
        for name, array in first[kind].items():
            np.testing.assert_array_equal(array, second[kind][name], err_msg=name)
    assert any(np.any(slot != 0) for slot in first["slots"].values())
    assert first["digest"] == second["digest"]


def one_pass(meeting, networks, seen, targets):
    """The discriminator's moving statistics after one pass: with the other ranks, and without."""
    import keras
    import numpy as np

    from calolab.distributed import horovod, shipment
    from calolab.models import registry
    from calolab.training import passes
    from calolab.training.ranks import Alone
    from calolab.training.recipe import Recipe

    communicating, found = horovod.Communicator(meeting), []
    try:
        for parallel in (communicating, Alone()):
            gan = shipment.unpack_gan(networks)
            optimizers = {name: keras.optimizers.RMSprop(0.001) for name in ("generator", "discriminator")}
            for name, optimizer in optimizers.items():
                optimizer.build(getattr(gan, name).trainable_variables)
            step = passes.make_passes(gan, registry.find("3dgan").heads, optimizers, Recipe(), parallel)["real"]
            seeds = np.ones((len(passes.seed_states(gan)), 2), np.int64)
            step(seen, {"real": targets}, 1.0, 0.0, seeds)
            found.append([v.numpy() for v in gan.discriminator.non_trainable_weights])
    finally:
        communicating.shutdown()
    return found


def test_moving_statistics_are_averaged_over_ranks(either, on_all, meetings, gan, make_electrons):
    samples = [make_electrons(2, seed=rank) for rank in range(2)]
    energies = [sample.labels["energy"].astype(np.float32)[:, None] for sample in samples]
    targets = [{"generation": np.ones((2, 1), np.float32), "auxiliary": e / 100, "ecal": e / 40} for e in energies]
    seen = [{"image": sample.values[..., None], "energy": e} for sample, e in zip(samples, energies)]
    packed = shipment.pack_gan(gan)
    first, second = on_all(either, one_pass, per_rank=(meetings(either), [packed] * 2, seen, targets))
    assert any(np.any(own != other) for own, other in zip(first[1], second[1], strict=True))
    for mean, same, own, other in zip(first[0], second[0], first[1], second[1], strict=True):
        np.testing.assert_array_equal(mean, same)
        np.testing.assert_allclose(mean, (own.astype(float) + other) / 2, rtol=1e-5, atol=1e-9)


def test_noise_and_dropout_differ_between_ranks(ranks):
    first, second = ranks
    assert not np.any(first["latent"][0] == second["latent"][0])
    assert len(first["seeds"]) and not np.array_equal(first["seeds"], second["seeds"])


def averaged_gradients(meeting, networks, batch):
    """Both networks' gradients on this rank's events, averaged over the ranks; dropout off, moving statistics."""
    import tensorflow as tf

    from calolab.distributed import horovod, shipment
    from calolab.models import registry
    from calolab.training import passes
    from calolab.training.recipe import Recipe

    gan, heads = shipment.unpack_gan(networks), registry.find("3dgan").heads
    ranks = horovod.Communicator(meeting)
    try:

        @tf.function
        def average(weight):
            real, made = batch["real"], batch["made"]
            real = passes.discriminator_gradients(gan, heads, Recipe(), *real, training=False)[0]
            made = passes.generator_gradients(gan, heads, Recipe(), *made, training=False)[0]
            return ranks.average([weight * g for g in real]), ranks.average([weight * g for g in made])

        return [[g.numpy() for g in network] for network in average(tf.constant(batch["weight"]))]
    finally:
        ranks.shutdown()


def test_averaged_gradient_is_the_gradient_of_the_joined_batch(either, on_all, meetings, gan, make_electrons):
    sample, random = make_electrons(5), np.random.default_rng(1)
    column = sample.labels["energy"].astype(np.float32)[:, None]
    inputs = {"latent": random.standard_normal((5, gan.latent_size), dtype=np.float32), "energy": column}
    targets = {"generation": np.ones((5, 1), np.float32), "auxiliary": column / 100, "ecal": column / 40}
    images, heads = sample.values[..., None], models.find("3dgan").heads

    def part(rows):
        asked = {name: c[rows] for name, c in targets.items()}
        made = {name: c[rows] for name, c in inputs.items()}
        return ({"image": images[rows], "energy": column[rows]}, {"real": asked}), (made, {"generated": asked})

    def batch(rows, weight):
        real, made = part(rows)
        return {"real": real, "made": made, "weight": np.float32(weight)}

    def gradients(rows):
        real, made = part(rows)
        return [
            passes.discriminator_gradients(gan, heads, Recipe(), *real, training=False)[0],
            passes.generator_gradients(gan, heads, Recipe(), *made, training=False)[0],
        ]

    parts = [batch(slice(0, 3), 3 * 2 / 5), batch(slice(3, 5), 2 * 2 / 5)]
    packed = shipment.pack_gan(gan)
    answers = on_all(either, averaged_gradients, per_rank=(meetings(either), [packed] * 2, parts))
    joined, own = gradients(slice(0, 5)), gradients(slice(0, 3))
    for expected, alone, first, second in zip(joined, own, *answers, strict=True):
        # In float32 the order of a sum is worth some 1e-5 of the largest gradient.
        tolerance = 2e-4 * max(np.abs(g).max() for g in expected)
        assert max(np.abs(a - b).max() for a, b in zip(alone, expected, strict=True)) > 50 * tolerance
        for whole, mean, other in zip(expected, first, second, strict=True):
            np.testing.assert_array_equal(mean, other)
            np.testing.assert_allclose(mean, whole, rtol=0, atol=tolerance)


def served(job, values, labels):
    """The energies that a rank sees in one epoch, step by step."""
    import numpy as np

    from calolab import Sample
    from calolab.samples import steps_per_epoch

    data = job.stream if values is None else Sample(np.asarray(values), labels, job.space)
    return [batch.labels["energy"] for batch in data.batches(20, seed=1, steps=steps_per_epoch(101, 20, ranks=2))]


@pytest.mark.parametrize("kind", ["sample", "stream"])
def test_101_events_on_two_ranks_are_each_seen_once(either, on_all, make_electrons, tmp_path, kind):
    sample = make_electrons(101)
    data = sample
    if kind == "stream":
        datasets.save(tmp_path / "electrons.h5", sample)
        data = datasets.stream(tmp_path / "electrons.h5")
    shards = [data.shard(rank, 2) for rank in range(2)]
    if kind == "sample":
        jobs = [rank.RankTask(None, {}, sample.space) for _ in shards]
        steps = on_all(either, served, per_rank=(jobs, [s.values for s in shards], [dict(s.labels) for s in shards]))
    else:
        jobs = [rank.RankTask(None, {}, stream=s) for s in shards]
        steps = on_all(either, served, per_rank=(jobs, *[[None] * 2] * 2))
    assert [len(rank) for rank in steps] == [3, 3]
    seen = np.concatenate([np.concatenate(rank) for rank in steps])
    np.testing.assert_allclose(np.sort(seen), np.sort(sample.labels["energy"]), rtol=1e-6)
