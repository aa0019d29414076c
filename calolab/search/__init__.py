"""Hyper-parameter search on engines: start, watch and steer it, and attach to one of an earlier kernel again."""

from calolab.search.searches import Search, known, reattach, start
from calolab.search.space import Choice, Integer, Real
from calolab.search.trials import Trial

__all__ = ["Choice", "Integer", "Real", "Search", "Trial", "known", "reattach", "start"]
