"""Datasets: load, stream and save files of events, and download public data sets."""

from calolab.datasets.fetching import fetch
from calolab.datasets.files import load, save, stream
from calolab.datasets.images import symmetries
from calolab.datasets.public_sets import catalogue
from calolab.datasets.streaming import EventStream

__all__ = ["EventStream", "catalogue", "fetch", "load", "save", "stream", "symmetries"]
