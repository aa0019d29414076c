"""Layers that Keras lacks. Importing this package registers them with Keras, so that it can load networks with them."""

from calolab.models.fast_showers.cells import Cells
from calolab.models.fast_showers.flow import Flow
from calolab.models.fast_showers.normalisation import LogEnergy, Normalisation
from calolab.models.layers.dcgan import PeriodicPadding
from calolab.models.layers.locally_connected import LocallyConnected2D
from calolab.models.layers.minibatch_discrimination import MinibatchDiscrimination
from calolab.models.layers.spectral_normalisation import SpectralNormalisation

__all__ = [
    "Cells",
    "Flow",
    "LocallyConnected2D",
    "LogEnergy",
    "MinibatchDiscrimination",
    "Normalisation",
    "PeriodicPadding",
    "SpectralNormalisation",
]
