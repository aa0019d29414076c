"""Hyper-parameter search on engines: start, monitor and control it, and reattach to one of an earlier kernel."""

from calolab.search.searches import Search, known, reattach, start
from calolab.search.space import Choice, Integer, Real
from calolab.search.trials import Trial

__all__ = ["Choice", "Integer", "Real", "Search", "Trial", "known", "reattach", "start"]
