"""Mixed precision for the time of a training: convolutions in bfloat16, weights, heads and losses in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def check_precision(precision: str) -> None:
    """Raise ValueError unless training knows this precision."""
    if precision not in POLICIES:
        raise ValueError(f"precision expects one of {', '.join(POLICIES)}, received {precision!r}.")


@contextmanager
def computing_in(precision: str, *networks: keras.Model) -> Iterator[None]:
    """Let the networks compute in this precision inside the `with`, and as before after it.

    Variables stay float32. A layer whose output is an output of its network keeps float32 too, so that cell energies
    and losses have their full precision.
    """
    layers = [layer for network in networks for layer in _inner_layers(network)]
    before = [layer.dtype_policy for layer in layers]
    try:
        if precision != "float32":
            for layer in layers:
                layer.dtype_policy = keras.DTypePolicy(POLICIES[precision])
        yield
    finally:
        for layer, policy in zip(layers, before):
            layer.dtype_policy = policy


def _inner_layers(network):
    outputs = {id(tensor) for tensor in keras.tree.flatten(network.output)}
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Layer)
        and not isinstance(layer, keras.layers.InputLayer)
        and not outputs & {id(tensor) for tensor in keras.tree.flatten(layer.output)}
    ]
