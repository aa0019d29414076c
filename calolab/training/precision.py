"""Mixed precision during a training: convolutions in bfloat16; weights, heads and losses in float32."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from calolab import cpu
from calolab.models import compiled

CALLER_OF_FIT = 4  # of `warn_where_slow`: above `fit` is also the `contextlib` of its decorator `stopping`
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # of Keras, by `request.PRECISIONS`


def fastest_precision() -> str:
    """`"bfloat16"` if the hardware supports it (a GPU, or a CPU with AMX), otherwise `"float32"`.

    `cpu.report` lists what else determines the speed: vector instructions, oneDNN and the number of threads.
    """
    return "bfloat16" if tf.config.list_physical_devices("GPU") or cpu.multiplies_bfloat16() else "float32"


def warn_where_slow(precision: str) -> None:
    """Warn the caller of `fit` if bfloat16 is slower than float32 here, or a GPU is not used."""
    if cpu.GPUS.exists() and "CUDA_VISIBLE_DEVICES" not in os.environ and not tf.config.list_physical_devices("GPU"):
        warnings.warn(
            "This machine has a GPU, but TensorFlow finds none and computes on the CPU: `pip install "
            "'tensorflow[and-cuda]'`. If it is installed, TF_CPP_MIN_LOG_LEVEL=0 shows what TensorFlow lacks.",
            stacklevel=CALLER_OF_FIT,
        )
    if precision == "bfloat16" and fastest_precision() == "float32":
        warnings.warn(
            "This machine has neither a GPU nor a CPU with AMX: training in bfloat16 will be slower than in float32. "
            f"{cpu.report()}.",
            stacklevel=CALLER_OF_FIT,
        )


@contextmanager
def computing_in(precision: str, *networks: keras.Model) -> Iterator[None]:
    """Inside the block, the networks compute in this precision.

    Variables stay float32. A layer whose output is an output of its network computes in float32 as well, so that cell
    energies and losses have full precision.

    Args:
        precision: one of `request.PRECISIONS`.
        networks: their layers' precision is restored after the block.
    """
    layers = [layer for network in networks for layer in _inner_layers(network)]
    before, policy = [layer.dtype_policy for layer in layers], _POLICIES[precision]
    changed = any(one.name != policy for one in before)

    def change_to(policies):
        if changed:
            for layer, one in zip(layers, policies):
                layer.dtype_policy = one
            for network in networks:
                compiled.forget(network)

    try:
        change_to([keras.DTypePolicy(policy)] * len(layers))
        yield
    finally:
        change_to(before)


def _inner_layers(network):
    outputs = {id(tensor) for tensor in keras.tree.flatten(network.output)}
    inner = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Layer)
        and not isinstance(layer, keras.layers.InputLayer)
        and not outputs & {id(tensor) for tensor in keras.tree.flatten(layer.output)}
    ]
    # A wrapper (spectral normalisation) passes its inputs to an inner layer.
    return inner + [layer.layer for layer in inner if isinstance(layer, keras.layers.Wrapper)]
