"""calolab: fast simulation with generative adversarial networks, inside Jupyter.

`import calolab` is light: the packages below load when they are first used.
"""

import importlib

from calolab import cpu, interrupts, loading, tensorflow_log

__version__ = "0.1.0"

_PARTS = (
    "cluster",
    "cpu",
    "datasets",
    "distributed",
    "generators",
    "jets",
    "labels",
    "materials",
    "models",
    "particles",
    "plots",
    "samples",
    "scaling",
    "search",
    "simulate",
    "spaces",
    "studies",
    "symmetries",
    "training",
    "validation",
    "widgets",
)
__all__ = ["Particles", "Sample", "Space", "__version__", "load_ipython_extension", *_PARTS]

# Before anything of calolab can load TensorFlow, which reads the environment only once.
cpu.prepare()
loading.prepare()
tensorflow_log.prepare()
interrupts.prepare()


def __getattr__(name):
    if name in _PARTS:
        return importlib.import_module(f"calolab.{name}")
    if name == "Sample":
        return importlib.import_module("calolab.samples").Sample
    if name == "Particles":
        return importlib.import_module("calolab.particles").Particles
    if name == "Space":
        return importlib.import_module("calolab.spaces").Space
    raise AttributeError(f"module 'calolab' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return sorted(__all__)


def load_ipython_extension(shell):
    """`%load_ext calolab`: register the magics of `calolab_magics` with an IPython shell."""
    importlib.import_module("calolab_magics").load_ipython_extension(shell)
