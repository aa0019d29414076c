"""IPython magics of calolab, installed as `calolab_magics`."""
