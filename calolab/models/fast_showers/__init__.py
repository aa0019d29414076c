"""The parts of `calolab-fast`: layer quantities, their normalisation and flow, and the likelihood of cells."""
