"""Datasets: showers on disk as samples and streams, the public sets of the field, and how to fetch them."""

from calolab.datasets.fetching import fetch
from calolab.datasets.files import load, save, stream
from calolab.datasets.images import symmetries
from calolab.datasets.public_sets import catalogue
from calolab.datasets.streaming import EventStream

__all__ = ["EventStream", "catalogue", "fetch", "load", "save", "stream", "symmetries"]
