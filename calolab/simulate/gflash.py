"""GFlash."""


def cells(space, labels, *, particle, seed, progress=True):
    """Being written."""
    raise NotImplementedError
