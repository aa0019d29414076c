"""Networks as compiled functions of NumPy arrays.

Keras compiles predictions for the first batch size, and for any other one once more: that takes seconds for a large
network, and rounds a few values differently than before. Here a network is compiled once, for all batch sizes.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

_FUNCTION = "_calolab_function"  # attribute of the network


def predict(network: keras.Model, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Output of a network.

    Args:
        network: a network with named inputs and one output.
        inputs: its inputs by name, float32, with the events along the first axis.
    """
    function = network.__dict__.get(_FUNCTION)
    if function is None:
        shapes = {name: keras.InputSpec("float32", (None, *tensor.shape[1:])) for name, tensor in network.input.items()}
        archive = keras.export.ExportArchive()
        archive.track(network)
        function = archive.add_endpoint("predict", network.call, input_signature=[shapes])
        # Not as an attribute that Keras would track and save.
        network.__dict__[_FUNCTION] = function
    return keras.ops.convert_to_numpy(function(dict(inputs)))


def forget(network: keras.Model) -> None:
    """Let a network be compiled again, e.g. in another precision: it keeps that of its first prediction."""
    network.__dict__.pop(_FUNCTION, None)
