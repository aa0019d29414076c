"""Two real ranks: they hold the same weights, see different events and noise, stop together, and fail clearly."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from calolab import datasets, distributed
from calolab.distributed import communicator, data_parallel, launch
from calolab.training import History, PhysicsScore, TrainingDiverged, passes
from calolab.training.recipe import Recipe


def watched_training(job, networks, values, labels):
    """`train_rank`, with a look at all variables and at the random numbers of the first pass."""
    from calolab.distributed import data_parallel
    from calolab.training import trainer

    seen = {}
    draw, variables = trainer.draw, trainer.store.variables

    def watched_draw(*args, **kwargs):
        drawn = draw(*args, **kwargs)
        seen.setdefault("latent", drawn.latent)
        seen.setdefault("seeds", drawn.seeds)
        return drawn

    def watched_variables(gan, optimizers):
        weights = {id(v) for network in (gan.generator, gan.discriminator) for v in network.weights}
        found = variables(gan, optimizers)
        seen["weights"] = {name: v for name, v in found.items() if id(v) in weights}
        seen["slots"] = {name: v for name, v in found.items() if "optimizer" in name}
        return found

    trainer.draw, trainer.store.variables = watched_draw, watched_variables
    try:
        seen["digest"] = data_parallel.train_rank(job, networks, [], [], values, labels)["digest"]
    finally:
        trainer.draw, trainer.store.variables = draw, variables
    for kind in ("weights", "slots"):
        seen[kind] = {name: v.numpy() for name, v in seen[kind].items()}
    return seen


@pytest.fixture(scope="module")
def ranks(two, on_all, meetings, make_electrons):
    """Both ranks after two steps on different events, seen from inside."""
    from calolab import models

    sample = make_electrons(7)
    gan = models.build("3dgan", sample.space)
    shards = [sample.shard(rank, 2) for rank in range(2)]
    options = {"epochs": 1, "batch_size": 2, "seed": 3}
    jobs = [data_parallel.Job(m, options, sample.space, {}) for m in meetings(two)]
    values, labels = [shard.values for shard in shards], [dict(shard.labels) for shard in shards]
    return on_all(two, watched_training, per_rank=(jobs, [data_parallel._pack(gan)] * 2, values, labels))


def test_weights_and_optimizer_slots_are_bit_equal_on_all_ranks(ranks):
    first, second = ranks
    for kind in ("weights", "slots"):
        assert set(first[kind]) == set(second[kind]) and len(first[kind]) > 20
        for name, array in first[kind].items():
            np.testing.assert_array_equal(array, second[kind][name], err_msg=name)
    assert any(np.any(slot != 0) for slot in first["slots"].values())
    assert first["digest"] == second["digest"]


def one_pass(meeting, networks, seen, targets):
    """The discriminator's moving statistics after one pass: with the other ranks, and by itself."""
    import keras
    import numpy as np

    from calolab.distributed import communicator, data_parallel
    from calolab.training import passes
    from calolab.training.ranks import Alone
    from calolab.training.recipe import Recipe

    communicating, found = communicator.Communicator(meeting), []
    try:
        for parallel in (communicating, Alone()):
            gan = data_parallel._unpack(networks)
            optimizers = {name: keras.optimizers.RMSprop(0.001) for name in ("generator", "discriminator")}
            for name, optimizer in optimizers.items():
                optimizer.build(getattr(gan, name).trainable_variables)
            step = passes.make_passes(gan, optimizers, Recipe(), parallel)["real"]
            seeds = np.ones((len(passes.seed_states(gan)), 2), np.int64)
            step(seen, {"real": targets}, 1.0, 0.0, seeds)
            found.append([v.numpy() for v in gan.discriminator.non_trainable_weights])
    finally:
        communicating.shutdown()
    return found


def test_moving_statistics_are_averaged_over_ranks(two, on_all, meetings, gan, make_electrons):
    samples = [make_electrons(2, seed=rank) for rank in range(2)]
    energies = [sample.labels["energy"].astype(np.float32)[:, None] for sample in samples]
    targets = [{"generation": np.ones((2, 1), np.float32), "auxiliary": e / 100, "ecal": e / 40} for e in energies]
    seen = [{"image": sample.values[..., None], "energy": e} for sample, e in zip(samples, energies)]
    packed = data_parallel._pack(gan)
    first, second = on_all(two, one_pass, per_rank=(meetings(two), [packed] * 2, seen, targets))
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

    from calolab.distributed import communicator, data_parallel
    from calolab.training import passes
    from calolab.training.recipe import Recipe

    gan = data_parallel._unpack(networks)
    ranks = communicator.Communicator(meeting)
    try:

        @tf.function
        def average(weight):
            real, made = batch["real"], batch["made"]
            real = passes.discriminator_gradients(gan, Recipe(), *real, training=False)[0]
            made = passes.generator_gradients(gan, Recipe(), *made, training=False)[0]
            return ranks.average([weight * g for g in real]), ranks.average([weight * g for g in made])

        return [[g.numpy() for g in network] for network in average(tf.constant(batch["weight"]))]
    finally:
        ranks.shutdown()


def test_averaged_gradient_is_the_gradient_of_the_joined_batch(two, on_all, meetings, gan, make_electrons):
    sample, random = make_electrons(5), np.random.default_rng(1)
    column = sample.labels["energy"].astype(np.float32)[:, None]
    inputs = {"latent": random.standard_normal((5, gan.latent_size), dtype=np.float32), "energy": column}
    targets = {"generation": np.ones((5, 1), np.float32), "auxiliary": column / 100, "ecal": column / 40}
    images = sample.values[..., None]

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
            passes.discriminator_gradients(gan, Recipe(), *real, training=False)[0],
            passes.generator_gradients(gan, Recipe(), *made, training=False)[0],
        ]

    parts = [batch(slice(0, 3), 3 * 2 / 5), batch(slice(3, 5), 2 * 2 / 5)]
    packed = data_parallel._pack(gan)
    answers = on_all(two, averaged_gradients, per_rank=(meetings(two), [packed] * 2, parts))
    joined, own = gradients(slice(0, 5)), gradients(slice(0, 3))
    for expected, alone, first, second in zip(joined, own, *answers, strict=True):
        # The sums over 15,625 cells have terms of both signs: in float32 their order is worth 4e-5 of the largest.
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
def test_101_events_on_two_ranks_are_each_seen_once(two, on_all, make_electrons, tmp_path, kind):
    sample = make_electrons(101)
    data = sample
    if kind == "stream":
        datasets.save(tmp_path / "electrons.h5", sample)
        data = datasets.stream(tmp_path / "electrons.h5")
    shards = [data.shard(rank, 2) for rank in range(2)]
    if kind == "sample":
        jobs = [data_parallel.Job(None, {}, sample.space) for _ in shards]
        steps = on_all(two, served, per_rank=(jobs, [s.values for s in shards], [dict(s.labels) for s in shards]))
    else:
        steps = on_all(
            two, served, per_rank=([data_parallel.Job(None, {}, stream=s) for s in shards], *[[None] * 2] * 2)
        )
    assert [len(rank) for rank in steps] == [3, 3]
    seen = np.concatenate([np.concatenate(rank) for rank in steps])
    np.testing.assert_allclose(np.sort(seen), np.sort(sample.labels["energy"]), rtol=1e-6)


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def test_fit_returns_at_once_and_wait_puts_the_weights_into_the_gan(two, gan, make_electrons):
    before = [w.copy() for w in gan.generator.get_weights()]
    began = time.monotonic()
    run = distributed.fit(two, gan, make_electrons(7), epochs=2, batch_size=2, seed=1, progress=False)
    assert time.monotonic() - began < 15 and run.status == "running"
    with pytest.raises(RuntimeError, match="still work"):
        distributed.fit(two, gan, make_electrons(7), epochs=1)
    with pytest.raises(TimeoutError, match="goes on"):
        run.wait(timeout=0.2)
    history = run.wait(timeout=120)
    assert isinstance(history, History) and len(history.epochs) == 2 and history.ranks == 2 and not history.stopped
    assert run.status == "finished" and run.wait() is history
    assert [now.rank for now in run.progress] == [0, 1] and {now.epoch for now in run.progress} == {1}
    assert [(loss["epoch"], loss["step"]) for loss in run.losses] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(np.isfinite(list(loss.values())).all() for loss in run.losses)
    assert any(np.any(a != b) for a, b in zip(before, gan.generator.get_weights(), strict=True))
    training = gan.provenance["trainings"][-1]
    assert training["ranks"] == 2 and training["events"] == 7
    assert training["labels"]["energy"] == [
        make_electrons(7).labels["energy"].min(),
        make_electrons(7).labels["energy"].max(),
    ]


def test_one_of_two_engines_trains_by_itself(two, gan, make_electrons):
    run = distributed.fit(two, gan, make_electrons(4), epochs=1, batch_size=2, seed=1, progress=False, ranks=1)
    assert run.wait(timeout=120).ranks == 1
    assert run.ids == two.ids[:1] and len(run.digests) == 1


def test_ctrl_c_leaves_a_running_run_which_stop_ends_on_all_ranks(two, gan, make_electrons):
    run = distributed.fit(
        two, gan, make_electrons(4), epochs=10_000, batch_size=2, recipe=Recipe(learning_rate=1e-7), progress=False
    )
    wait_for(lambda: run.progress)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run.wait()
    assert run.status == "running"
    run.stop()
    assert run.status == "stopping"
    assert run.wait(timeout=30).stopped and run.status == "stopped"
    run.stop()  # there is nothing left to stop
    assert run.status == "stopped"


def test_killing_an_engine_raises_within_30_s_and_resume_finishes(two, gan, make_electrons, tmp_path):
    sample, keywords = (
        make_electrons(4),
        {"batch_size": 2, "seed": 2, "checkpoints": tmp_path / "kept", "progress": False},
    )
    run = distributed.fit(two, gan, sample, epochs=10_000, **keywords)
    wait_for(lambda: run.progress and run.progress[0].epoch >= 2)
    content = launch.read(launch.path_of(two.name))
    victim = launch.processes(content, ("engines",))[0]
    victim.kill()
    began = time.monotonic()
    with pytest.raises(distributed.TrainingFailed, match=r"(?s)died.*resume=True") as raised:
        run.wait()
    assert time.monotonic() - began < 30
    assert run.status == "failed" and str(tmp_path) in str(raised.value)
    wait_for(lambda: len(two.ids) == 1, 10)
    # The survivor is free and can train by itself at once.
    assert distributed.status("two").engines == {two.ids[0]: "idle"}
    alone = distributed.fit(two, gan, sample, epochs=1, batch_size=2, progress=False)
    assert alone.wait(timeout=90).ranks == 1
    restarted = distributed.restart(two)
    assert len(restarted.ids) == 2 and min(restarted.ids) > 1
    epochs = run.progress[0].epoch + 3
    history = distributed.fit(two, gan, sample, epochs=epochs, resume=True, **keywords).wait(timeout=120)
    assert len(history.epochs) == epochs and history.ranks == 2


def test_an_error_on_one_rank_frees_the_other_and_is_told(two, gan, make_electrons, tmp_path):
    datasets.save(tmp_path / "gone.h5", make_electrons(6))
    stream = datasets.stream(tmp_path / "gone.h5")
    (tmp_path / "gone.h5").unlink()
    stub = make_electrons(6)

    class HalfGone:  # rank 0's events are there, rank 1's file is not
        labels, space = stub.labels, stub.space

        def __len__(self):
            return 6

        def shard(self, rank, size):
            return stub.shard(rank, size) if rank == 0 else stream.shard(rank, size)

    began = time.monotonic()
    with pytest.raises(FileNotFoundError, match=r"gone\.h5"):
        distributed.fit(two, gan, HalfGone(), epochs=1, batch_size=2, progress=False).wait()
    assert time.monotonic() - began < 60
    wait_for(lambda: set(distributed.status("two").engines.values()) == {"idle"}, 30)


def test_both_ranks_read_their_part_of_a_stream(two, gan, make_electrons, tmp_path):
    datasets.save(tmp_path / "showers.h5", make_electrons(7))
    stream = datasets.stream(tmp_path / "showers.h5")
    history = distributed.fit(two, gan, stream, epochs=1, batch_size=2, seed=1, progress=False).wait(timeout=120)
    assert history.epochs[0]["events"] == 7 and np.isfinite(list(history.epochs[0]["losses"].values())).all()


def test_a_diverged_training_says_so_and_leaves_the_last_good_weights(two, gan, make_electrons):
    before = [w.copy() for w in gan.generator.get_weights()]
    recipe = Recipe(learning_rate=1e30)
    run = distributed.fit(two, gan, make_electrons(4), epochs=2, batch_size=2, recipe=recipe, progress=False)
    with pytest.raises(TrainingDiverged, match="not all losses"):
        run.wait(timeout=120)
    assert run.status == "failed" and "trainings" not in gan.provenance
    assert all(np.array_equal(a, b) for a, b in zip(before, gan.generator.get_weights(), strict=True))


def test_nothing_to_resume_from_is_told_as_on_one_rank(two, gan, make_electrons, tmp_path):
    run = distributed.fit(
        two, gan, make_electrons(4), epochs=1, batch_size=2, checkpoints=tmp_path, resume=True, progress=False
    )
    with pytest.raises(FileNotFoundError, match="No checkpoint"):
        run.wait(timeout=120)


def test_a_dead_controller_ends_the_waiting(gan, make_electrons):
    with distributed.cluster(1) as engines:
        run = distributed.fit(engines, gan, make_electrons(4), epochs=10_000, batch_size=2, progress=False)
        for process in launch.processes(launch.read(launch.path_of(engines.name)), ("controller",)):
            process.kill()
        with pytest.raises(distributed.TrainingFailed, match="controller has died"):
            run.wait(timeout=30)


def test_too_few_events_and_unfit_engines_are_refused(two, gan, make_electrons, monkeypatch):
    with pytest.raises(ValueError, match="1 events cannot be shared by 2 ranks"):
        distributed.fit(two, gan, make_electrons(1), epochs=1)
    with pytest.raises(ValueError, match="ranks expects 1 to 2"):
        distributed.fit(two, gan, make_electrons(4), epochs=1, ranks=3)
    facts = data_parallel.engine_facts(two, two.ids)
    data_parallel._check_versions(two.ids, facts)
    older = replace(facts[1], versions={**facts[1].versions, "keras": "3.1.0"})
    with pytest.raises(RuntimeError, match=r"has keras 3\.1\.0 instead of"):
        data_parallel._check_versions(two.ids, [facts[0], older])
    without = replace(facts[1], versions={**facts[1].versions, "tensorflow": "missing"})
    with pytest.raises(RuntimeError, match="has no tensorflow"):
        data_parallel._check_versions(two.ids, [facts[0], without])
    assert data_parallel.arrange_meetings(two, two.ids[:1], facts[:1])[0] == [None]


def test_the_controller_is_chosen_by_what_horovod_has():
    plain = communicator.EngineFacts("host", "127.0.0.1", {}, frozenset({"gloo", "mpi"}))
    by_mpi = replace(plain, mpi_rank=0, mpi_size=2)
    only = lambda engine, *names: replace(engine, controllers=frozenset(names))  # noqa: E731
    assert communicator.choose_controller([plain, plain]) == "gloo"
    assert communicator.choose_controller([by_mpi, by_mpi]) == "mpi"
    assert communicator.choose_controller([only(by_mpi, "gloo"), by_mpi]) == "gloo"
    with pytest.raises(RuntimeError, match="--engines mpi"):
        communicator.choose_controller([only(plain, "mpi")] * 2)
    with pytest.raises(RuntimeError, match="needs Horovod"):
        communicator.choose_controller([only(plain)] * 2)


def test_the_best_epoch_by_a_physics_score_comes_back(two, gan, make_electrons):
    told = [3.0, 1.0, 2.0]

    def score(gan):  # sent to the engine with what it holds
        return {"ks_comb": told.pop(0)}

    recipe = Recipe(learning_rate=1e-5)
    run = data_parallel.fit(
        two,
        gan,
        make_electrons(4),
        epochs=3,
        batch_size=2,
        recipe=recipe,
        physics_score=PhysicsScore(score),
        progress=False,
    )
    history = run.wait()
    assert history.scores("ks_comb") == [3, 1, 2]
    assert gan.provenance["trainings"][-1]["best"] == {"epoch": 1, "score": 1.0, "by": "ks_comb"}
    assert len(set(run.digests)) == 1
