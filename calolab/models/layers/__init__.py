"""Layers that Keras lacks. Importing this package registers them with Keras, so that it can load networks with them."""

from calolab.models.layers.dcgan import PeriodicPadding
from calolab.models.layers.locally_connected import LocallyConnected2D
from calolab.models.layers.minibatch_discrimination import MinibatchDiscrimination
from calolab.models.layers.spectral_normalisation import SpectralNormalisation

__all__ = ["LocallyConnected2D", "MinibatchDiscrimination", "PeriodicPadding", "SpectralNormalisation"]
