"""IPython magics of calolab, installed as `calolab_magics`; `%load_ext calolab` registers them."""

from .ipcluster import EngineMagics
from .search import SearchMagics

__all__ = ["EngineMagics", "SearchMagics", "load_ipython_extension"]


def load_ipython_extension(shell):
    """Register all magics with an IPython shell."""
    shell.register_magics(EngineMagics)
    shell.register_magics(SearchMagics)
