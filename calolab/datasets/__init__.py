"""Datasets: showers on disk as samples and streams, the public sets of the field, and how to fetch them."""

from calolab.datasets.files import load, save, stream
from calolab.datasets.streaming import EventStream

__all__ = ["EventStream", "load", "save", "stream"]
