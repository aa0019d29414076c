"""Networks as compiled functions of NumPy arrays.

Keras compiles predictions for the first batch size, and for any other one once more: that takes seconds for a large
network, and rounds a few values differently from before. Here a network is compiled once, for all batch sizes, and
without XLA. It must be compiled again (`forget`) after a change of its layers, but not of its weights.
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
        # An archive that is not written: it compiles for any number of events, with whatever library Keras runs on.
        endpoint = keras.export.ExportArchive().add_endpoint("predict", network.call, input_signature=[shapes])
        # As a bound method, and not through `setattr`: Keras and TensorFlow would track and export a function.
        function = network.__dict__[_FUNCTION] = endpoint.__call__
    return keras.ops.convert_to_numpy(function(dict(inputs)))


def forget(network: keras.Model) -> None:
    """Let a network be compiled again, here and by Keras: its predictions keep the precision of the first one.

    Args:
        network: the network.
    """
    network.__dict__.pop(_FUNCTION, None)
    network.predict_function = None
