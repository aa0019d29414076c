import numpy as np
import pytest

from calolab import cpu
from calolab.training import TrainingRequest, fit, precision
from calolab.training.history import History
from calolab.training.precision import computing_in, warn_where_slow


def test_layers_compute_in_bfloat16_inside_only(tiny_gan):
    gan = tiny_gan()
    image = np.random.default_rng(0).random((2, 4, 4, 4, 1), dtype=np.float32)
    before = {name: head.numpy() for name, head in gan.discriminator(image).items()}
    with computing_in("bfloat16", gan.generator, gan.discriminator):
        kinds = {layer.compute_dtype for layer in gan.discriminator.layers if layer.weights}
        assert kinds == {"bfloat16", "float32"}
        inside = gan.discriminator(image)
        assert {head.dtype.name for head in inside.values()} == {"float32"}
        assert {variable.dtype for variable in gan.discriminator.weights} == {"float32"}
    after = {name: head.numpy() for name, head in gan.discriminator(image).items()}
    for name, expected in before.items():
        np.testing.assert_array_equal(after[name], expected)
        np.testing.assert_allclose(inside[name], expected, rtol=0.1, atol=0.05)
    assert not np.array_equal(inside["auxiliary"], before["auxiliary"])
    np.testing.assert_array_equal(inside["ecal"], before["ecal"])


def test_an_error_inside_restores_the_layers_too(tiny_gan):
    gan = tiny_gan()
    with pytest.raises(ZeroDivisionError), computing_in("bfloat16", gan.generator):
        raise ZeroDivisionError
    assert {layer.compute_dtype for layer in gan.generator.layers} == {"float32"}


def test_unknown_precisions_are_refused():
    with pytest.raises(ValueError, match="float32, bfloat16, received 'float16'"):
        TrainingRequest(epochs=1, precision="float16")


def test_a_warning_where_bfloat16_is_slow_and_none_elsewhere(monkeypatch, recwarn):
    monkeypatch.setattr(precision, "fastest_precision", lambda: "bfloat16")
    warn_where_slow("bfloat16")
    monkeypatch.setattr(precision, "fastest_precision", lambda: "float32")
    warn_where_slow("float32")
    assert not recwarn
    with pytest.warns(UserWarning, match="slower than in float32"):
        warn_where_slow("bfloat16")


def test_warnings_of_a_training_name_the_line_of_the_user(tiny_gan, tiny_sample, monkeypatch):
    monkeypatch.setattr(precision, "fastest_precision", lambda: "float32")
    monkeypatch.setattr(History, "divergence", "The losses run away.")
    with pytest.warns(UserWarning) as warned:
        fit(tiny_gan(), tiny_sample(), epochs=1, batch_size=21, precision="bfloat16", progress=False)
    assert {str(one.message).partition(":")[0] for one in warned if one.filename == __file__} == {
        "This machine has neither a GPU nor a CPU with AMX",
        "The losses run away.",
    }


def test_a_gpu_that_tensorflow_does_not_find_is_reported(monkeypatch, tmp_path, recwarn):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(cpu, "GPUS", tmp_path / "none")
    warn_where_slow("float32")
    assert not recwarn
    monkeypatch.setattr(cpu, "GPUS", tmp_path)
    with pytest.warns(UserWarning, match="This machine has a GPU, but TensorFlow finds none"):
        warn_where_slow("float32")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    recwarn.clear()
    warn_where_slow("float32")
    assert not recwarn
