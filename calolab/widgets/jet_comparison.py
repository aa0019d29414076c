"""JetComparison: event images with their jets, beside multiplicity, masses and pt of the jets, also under pile-up."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import anywidget
import numpy as np
import traitlets

from calolab.names import nearest
from calolab.plots import jet_board
from calolab.plots.jets import binning, contents
from calolab.samples import LABEL_UNITS, Sample
from calolab.validation.metrics import kolmogorov_smirnov
from calolab.widgets import frontend
from calolab.widgets.event_sources import ALL, VARIABLES, Clustered, Sources, View, cluster_more, floor
from calolab.widgets.slicing import within

# An answer has one piece of events of each kind, and more while so much time has not passed [s].
PATIENCE = 0.1
# Choices whose jets are kept, each with a few images.
KEPT = 96
CHOICE = ("sample", "mass_point", "signal", "pileup", "mu")


class JetComparison(anywidget.AnyWidget):
    """Events as images with their jets drawn in, beside multiplicity, masses and pt of the jets, real over generated.

    Controls choose the sample, its mass point, the pile-up and how much of it. The distributions follow, first from a
    few events and then, while the kernel is idle, from more; what was clustered once is kept. The first events of each
    choice reach the browser with their jets, where their images turn over without the kernel. Keys, once it is clicked:
    up and down move the event, left and right mu; `p` changes the pile-up, `m` the mass point, `l` the colours.

    The reference, in grey, are the real events, under real pile-up where there is pile-up. Compared with them are
    generated events under the chosen pile-up, or with `signal="real"` real events under generated pile-up.

    Args:
        real: images in eta and phi, one sample or several of one space under their names. The labels `gluino_mass` and
            `neutralino_mass` [GeV] make their mass points.
        generated: for some or all of the names a sample, or `generate(labels, seed=) -> Sample`, such as
            `gan.generate`, which gets the labels of the real events at the chosen mass point; or None.
        pileup: `(events, mu, seed) -> Sample`, images of real pile-up, such as `library.images`; or None.
        generated_pileup: the same, made by a GAN; or None.
        mus: mean numbers of pile-up collisions that the slider takes, rising.
        events: at most so many events of each are clustered, spread over all there are.
        seed: of what is generated and of the pile-up.
        **clustering: of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV].

    Raises:
        TypeError: if a sample is no Sample, or a source no function.
        ValueError: if samples are empty, no images in eta and phi, of different spaces, or without the mass labels that
            their counterpart has; if pile-up does not fit the events; or if `mus` or `events` are out of range.
    """

    _esm = frontend.module("jet_comparison")
    _css = frontend.style()

    sample = traitlets.Unicode(help="name of the sample").tag(sync=True)
    mass_point = traitlets.Unicode(ALL, help="masses of its events [GeV], e.g. '1400, 850'").tag(sync=True)
    signal = traitlets.Enum(["real", "generated"], "generated", help="events compared with the real ones").tag(
        sync=True
    )
    pileup = traitlets.Unicode("none", help="none, real or generated").tag(sync=True)
    mu = traitlets.Float(help="mean number of pile-up collisions, one of `.mus`").tag(sync=True)
    event = traitlets.Int(help="index of the event that is shown").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic colours").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    scene = traitlets.Dict(help="jets and labels of the first events of the choice").tag(sync=True)
    pictures = traitlets.Bytes(help="images of the same events").tag(sync=True)
    distributions = traitlets.Dict(help="histograms of the events clustered so far").tag(sync=True)
    message = traitlets.Unicode(help="what went wrong with the choice").tag(sync=True)

    def __init__(
        self,
        real: Sample | Mapping[str, Sample],
        generated: Sample | Callable | Mapping[str, Sample | Callable] | None = None,
        *,
        pileup: Callable | None = None,
        generated_pileup: Callable | None = None,
        mus: Sequence[float] = range(0, 201, 5),
        events: int = 500,
        seed: int = 0,
        **clustering,
    ):
        if events < 1:
            raise ValueError(f"events must be at least 1, received {events}.")
        self.mus = np.array(list(mus), dtype=float)
        if not len(self.mus) or not self.mus[0] >= 0 or not np.all(np.diff(self.mus) > 0):
            raise ValueError(f"mus must be numbers from 0 on that rise, received {list(mus)}.")
        real = dict(real) if isinstance(real, Mapping) else {"events": real}
        if not isinstance(generated, Mapping):
            generated = {} if generated is None else {next(iter(real), "events"): generated}
        given = {"real": pileup, "generated": generated_pileup}
        given = {kind: source for kind, source in given.items() if source is not None}
        self._sources = Sources(real, dict(generated), given, events, seed, clustering)
        self._points = {name: list(self._sources.points(name)) for name in real}
        self._known: OrderedDict[View, Clustered] = OrderedDict()
        self._turn, self._views, self._edges = 0, {}, {}
        self.sample = next(iter(real))
        self.mass_point = self._points[self.sample][0]
        self.mu = float(self.mus[np.abs(self.mus - 20).argmin()])
        for kind in given:
            self._sources.pile_up(kind, 1, self.mu, 0)
        about = {
            "space": frontend.describe_space(self._sources.space),
            "generated": list(generated),
            "points": self._points,
            "pileup": list(given),
            "mus": self.mus.tolist(),
            "radius": float(clustering.get("radius", 1.0)),
        }
        self.set_trait("about", about)
        self._start()
        super().__init__()
        self.observe(self._follow, names=CHOICE)

    @traitlets.validate("sample")
    def _known_sample(self, proposal):
        return _one_of("sample", proposal.value, self._points)

    @traitlets.validate("mass_point")
    def _known_point(self, proposal):
        return _one_of("mass_point", proposal.value, [point for points in self._points.values() for point in points])

    @traitlets.validate("pileup")
    def _known_pileup(self, proposal):
        return _one_of("pileup", proposal.value, ["none", *self._sources.pileup])

    @traitlets.validate("mu")
    def _nearest_mu(self, proposal):
        return float(self.mus[np.abs(self.mus - proposal.value).argmin()])

    @traitlets.validate("event")
    def _event_at_hand(self, proposal):
        return within("event", proposal.value, self.scene["events"])

    def _follow(self, _):
        """What the browser and a cell may bring about is told in the widget, since the browser sees no exception."""
        try:
            self._start()
            self.message = ""
        except Exception as error:
            self._views = {}
            self.message = f"{type(error).__name__}: {error}"

    def _start(self):
        """Show the current choice: the first events at once, more later."""
        began = time.perf_counter()
        self._turn += 1
        if self.mass_point not in self._points[self.sample]:
            # This comes back here with the new point where the trait is observed.
            self.mass_point = self._points[self.sample][0]
            if self._views:
                return
        self._views, self._edges = self._choice(), {}
        for view in self._views.values():
            if view not in self._known:
                self._advance(view)
        while self._behind() and time.perf_counter() - began < PATIENCE:
            self._advance(self._behind())
        with self.hold_sync():
            self._show_events()
            self._show_distributions()
        self._go_on(self._turn)

    def _choice(self):
        """Which sets of events are shown, by their roles."""
        mu, pileup = (self.mu, self.pileup) if self.mu > 0 and self.pileup != "none" else (0.0, "none")
        signal = self.signal if self.sample in self._sources.generated else "real"
        views = {"reference": View(self.sample, self.mass_point, "real", "none" if pileup == "none" else "real", mu)}
        other = View(self.sample, self.mass_point, signal, pileup, mu)
        if other not in views.values() and self._sources.count(other):
            views["generated"] = other
        if pileup != "none":
            views["alone"] = View(self.sample, self.mass_point)
        return views

    def _advance(self, view):
        self._known[view] = cluster_more(self._known.get(view), self._sources, view)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def _behind(self):
        """The shown set of which the fewest events are clustered, or None if all are."""
        for view in self._views.values():
            self._known.move_to_end(view)
        unfinished = [view for view in self._views.values() if self._known[view].done < self._known[view].total]
        return min(unfinished, key=lambda view: self._known[view].done, default=None)

    def _go_on(self, turn):
        """Cluster more: between what else the kernel does, or at once where there is no event loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            while view := self._behind():
                self._advance(view)
            self._show_distributions()
            return
        if self._behind():
            loop.call_later(0.02, self._refine, turn)

    def _refine(self, turn):
        if turn != self._turn or not self._views or self.comm is None:
            return
        try:
            self._advance(self._behind())
            self._show_distributions()
            self._go_on(turn)
        except Exception as error:  # An event loop's callback has nobody to raise to: the widget says it.
            self.message = f"{type(error).__name__}: {error}"

    def _shown(self):
        return {role: self._known[view] for role, view in self._views.items() if role != "alone"}

    def _show_events(self):
        shown = self._shown()
        events = min(len(found.images) for found in shown.values())
        self.scene = {
            "choice": self._current(),
            "events": events,
            "names": list(shown),
            "jets": [found.jets[:events] for found in shown.values()],
            "labels": [_labels(found, events) for found in shown.values()],
        }
        self.pictures = frontend.pack(*(found.images[:events] for found in shown.values()))
        self.event = min(self.event, events - 1)

    def _show_distributions(self):
        known = {role: self._known[view] for role, view in self._views.items()}
        self.distributions = {
            "choice": self._current(),
            "events": {role: found.done for role, found in known.items()},
            "of": {role: found.total for role, found in known.items()},
            "variables": [self._variable(name, known) for name in VARIABLES],
        }

    def _variable(self, name, known):
        """One variable of all sets in one binning, which holds still while more events come in, as long as they fit."""
        columns = {role: found.columns[name] for role, found in known.items()}
        if name not in self._edges or not _fit(self._edges[name], name, columns.values()):
            self._edges[name] = binning(name, *columns.values())
        edges = self._edges[name]
        label, unit, per = VARIABLES[name]
        found = {"name": name, "label": label, "unit": unit, "per": per, "edges": edges.tolist()}
        for role, column in columns.items():
            fractions, errors = contents(column, edges)
            found[role] = {"contents": fractions.tolist(), "errors": errors.tolist()}
        if "generated" in columns and all(len(columns[role]) for role in ("reference", "generated")):
            found["ks"] = kolmogorov_smirnov(columns["reference"], columns["generated"])[0]
            numbers = known["reference"].done, known["generated"].done
            found["floor"] = floor(columns["reference"], known["reference"].owners(name), *numbers)
        return found

    def _current(self):
        return {name: getattr(self, name) for name in CHOICE}

    def _repr_png_(self):
        shown = self._shown()
        images = {role: (found.images[self.event], found.jets[self.event]) for role, found in shown.items()}
        words = ", ".join(str(word) for word in (self.sample, self.mass_point) if word != ALL)
        words += "" if self.pileup == "none" else f", {self.pileup} pile-up, μ = {self.mu:g}"
        variables = self.distributions["variables"]
        return jet_board.show(
            self._sources.space, images, variables, radius=self.about["radius"], log=self.log, title=words
        )._repr_png_()


def _one_of(name, value, known):
    if value not in known:
        known = list(dict.fromkeys(known))
        raise traitlets.TraitError(f"{name} must be one of {known}, received {value!r}.{nearest(value, known)}")
    return value


def _fit(edges, name, columns):
    """Whether the edges hold all multiplicities, or nearly all values of another variable."""
    most = 0 if name == "multiplicity" else 0.01
    return all(np.mean((column < edges[0]) | (column > edges[-1])) <= most for column in columns if len(column))


def _labels(found, events):
    return [
        {
            "symbol": frontend.SYMBOLS.get(label, label),
            "unit": LABEL_UNITS.get(label, ""),
            "values": c[:events].tolist(),
        }
        for label, c in found.labels.items()
    ]
