"""A training that loses engines continues with the same batches on the remaining ones, and takes in new ones."""

import contextlib
import os
import shutil
import signal

import numpy as np
import pytest

from calolab import cluster, distributed, widgets
from calolab.cluster import time_limits
from calolab.training import Recipe, checkpoints
from calolab.training.snapshots import plane_of
from tests.helpers import wait_for
from tests.tiny import tiny_gan

GENTLE = Recipe(learning_rate=1e-7)  # nothing diverges, however long it takes


@pytest.fixture(scope="module")
def three():
    """Three engines, of which some are killed."""
    with cluster.running(3, name="three", cores=1) as engines:
        yield engines


def until(run, condition):
    def reached():
        if condition():
            return True
        assert run.status in ("running", "stopping"), run.wait(timeout=0)
        return False

    wait_for(reached, 300)


@contextlib.contextmanager
def stopped_at_the_end(run):
    """No test leaves its run to the next."""
    try:
        yield run
    finally:
        run.stop()
        with contextlib.suppress(Exception):
            run.wait(timeout=60)


def epochs_done(folder):
    return checkpoints.read_header(folder)["state"]["epoch"]


def arrays(folder):
    with np.load(folder / checkpoints.FILE) as file:
        return {name: file[name] for name in file.files if name != "header"}


def test_training_continues_as_if_it_had_had_two_ranks_and_grows_again_and_is_resumed(
    three, make_electrons, tmp_path, monkeypatch
):
    sample = make_electrons(6)
    options = {"batch_size": 1, "seed": 1, "recipe": GENTLE, "progress": False}
    pids = dict(zip(three.ids, three.client[:].apply_sync(os.getpid), strict=True))
    kept = {"checkpoints": tmp_path / "kept", "elastic": True, **options}
    run = distributed.fit(three, tiny_gan(), sample, epochs=100_000, min_ranks=2, **kept)
    with stopped_at_the_end(run):
        until(run, lambda: run.progress and run.progress[0].epoch >= 1)
        os.kill(pids[0], signal.SIGKILL)
        until(run, lambda: run.interruptions)
        shutil.copytree(tmp_path / "kept", tmp_path / "lost")
        lost = run.interruptions[0]
        assert epochs_done(tmp_path / "lost") == lost.epoch >= 1
        assert lost.lost == (0,) and lost.ranks_before == 3 and lost.ranks_after == 2 and run.ids == (1, 2)
        assert "lost engine 0, 3 → 2 ranks" in run.note and "lost engine 0" in run._repr_html_()
        cluster.scale(3, "three")
        until(run, lambda: len(run.interruptions) == 2)
        shutil.copytree(tmp_path / "kept", tmp_path / "grown")
        grown = run.interruptions[1]
        assert epochs_done(tmp_path / "grown") == grown.epoch > lost.epoch
        assert grown.joined == (3,) and grown.lost == () and grown.ranks_after == 3
        until(run, lambda: run.progress and run.progress[0].epoch > grown.epoch)
        steps = [(loss["epoch"], loss["step"]) for loss in run.losses]
        assert steps == sorted(set(steps)) and set(steps) >= {(e, s) for e in range(grown.epoch) for s in range(2)}
        # Each epoch's event is kept, also of those before the engine was lost.
        assert [one["epoch"] for one in run.epochs][: grown.epoch + 1] == list(range(grown.epoch + 1))
        # The engine that was killed may not have sent its last one.
        events = [one["event"] for one in run.epochs if one["event"] is not None]
        assert {event.shape for event in events} == {plane_of(sample.space).shape} and len(events) >= len(
            run.epochs
        ) - 1
        monitor = widgets.TrainingMonitor(run)
        assert monitor.status == "running" and len(monitor.ranks) == 3
        monitor.close()
        monkeypatch.setattr(time_limits, "TRAINING_RESUMES_WITHIN", 1.0)
        for pid in (pids[1], pids[2]):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(
            distributed.TrainingFailed, match=r"(?s)2 engines are needed, and 1 is left.*died.*resume=True"
        ) as raised:
            run.wait(timeout=300)
        assert run.status == "failed" and run.failure is raised.value
    epochs = epochs_done(tmp_path / "kept") + 1
    resumed = distributed.fit(three, tiny_gan(), sample, epochs=epochs, resume=True, **kept)
    history = resumed.wait(timeout=300)
    assert resumed.status == "finished" and resumed.interruptions == () and history.ranks == 1
    assert [epoch["epoch"] for epoch in history.epochs] == list(range(epochs))
    assert {epoch["events"] for epoch in history.epochs} == {6} and history.settings["global_batch"] == 3
    # The reference: two ranks from the beginning of that stretch on, which share three events as the three had done.
    cluster.scale(2, "three")
    distributed.fit(
        three,
        tiny_gan(),
        sample,
        epochs=grown.epoch,
        ranks=2,
        global_batch=3,
        checkpoints=tmp_path / "lost",
        resume=True,
        **options,
    ).wait(timeout=300)
    after, expected = arrays(tmp_path / "grown"), arrays(tmp_path / "lost")
    assert set(after) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_too_few_engines_and_no_checkpoints_are_refused(two, gan, make_electrons, tmp_path):
    with pytest.raises(ValueError, match="elastic=True needs checkpoints="):
        distributed.fit(two, gan, make_electrons(4), epochs=1, elastic=True)
    with pytest.raises(ValueError, match="min_ranks expects 1 to 2"):
        distributed.fit(two, gan, make_electrons(4), epochs=1, elastic=True, min_ranks=3, checkpoints=tmp_path)


def test_slurm_engines_that_die_are_survived(gan, make_electrons, tmp_path):
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed: .ci/slurm start")
    options = {"batch_size": 2, "recipe": GENTLE, "checkpoints": tmp_path, "elastic": True, "progress": False}
    with cluster.running(2, "slurm", cores=1) as engines:
        first, last = engines.ids
        pid = engines.client[first].apply_sync(os.getpid)
        run = distributed.fit(engines, gan, make_electrons(4), epochs=100_000, **options)
        with stopped_at_the_end(run):
            until(run, lambda: run.progress and run.progress[0].epoch >= 1)
            os.kill(pid, signal.SIGKILL)
            until(run, lambda: run.interruptions)
            assert run.ids == (last,) and run.interruptions[0].lost == (first,)
            assert run.interruptions[0].epoch >= 1
            until(run, lambda: run.progress and run.progress[0].epoch > run.interruptions[0].epoch)
            run.stop()
            history = run.wait(timeout=60)
    assert history.ranks == 1 and {epoch["events"] for epoch in history.epochs} == {4}
