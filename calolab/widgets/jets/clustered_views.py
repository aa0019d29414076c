"""The jets of the sets of events that JetComparison has displayed, clustered piece by piece."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from calolab.validation.clustered_events import ClusteredEvents, cluster_more
from calolab.widgets.jets.event_sources import Sources, View
from calolab.widgets.jets.histograms import VARIABLES

# Number of sets of events that are kept: 50 MB at most, with 32 images of 64 x 64 pixels each.
MAX_VIEWS = 96


class ClusteredViews:
    """The clustered events by `View`; the least recently used ones are dropped.

    Args:
        sources: where the events come from.
        images: number of first events of each set whose images are kept with their jets.
    """

    def __init__(self, sources: Sources, images: int):
        self._sources, self._images = sources, images
        self._clustered: OrderedDict[View, ClusteredEvents] = OrderedDict()

    def __contains__(self, view: View) -> bool:
        return view in self._clustered

    def __getitem__(self, view: View) -> ClusteredEvents:
        return self._clustered[view]

    def __len__(self) -> int:
        return len(self._clustered)

    def advance(self, view: View) -> None:
        """Cluster the first piece of a set, or the next one."""
        sources = self._sources
        clustered = self._clustered.get(view) or ClusteredEvents(sources.count(view))
        piece = sources.piece(view, clustered.done)
        self._clustered[view] = cluster_more(clustered, piece, VARIABLES, self._images, **sources.clustering)
        while len(self._clustered) > MAX_VIEWS:
            self._clustered.popitem(last=False)

    def least_complete(self, views: Iterable[View]) -> View | None:
        """The unfinished set with the fewest clustered events, or None if all are finished.

        Args:
            views: sets of which at least one piece has been clustered; they become the most recently used ones.
        """
        for view in views:
            self._clustered.move_to_end(view)
        unfinished = [view for view in views if self[view].done < self[view].total]
        return min(unfinished, key=lambda view: self[view].done, default=None)

    def has_images(self, view: View) -> bool:
        """Whether the images of a set are complete."""
        return view in self and self[view].done >= min(self._images, self[view].total)
