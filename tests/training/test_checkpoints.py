import errno
import json
import resource
import signal
import subprocess
import sys
import zipfile
from dataclasses import asdict

import numpy as np
import pytest

from calolab.training import Recipe, checkpoints
from calolab.training.state import TrainingState

ARRAYS = {"generator 0": np.arange(6, dtype=np.float32).reshape(2, 3), "discriminator 0": np.array(3)}
HISTORY = {"epoch": 0, "losses": {"generator": 1.0}, "events": 7, "seconds": 0.5}
SETTINGS = {"seed": 1, "batch_size": 4, "ranks": 2, "recipe": {"weights": {"generation": 2.0}}}


def test_what_is_saved_is_read_back(tmp_path):
    state = TrainingState(epoch=2, step=3, passes=1, step_losses={"real_loss": 0.1}, history=[HISTORY])
    checkpoints.save(tmp_path / "new" / "folder", ARRAYS, state, SETTINGS)
    read, arrays = checkpoints.load(tmp_path / "new" / "folder", SETTINGS, ARRAYS)
    assert asdict(read) == asdict(state)
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1), SETTINGS)
    with pytest.raises(TypeError):
        checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=2), {**SETTINGS, "recipe": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]
    assert checkpoints.load(tmp_path, SETTINGS, ARRAYS)[0].epoch == 1


def test_a_full_disk_is_reported_and_keeps_the_previous_checkpoint(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1), SETTINGS)
    large = {**ARRAYS, "generator 0": np.zeros(100_000)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"npz: .*needs up to 0\.8 MB, .*checkpoint\.npz is unchanged.*resume=True"):
            checkpoints.save(tmp_path, large, TrainingState(epoch=2), SETTINGS)
        with pytest.raises(OSError, match="nothing was written. Free"):
            checkpoints.save(tmp_path / "new", large, TrainingState(epoch=2), SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoint.npz", "new"]
    assert checkpoints.load(tmp_path, SETTINGS, ARRAYS)[0].epoch == 1


def test_other_networks_are_refused(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, TrainingState(), SETTINGS)
    with pytest.raises(ValueError, match="networks other than these"):
        checkpoints.load(tmp_path, SETTINGS, {**ARRAYS, "generator 0": np.zeros((3, 3))})


def test_another_number_of_ranks_can_resume_between_epochs_only(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1), SETTINGS)
    assert checkpoints.load(tmp_path, {**SETTINGS, "ranks": 4}, ARRAYS)[0].epoch == 1
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1, step=1), SETTINGS)
    with pytest.raises(ValueError, match="ranks: 2 before, 4 now"):
        checkpoints.load(tmp_path, {**SETTINGS, "ranks": 4}, ARRAYS)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "checkpoint.npz").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        checkpoints.load(tmp_path, SETTINGS, ARRAYS)


def written(folder, header=None, **arrays):
    """A checkpoint with another header or other arrays than `save` would write."""
    state = {"epoch": 1, "step": 0, "passes": 0}
    right = {"format": checkpoints.FORMAT, "version": checkpoints.VERSION, "settings": SETTINGS, "state": state}
    text = json.dumps(header(right) if header else right)
    np.savez(folder / "checkpoint.npz", header=np.array(text), **{**ARRAYS, **arrays})


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (lambda right: [1], "its header is a JSON list, not an object"),
        (lambda right: {}, "format None version None"),
        (lambda right: right | {"version": "1"}, "version '1'"),
        (lambda right: right | {"settings": []}, "'settings' is a JSON list"),
        (lambda right: right | {"settings": {"ranks": 1}}, "'settings' lacks batch_size"),
        (lambda right: right | {"settings": SETTINGS | {"ranks": "2"}}, "have ranks '2'"),
        (lambda right: right | {"settings": SETTINGS | {"recipe": []}}, "the recipe in its header is a JSON list"),
        (lambda right: right | {"state": {"epoch": 1}}, "'state' lacks step, passes"),
        (lambda right: right | {"state": right["state"] | {"epoch": "1"}}, "'epoch' of the training state .* int"),
        (lambda right: right | {"state": right["state"] | {"step": -1}}, "must be 0 or more"),
        (lambda right: right | {"state": right["state"] | {"epochs": 1}}, "unknown entry 'epochs'"),
        (lambda right: right | {"state": right["state"] | {"history": [1]}}, "an epoch of its history"),
        (lambda right: right | {"state": right["state"] | {"best": {"epoch": 1}}}, "the best epoch"),
        (lambda right: right | {"state": right["state"] | {"step_losses": {"a": "b"}}}, "must be numbers"),
    ],
)
def test_an_invalid_header_is_refused_with_its_file(tmp_path, header, words):
    written(tmp_path, header)
    for read in (checkpoints.read_header, lambda folder: checkpoints.load(folder, SETTINGS, ARRAYS)):
        with pytest.raises(ValueError, match=rf"checkpoint\.npz: damaged.*{words}.*Delete it.*resume=False"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[0, 1, 2], [3, np.nan, np.inf]], np.float32), "'generator 0' has 2 values that are not finite"),
        (np.full((2, 3), "0.5"), "'generator 0' is of type <U3, expected float32"),
        (np.full((2, 3), 1j), "'generator 0' is of type complex128, expected float32"),
    ],
)
def test_weights_that_are_not_finite_are_refused(tmp_path, array, words):
    written(tmp_path, **{"generator 0": array})
    with pytest.raises(ValueError, match=rf"checkpoint\.npz: damaged.*{words}"):
        checkpoints.load(tmp_path, SETTINGS, ARRAYS)


def test_a_checkpoint_that_cannot_be_read_at_present_is_not_reported_as_damaged(tmp_path):
    """Reads at the beginning of this file fail with EIO, as on a failing disk."""
    (tmp_path / "checkpoint.npz").symlink_to("/proc/self/mem")
    for read in (checkpoints.read_header, lambda folder: checkpoints.load(folder, SETTINGS, ARRAYS)):
        with pytest.raises(OSError, match=r"checkpoint\.npz: cannot be read now") as raised:
            read(tmp_path)
        assert raised.value.errno == errno.EIO and "Delete" not in str(raised.value)


def test_too_little_memory_and_a_damaged_size_are_distinguished(tmp_path):
    written(tmp_path)
    path, size = tmp_path / "checkpoint.npz", b"(2, 3), }" + 14 * b" "
    huge = b"(200000000000000, 3), }"
    content = path.read_bytes()
    path.write_bytes(content.replace(size, huge, 1))
    assert path.read_bytes() != content
    with pytest.raises(ValueError, match=r"checkpoint\.npz: damaged"):
        checkpoints.load(tmp_path, SETTINGS, ARRAYS)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).replace(size, huge) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    with pytest.raises(MemoryError, match=r"checkpoint\.npz: not enough memory"):
        checkpoints.load(tmp_path, SETTINGS, ARRAYS)


def test_without_the_best_epoch_the_latest_state_can_be_resumed(tmp_path):
    (tmp_path / "best.npz").write_bytes(b"no archive")
    words = r"best.*checkpoint\.npz, needs no best epoch if resumed with physics_score=None"
    with pytest.raises(ValueError, match=rf"/best\.npz: damaged.*{words[4:]}") as raised:
        checkpoints.load(tmp_path, SETTINGS, ARRAYS, checkpoints.BEST)
    assert "Delete" not in str(raised.value)
    with pytest.raises(FileNotFoundError, match=f"elsewhere/{words}"):
        checkpoints.load(tmp_path / "elsewhere", SETTINGS, ARRAYS, checkpoints.BEST)


def test_a_checkpoint_of_a_later_version_is_refused_with_that_reason(tmp_path):
    written(tmp_path, lambda right: right | {"version": 3})
    with pytest.raises(ValueError, match="version 3.*Update calolab"):
        checkpoints.read_header(tmp_path)


def test_flipped_bytes_and_truncations_are_refused_with_the_file_or_change_nothing(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1, history=[HISTORY]), SETTINGS)
    path, random, refused = tmp_path / "checkpoint.npz", np.random.default_rng(1), 0
    content = path.read_bytes()
    for place in random.choice(len(content), 150, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= int(random.integers(1, 256))
        for whole in (bytes(damaged), content[:place]):
            path.write_bytes(whole)
            try:
                state, arrays = checkpoints.load(tmp_path, SETTINGS, ARRAYS)
            except ValueError as error:
                assert str(path) in str(error)
                refused += 1
            else:
                assert state.history == [HISTORY] and state.epoch == 1
                assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())
    assert refused > 250


def test_files_of_a_killed_save_are_removed_by_the_next(tmp_path):
    code = (
        "import os, signal\nimport numpy as np\nfrom calolab.training import checkpoints\n"
        "from calolab.training.state import TrainingState\n"
        "np.savez = lambda file, **arrays: (file.write(b'half'), file.flush(), os.kill(os.getpid(), signal.SIGKILL))\n"
        f"checkpoints.save({str(tmp_path)!r}, {{}}, TrainingState(), {{}})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1), SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_files_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "checkpoint.npz", header=np.array('{"format": "other"}'))
    with pytest.raises(ValueError, match="'other'"):
        checkpoints.load(tmp_path, SETTINGS, ARRAYS)


def test_a_global_batch_is_kept_on_another_number_of_ranks(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1), {**SETTINGS, "batch_size": 3})
    checkpoints.load(tmp_path, {**SETTINGS, "batch_size": 3, "ranks": 1, "global_batch": 6}, ARRAYS)
    with pytest.raises(ValueError, match="global_batch: 6 before, 3 now"):
        checkpoints.load(tmp_path, {**SETTINGS, "batch_size": 3, "ranks": 1, "global_batch": 3}, ARRAYS)
    assert checkpoints.global_batch(checkpoints.read_header(tmp_path)) == 6
    assert checkpoints.read_header(tmp_path / "nowhere") is None


def test_a_checkpoint_older_than_an_entry_of_the_recipe_is_resumed(tmp_path):
    recipe = Recipe(learning_rate=3e-4).to_dict()
    older = {name: value for name, value in recipe.items() if name != "warmup_epochs"}
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1), {**SETTINGS, "recipe": older})
    assert checkpoints.load(tmp_path, {**SETTINGS, "recipe": recipe}, ARRAYS)[0].epoch == 1
    with pytest.raises(ValueError, match="other settings"):
        checkpoints.load(tmp_path, {**SETTINGS, "recipe": recipe | {"warmup_epochs": 5.0}}, ARRAYS)


def test_a_checkpoint_with_the_former_name_of_an_entry_is_resumed(tmp_path):
    recipe = Recipe(empty_limit=4).to_dict()
    former = {{"empty_limit": "patience"}.get(name, name): value for name, value in recipe.items()}
    checkpoints.save(tmp_path, ARRAYS, TrainingState(epoch=1), {**SETTINGS, "recipe": former})
    assert checkpoints.load(tmp_path, {**SETTINGS, "recipe": recipe}, ARRAYS)[0].epoch == 1
    with pytest.raises(ValueError, match="'empty_limit': 4.*before"):
        checkpoints.load(tmp_path, {**SETTINGS, "recipe": Recipe().to_dict()}, ARRAYS)


def test_a_checkpoint_of_version_1_is_resumed(tmp_path):
    """It has the state under the name standing, scores that are plain numbers, and no CPU."""
    old = {"format": checkpoints.FORMAT, "version": 1, "settings": SETTINGS}
    history = [{**HISTORY, "scores": {"ks_comb": 2.5}}, HISTORY]
    written(tmp_path, lambda right: old | {"standing": {"epoch": 3, "step": 0, "passes": 0, "history": history}})
    state, _ = checkpoints.load(tmp_path, SETTINGS, ARRAYS)
    assert state.epoch == 3 and state.history[1] == HISTORY
    assert state.history[0]["scores"] == {"ks_comb": {"value": 2.5, "direction": "lower"}}
    assert checkpoints.read_header(tmp_path)["state"]["epoch"] == 3
