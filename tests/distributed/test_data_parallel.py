"""Trainings on two real engines: they start, stop and end together, survive failures, and report errors clearly."""

import builtins
import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from calolab import cluster, datasets, distributed, widgets
from calolab.cluster import calls, hub, processes, unattended
from calolab.distributed import data_parallel, meeting, rank
from calolab.training import History, PhysicsScore, Stage, TrainingDiverged, checkpoints
from calolab.training.recipe import Recipe
from calolab.training.snapshots import plane_of
from tests.helpers import wait_for

GENTLE = Recipe(learning_rate=1e-7)  # nothing diverges, however long it takes


def test_fit_returns_at_once_and_wait_puts_the_weights_into_the_gan(two, gan, make_electrons, tmp_path):
    def held(progress):  # until this process has seen the run at work
        deadline = time.monotonic() + 60
        while not (tmp_path / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    before = [w.copy() for w in gan.generator.get_weights()]
    options = {"batch_size": 2, "seed": 1, "callbacks": [held], "progress": False}
    run = distributed.fit(two, gan, make_electrons(7), epochs=2, **options)
    assert run.status == "running"
    with pytest.raises(RuntimeError, match="still work"):
        distributed.fit(two, gan, make_electrons(7), epochs=1)
    with pytest.raises(TimeoutError, match="It continues"):
        run.wait(timeout=0.2)
    (tmp_path / "go").touch()
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


def test_one_of_two_engines_trains_alone(two, gan, make_electrons):
    run = distributed.fit(two, gan, make_electrons(4), epochs=1, batch_size=2, seed=1, progress=False, ranks=1)
    assert run.wait(timeout=120).ranks == 1
    assert run.ids == two.ids[:1] and len(run.digests) == 1


def test_a_time_limit_stops_all_ranks_after_the_same_step(two, gan, make_electrons, tmp_path):
    sample, options = make_electrons(12), {"epochs": 100_000, "batch_size": 2, "time_limit": 1e-6, "progress": False}
    # The second one resumes, and is elastic: a time limit is not a loss, after which it would continue.
    for number, more in ((1, {}), (2, {"resume": True, "elastic": True})):
        run = distributed.fit(two, gan, sample, checkpoints=tmp_path, **options, **more)
        history = run.wait(timeout=120)
        assert run.status == "stopped" and history.stopped and history.reason == "time limit"
        assert history.steps == history.unfinished["steps"] == number and len(set(run.digests)) == 1
        assert [now.time_limit for now in run.progress] == [1e-6, 1e-6]
    with pytest.raises(ValueError, match="time_limit expects a positive number of seconds"):
        distributed.fit(two, gan, sample, epochs=1, time_limit=0)


def test_ctrl_c_in_a_notebook_leaves_a_running_run_which_stop_ends_on_all_ranks(two, gan, make_electrons, monkeypatch):
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    run = distributed.fit(two, gan, make_electrons(4), epochs=100_000, batch_size=2, recipe=GENTLE, progress=False)
    wait_for(lambda: run.progress)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt, match="Stopped: the waiting; the training continues"):
        run.wait()
    assert run.status == "running"
    run.stop()
    assert run.status == "stopping"
    assert run.wait(timeout=30).stopped and run.status == "stopped"
    run.stop()  # there is nothing left to stop
    assert run.status == "stopped"


def test_a_training_that_cannot_be_registered_is_stopped(two, gan, make_electrons, monkeypatch):
    def refuse(*_):
        signal.raise_signal(signal.SIGINT)  # it is postponed until the ranks have been signalled
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unattended, "register", refuse)
    with pytest.raises(KeyboardInterrupt) as stopped:
        distributed.fit(two, gan, make_electrons(4), epochs=10_000, batch_size=2, recipe=GENTLE)
    assert isinstance(stopped.value.__context__, OSError)
    # The hub learns of the work, and of its end, a little later than this process.
    wait_for(lambda: not calls.engines_in_use(two.client) and not any(hub.tasks(two.client, two.ids).values()))


def test_killing_an_engine_raises_within_30_s_and_resume_finishes(two, gan, make_electrons, tmp_path):
    sample, keywords = (
        make_electrons(4),
        {"batch_size": 2, "seed": 2, "recipe": GENTLE, "checkpoints": tmp_path / "kept", "progress": False},
    )
    run = distributed.fit(two, gan, sample, epochs=100_000, **keywords)
    wait_for(lambda: run.progress and run.progress[0].epoch >= 2)
    content = processes.read(processes.path_of(two.name))
    victim = processes.launched(content, ("engines",))[0]
    victim.kill()
    began = time.monotonic()
    with pytest.raises(distributed.TrainingFailed, match=r"(?s)died.*resume=True") as raised:
        run.wait()
    assert time.monotonic() - began < 30
    assert run.status == "failed" and str(tmp_path) in str(raised.value)
    wait_for(lambda: len(two.ids) == 1, 10)
    # The survivor is free and can train alone immediately.
    assert {number: engine.state for number, engine in cluster.status("two").engines.items()} == {two.ids[0]: "idle"}
    alone = distributed.fit(two, gan, sample, epochs=1, batch_size=2, progress=False)
    assert alone.wait(timeout=90).ranks == 1
    restarted = cluster.restart(two)
    assert len(restarted.ids) == 2 and min(restarted.ids) > 1
    epochs = run.progress[0].epoch + 3
    history = distributed.fit(two, gan, sample, epochs=epochs, resume=True, **keywords).wait(timeout=120)
    assert len(history.epochs) == epochs and history.ranks == 2


def test_an_error_on_one_rank_frees_the_other_and_is_reported(two, gan, make_electrons, tmp_path):
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
    wait_for(lambda: {engine.state for engine in cluster.status("two").engines.values()} == {"idle"}, 30)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB, to be filled up; where none can be mounted, the folder itself, and engines limited."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    yield folder, mounted.returncode == 0
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_training_with_the_reason_and_the_remedy(two, gan, make_electrons, small_disk):
    folder, mounted = small_disk
    writer = two.client[two.ids[0]].apply_sync(os.getpid)
    run = distributed.fit(
        two,
        gan,
        make_electrons(4),
        epochs=100_000,
        batch_size=2,
        recipe=GENTLE,
        checkpoints=folder / "kept",
        progress=False,
    )
    wait_for(lambda: checkpoints.read_header(folder / "kept") is not None, 300)

    def filled():
        with open(folder / "filler", "ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(10_000))
        return run.status == "failed"

    if mounted:
        # A checkpoint that was replaced meanwhile has left room for one more.
        wait_for(filled, 60)
    else:
        before = resource.prlimit(writer, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    try:
        expected = r"(?s)kept/checkpoint\.npz: .*(disk|file).* MB free.*resume=True"
        with pytest.raises(distributed.TrainingFailed, match=expected) as raised:
            run.wait(timeout=60)
    finally:
        if not mounted:
            resource.prlimit(writer, resource.RLIMIT_FSIZE, before)
    assert "is unchanged" in str(raised.value) and "free again" in str(raised.value)
    assert [file.name for file in (folder / "kept").iterdir()] == ["checkpoint.npz"]
    assert checkpoints.read_header(folder / "kept")["state"]["epoch"] >= 1
    (folder / "filler").unlink(missing_ok=True)
    options = {"batch_size": 2, "recipe": GENTLE, "checkpoints": folder / "kept", "resume": True, "progress": False}
    epochs = checkpoints.read_header(folder / "kept")["state"]["epoch"] + 1
    history = distributed.fit(two, gan, make_electrons(4), epochs=epochs, **options).wait(timeout=90)
    assert len(history.epochs) == epochs


def test_both_ranks_read_their_part_of_a_stream(two, gan, make_electrons, tmp_path):
    datasets.save(tmp_path / "showers.h5", make_electrons(7))
    stream = datasets.stream(tmp_path / "showers.h5")
    history = distributed.fit(two, gan, stream, epochs=1, batch_size=2, seed=1, progress=False).wait(timeout=120)
    assert history.epochs[0]["events"] == 7 and np.isfinite(list(history.epochs[0]["losses"].values())).all()


def test_a_diverged_training_says_so_and_leaves_the_last_good_weights(two, gan, make_electrons):
    before = [w.copy() for w in gan.generator.get_weights()]
    recipe = Recipe(learning_rate=1e30)
    run = distributed.fit(two, gan, make_electrons(4), epochs=2, batch_size=2, recipe=recipe, progress=False)
    wait_for(lambda: run.status == "failed", 120)
    gan.generator.set_weights([np.zeros_like(w) for w in before])
    # A monitor's thread says why, and leaves the weights to `wait`.
    monitor = widgets.TrainingMonitor(run)
    monitor.close()
    assert "TrainingDiverged" in monitor.message and "not all losses" in monitor.message
    assert not any(w.any() for w in gan.generator.get_weights())
    with pytest.raises(TrainingDiverged, match="not all losses") as raised:
        run.wait(timeout=120)
    assert run.failure is raised.value and "trainings" not in gan.provenance
    assert all(np.array_equal(a, b) for a, b in zip(before, gan.generator.get_weights(), strict=True))


def test_a_missing_checkpoint_is_reported_as_on_one_rank(two, gan, make_electrons, tmp_path):
    run = distributed.fit(
        two, gan, make_electrons(4), epochs=1, batch_size=2, checkpoints=tmp_path, resume=True, progress=False
    )
    with pytest.raises(FileNotFoundError, match="No checkpoint"):
        run.wait(timeout=120)


def test_a_dead_controller_ends_the_waiting_also_for_an_elastic_training(gan, make_electrons, tmp_path):
    with cluster.running(1) as engines:
        options = {"batch_size": 2, "checkpoints": tmp_path, "elastic": True, "progress": False}
        run = distributed.fit(engines, gan, make_electrons(4), epochs=100_000, **options)
        for process in processes.launched(processes.read(processes.path_of(engines.name)), ("controller",)):
            process.kill()
        with pytest.raises(distributed.TrainingFailed, match=r"controller has died.*resume=True"):
            run.wait(timeout=30)
        assert run.status == "failed" and run.interruptions == () and "controller has died" in str(run.failure)


def test_too_few_events_and_unfit_engines_are_refused(two, gan, make_electrons, monkeypatch):
    with pytest.raises(ValueError, match="1 events cannot be shared by 2 ranks"):
        distributed.fit(two, gan, make_electrons(1), epochs=1)
    with pytest.raises(ValueError, match="ranks expects 1 to 2"):
        distributed.fit(two, gan, make_electrons(4), epochs=1, ranks=3)
    facts = meeting.engine_facts(two, two.ids)
    meeting.check_versions(two.ids, facts)
    older = replace(facts[1], versions={**facts[1].versions, "keras": "3.1.0"})
    with pytest.raises(RuntimeError, match=r"has keras 3\.1\.0 instead of"):
        meeting.check_versions(two.ids, [facts[0], older])
    without = replace(facts[1], versions={**facts[1].versions, "tensorflow": "missing"})
    with pytest.raises(RuntimeError, match="has no tensorflow"):
        meeting.check_versions(two.ids, [facts[0], without])
    assert meeting.arrange_meetings(two, two.ids[:1], facts[:1])[0] == [None]


def test_each_rank_of_a_machine_gets_a_gpu_of_its_own_and_keeps_it():
    gpus = ["first", "second"]
    assert [rank.gpu_of_rank(gpus, gpus, local_rank) for local_rank in range(3)] == [*gpus, "first"]
    assert rank.gpu_of_rank(gpus, ["second"], 0) == "second"


def test_the_controller_is_chosen_by_what_horovod_has():
    plain = meeting.EngineFacts("host", "127.0.0.1", {}, frozenset({"gloo", "mpi"}))
    by_mpi = replace(plain, mpi_rank=0, mpi_size=2)
    only = lambda engine, *names: replace(engine, controllers=frozenset(names))  # noqa: E731
    assert meeting.choose_controller([plain, plain]) == "gloo"
    assert meeting.choose_controller([by_mpi, by_mpi]) == "mpi"
    assert meeting.choose_controller([only(by_mpi, "gloo"), by_mpi]) == "gloo"
    with pytest.raises(RuntimeError, match="--engines mpi"):
        meeting.choose_controller([only(plain, "mpi")] * 2)
    with pytest.raises(RuntimeError, match="needs Horovod"):
        meeting.choose_controller([only(plain)] * 2)


def test_the_best_epoch_by_a_physics_score_comes_back(two, gan, make_electrons):
    scores = [3.0, 1.0, 2.0]

    def score(gan):  # sent to the engine with what it holds
        return {"ks_comb": scores.pop(0)}

    recipe = Recipe(learning_rate=1e-5)
    run = data_parallel.fit(
        two,
        gan,
        make_electrons(4),
        epochs=9,
        batch_size=2,
        recipe=recipe,
        physics_score=PhysicsScore(score),
        patience=1,
        progress=False,
    )
    history = run.wait()
    assert history.scores("ks_comb") == [3, 1, 2]
    assert (run.status, run.reason) == ("stopped", "no better ks_comb for 1 epoch")
    assert gan.provenance["trainings"][-1]["best"] == {"epoch": 1, "score": 1.0, "by": "ks_comb"}
    assert len(set(run.digests)) == 1
    # What a monitor shows of it: every epoch's score, and one event that follows the weights.
    assert [(one["epoch"], one["scores"]) for one in run.epochs] == [
        (k, {"ks_comb": {"value": v, "direction": "lower"}}) for k, v in enumerate((3, 1, 2))
    ]
    assert run.judged_by == "ks_comb"
    events = [one["event"] for one in run.epochs]
    assert {event.shape for event in events} == {plane_of(gan.space).shape} and not np.array_equal(events[0], events[2])
    assert run.example["event"].shape == events[0].shape and list(run.example["labels"]) == ["energy"]


def test_names_that_have_moved_say_where_they_are():
    for name in distributed._NOW:
        with pytest.raises(AttributeError, match=f"calolab.distributed.{name} is now calolab"):
            getattr(distributed, name)


def test_two_engines_average_weights_in_stages_with_recipes_of_their_own(two, gan, make_electrons):
    last = {"objective": "hinge", "learning_rate": {"discriminator": 1e-4, "generator": 1e-5}, "clip": 0.1}
    recipe = Recipe(
        learning_rate=1e-5,
        average=0.9,
        stages=(
            Stage("discriminator", 1, {"schedule": "cosine"}),
            Stage(("discriminator", "generator"), recipe={**last, "schedule": "linear"}),
        ),
    )
    seen = [w.copy() for w in gan.generator.get_weights()]
    run = data_parallel.fit(two, gan, make_electrons(8), epochs=2, batch_size=2, recipe=recipe, progress=False)
    history = run.wait(timeout=120)
    assert [("generator" in epoch["losses"]) for epoch in history.epochs] == [False, True]
    assert history.settings["recipe"] == recipe.to_dict() and history.settings["total_epochs"] == 2
    assert len(set(run.digests)) == 1 and len(run.digests) == 2
    assert any(np.any(a != b) for a, b in zip(seen, gan.generator.get_weights(), strict=True))
