"""IPython magics of calolab, installed as `calolab_magics`; `%load_ext calolab` registers them."""

from .ipcluster import EngineMagics

__all__ = ["EngineMagics", "load_ipython_extension"]


def load_ipython_extension(shell):
    """Register all magics with an IPython shell."""
    shell.register_magics(EngineMagics)
