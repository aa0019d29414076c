import resource
from dataclasses import asdict

import numpy as np
import pytest

from calolab.training import Recipe, checkpoints
from calolab.training.standing import Standing

ARRAYS = {"generator 0": np.arange(6, dtype=np.float32).reshape(2, 3), "discriminator 0": np.array(3)}
SHAPES = {name: array.shape for name, array in ARRAYS.items()}
SETTINGS = {"seed": 1, "ranks": 2, "recipe": {"weights": {"generation": 2.0}}}


def test_what_is_saved_is_read_back(tmp_path):
    standing = Standing(epoch=2, step=3, passes=1, step_losses={"real_loss": 0.1}, history=[{"epoch": 0}])
    checkpoints.save(tmp_path / "new" / "folder", ARRAYS, standing, SETTINGS)
    read, arrays = checkpoints.load(tmp_path / "new" / "folder", SETTINGS, SHAPES)
    assert asdict(read) == asdict(standing)
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_a_failed_save_keeps_the_checkpoint_before_it(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, Standing(epoch=1), SETTINGS)
    with pytest.raises(TypeError):
        checkpoints.save(tmp_path, ARRAYS, Standing(epoch=2), {**SETTINGS, "recipe": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]
    assert checkpoints.load(tmp_path, SETTINGS, SHAPES)[0].epoch == 1


def test_no_room_for_a_checkpoint_is_told_and_keeps_the_one_before_it(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, Standing(epoch=1), SETTINGS)
    large = {**ARRAYS, "generator 0": np.zeros(100_000)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"No room .* takes 0\.8 MB, .* still the one before it"):
            checkpoints.save(tmp_path, large, Standing(epoch=2), SETTINGS)
        with pytest.raises(OSError, match="none was there before"):
            checkpoints.save(tmp_path / "new", large, Standing(epoch=2), SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoint.npz", "new"]
    assert checkpoints.load(tmp_path, SETTINGS, SHAPES)[0].epoch == 1


def test_other_networks_are_refused(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, Standing(), SETTINGS)
    with pytest.raises(ValueError, match="other networks"):
        checkpoints.load(tmp_path, SETTINGS, {**SHAPES, "generator 0": (3, 3)})


def test_another_number_of_ranks_can_take_over_between_epochs_only(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, Standing(epoch=1), SETTINGS)
    assert checkpoints.load(tmp_path, {**SETTINGS, "ranks": 4}, SHAPES)[0].epoch == 1
    checkpoints.save(tmp_path, ARRAYS, Standing(epoch=1, step=1), SETTINGS)
    with pytest.raises(ValueError, match="ranks: 2 before, 4 now"):
        checkpoints.load(tmp_path, {**SETTINGS, "ranks": 4}, SHAPES)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "checkpoint.npz").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        checkpoints.load(tmp_path, SETTINGS, SHAPES)


def test_files_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "checkpoint.npz", header=np.array('{"format": "other"}'))
    with pytest.raises(ValueError, match="'other'"):
        checkpoints.load(tmp_path, SETTINGS, SHAPES)


def test_a_global_batch_stays_on_another_number_of_ranks(tmp_path):
    checkpoints.save(tmp_path, ARRAYS, Standing(epoch=1), {**SETTINGS, "batch_size": 3})
    checkpoints.load(tmp_path, {**SETTINGS, "batch_size": 3, "ranks": 1, "global_batch": 6}, SHAPES)
    with pytest.raises(ValueError, match="global_batch: 6 before, 3 now"):
        checkpoints.load(tmp_path, {**SETTINGS, "batch_size": 3, "ranks": 1, "global_batch": 3}, SHAPES)
    assert checkpoints.global_batch(checkpoints.read_header(tmp_path)) == 6
    assert checkpoints.read_header(tmp_path / "nowhere") is None


def test_a_checkpoint_from_before_a_part_of_the_recipe_was_known_is_resumed(tmp_path):
    recipe = Recipe(learning_rate=3e-4).to_dict()
    older = {name: value for name, value in recipe.items() if name != "warmup_epochs"}
    checkpoints.save(tmp_path, ARRAYS, Standing(epoch=1), {**SETTINGS, "recipe": older})
    assert checkpoints.load(tmp_path, {**SETTINGS, "recipe": recipe}, SHAPES)[0].epoch == 1
    with pytest.raises(ValueError, match="other settings"):
        checkpoints.load(tmp_path, {**SETTINGS, "recipe": recipe | {"warmup_epochs": 5.0}}, SHAPES)
