"""A training that loses engines goes on with the same batches on those that are left, and takes in those that come."""

import contextlib
import os
import shutil
import signal
import time

import numpy as np
import pytest

from calolab import distributed, models
from calolab.distributed import elastic, launch
from calolab.training import Recipe, checkpoints

GENTLE = Recipe(learning_rate=1e-5)  # nothing diverges, however long it takes


@pytest.fixture(scope="module")
def three():
    """Three engines, of which some are killed."""
    with distributed.cluster(3, name="three", cores=1) as engines:
        yield engines


def wait_for(run, condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert run.status in ("running", "stopping"), run.wait(timeout=0)
        assert time.monotonic() < deadline, f"not within {seconds} s: {run!r}"
        time.sleep(0.05)


@contextlib.contextmanager
def stopped_at_the_end(run):
    """No test leaves its run to the next."""
    try:
        yield run
    finally:
        run.stop()
        with contextlib.suppress(Exception):
            run.wait(timeout=60)


def arrays(folder):
    with np.load(folder / checkpoints.FILE) as file:
        return {name: file[name] for name in file.files if name != "header"}


def test_training_goes_on_without_rank_0_as_if_it_had_had_two_ranks_and_grows_again(three, make_electrons, tmp_path):
    sample = make_electrons(9)
    build = lambda: models.build("3dgan", sample.space)  # noqa: E731
    options = {"batch_size": 1, "seed": 1, "recipe": GENTLE, "progress": False}
    pids = dict(zip(three.ids, three.client[:].apply_sync(os.getpid), strict=True))
    run = distributed.fit(three, build(), sample, epochs=10_000, checkpoints=tmp_path / "kept", elastic=True, **options)
    with stopped_at_the_end(run):
        wait_for(run, lambda: run.progress and run.progress[0].epoch >= 1)
        os.kill(pids[three.ids[0]], signal.SIGKILL)
        wait_for(run, lambda: run.interruptions)
        shutil.copytree(tmp_path / "kept", tmp_path / "lost")
        lost = run.interruptions[0]
        assert checkpoints.read_header(tmp_path / "lost")["standing"]["epoch"] == lost.epoch >= 1
        assert lost.lost == (0,) and lost.ranks_before == 3 and lost.ranks_after == 2 and run.ids == (1, 2)
        assert "lost engine 0, 3 → 2 ranks" in run.note and "lost engine 0" in run._repr_html_()
        wait_for(run, lambda: run.progress)
        distributed.scale(3, "three")
        wait_for(run, lambda: len(run.interruptions) == 2)
        shutil.copytree(tmp_path / "kept", tmp_path / "grown")
        grown = run.interruptions[1]
        assert checkpoints.read_header(tmp_path / "grown")["standing"]["epoch"] == grown.epoch > lost.epoch
        assert grown.joined == (3,) and grown.lost == () and grown.ranks_after == 3
        wait_for(run, lambda: run.progress and run.progress[0].epoch > grown.epoch)
        run.stop()
        history = run.wait(timeout=60)
    assert run.status == "stopped" and history.ranks == 3 and len(set(run.digests)) == 1
    assert [epoch["epoch"] for epoch in history.epochs] == list(range(len(history.epochs)))
    assert {epoch["events"] for epoch in history.epochs} == {9}
    steps = [(loss["epoch"], loss["step"]) for loss in run.losses]
    assert steps == sorted(set(steps)) and set(steps) >= {(e, s) for e in range(grown.epoch) for s in range(3)}
    # Two ranks share three events: the same batches as three ranks had.
    reference = distributed.fit(
        three,
        build(),
        sample,
        epochs=grown.epoch,
        ranks=2,
        global_batch=3,
        checkpoints=tmp_path / "lost",
        resume=True,
        **options,
    )
    reference.wait(timeout=120)
    after, expected = arrays(tmp_path / "grown"), arrays(tmp_path / "lost")
    assert set(after) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_too_few_engines_and_no_checkpoints_are_refused(two, gan, make_electrons, tmp_path):
    with pytest.raises(ValueError, match="elastic=True needs checkpoints="):
        distributed.fit(two, gan, make_electrons(4), epochs=1, elastic=True)
    with pytest.raises(ValueError, match="min_ranks expects 1 to 2"):
        distributed.fit(two, gan, make_electrons(4), epochs=1, elastic=True, min_ranks=3, checkpoints=tmp_path)


def test_fewer_ranks_than_wanted_end_it_and_resume_goes_on_with_the_same_batches(
    three, gan, make_electrons, tmp_path, monkeypatch
):
    monkeypatch.setattr(elastic, "PATIENCE", 1.0)
    options = {"batch_size": 2, "checkpoints": tmp_path, "recipe": GENTLE, "elastic": True, "progress": False}
    if len(three) < 3:
        distributed.restart(three)
    victim = three.ids[-1]
    pid = three.client[victim].apply_sync(os.getpid)
    run = distributed.fit(three, gan, make_electrons(6), epochs=10_000, min_ranks=3, **options)
    wait_for(run, lambda: run.progress and run.progress[0].epoch >= 1)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(distributed.TrainingFailed, match=r"(?s)died.*2 engines are left.*resume=True"):
        run.wait(timeout=60)
    epochs = checkpoints.read_header(tmp_path)["standing"]["epoch"] + 1
    resumed = distributed.fit(three, gan, make_electrons(6), epochs=epochs, resume=True, **options)
    history = resumed.wait(timeout=90)
    assert history.ranks == 2 and len(history.epochs) == epochs and history.settings["global_batch"] == 6
    assert resumed.status == "finished" and resumed.interruptions == ()


def test_all_engines_of_mpi_start_anew_from_the_checkpoint(by_mpi, gan, make_electrons, tmp_path):
    run = distributed.fit(
        by_mpi,
        gan,
        make_electrons(4),
        epochs=10_000,
        batch_size=2,
        recipe=GENTLE,
        checkpoints=tmp_path,
        elastic=True,
        progress=False,
    )
    with stopped_at_the_end(run):
        wait_for(run, lambda: run.progress and run.progress[0].epoch >= 1)
        rank = launch.processes(launch.read(launch.path_of(by_mpi.name)), ("engines",))[0].children()[0]
        rank.kill()
        wait_for(run, lambda: run.interruptions)
        assert run.interruptions[0].ranks_after == 2 and run.interruptions[0].epoch >= 1
        wait_for(run, lambda: run.progress and run.progress[0].epoch > run.interruptions[0].epoch)
        run.stop()
        assert run.wait(timeout=60).ranks == 2
