"""JetComparison: event images with their jets, and multiplicity, masses and pt of the jets, also with pile-up."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import traitlets

from calolab.generators import Generator
from calolab.plots import jet_board, scales
from calolab.samples import Sample, side_names
from calolab.widgets.jets.clustered_views import ClusteredViews
from calolab.widgets.jets.event_sources import ALL, Sources, View
from calolab.widgets.jets.histograms import histograms
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import Widget
from calolab.widgets.shared.traits import one_of, within

# In an event loop, the first response has one piece of events of each kind, and more until this time has passed [s].
FIRST_RESPONSE = 0.1
# Delay before clustering begins [s], in which further changes replace the choice: a moving slider sends many.
SETTLING_TIME = 0.03
# Time between two pieces in which the kernel can do other work [s].
YIELD_TIME = 0.02
# Number of steps of mu in each direction that are clustered in advance while the kernel is idle.
NEIGHBOURS = 2
CHOICE = ("sample", "mass_point", "signal", "pileup", "mu")

Source = Sample | Generator | Callable[..., Sample]


class JetComparison(Widget):
    """Images of events with their jets, and distributions of jet multiplicity, masses and pt, real and generated.

    Controls select the sample, its mass point, the kind of pile-up and its mean number of collisions mu. The
    distributions are first computed from a few events and then, while the kernel is idle, from more of them; after
    these, the neighbouring steps of mu are clustered. Clustered events are kept. The first events of each choice are
    sent to the browser with their jets, where one can step through them without the kernel. Keys, after a click on the
    widget: up and down change the event, left and right mu, `p` the pile-up, `m` the mass point, `l` switches between
    logarithmic and linear colours.

    The reference, drawn in grey, consists of the real events, with real pile-up if there is pile-up. It is compared
    with generated events with the selected pile-up, or for `signal="real"` with real events with generated pile-up. The
    reference sets all scales; the other samples extend them by at most a factor of two, and values beyond are counted.

    Args:
        real: images in eta and phi: a sample, or several samples of one space by name. Their labels `gluino_mass` and
            `neutralino_mass` [GeV] define the mass points.
        generated: for some or all of the names, a sample; a `Generator`, or a function `generate(labels, seed=) ->
            Sample`, which is called with the labels of the real events at the selected mass point; or None.
        pileup: `(events, mu, seed) -> Sample`, images of real pile-up, such as `library.images`; or None.
        generated_pileup: the same for generated pile-up; or None.
        mus: mean numbers of pile-up collisions that the slider offers, in increasing order.
        events: maximum number of events of each sample that are clustered, evenly distributed over the sample.
        images: number of first events whose images can be displayed.
        names: names of the two samples, e.g. `("Pythia", "GAN")`; by default `("real", "generated")`.
        seed: seed of the generated events and of the pile-up.
        **clustering: arguments of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV].

    Raises:
        TypeError: if a sample is not a Sample, or a source not callable.
        ValueError: if samples are empty, are not images in eta and phi, are in different spaces, or lack the mass
            labels of their counterpart; if pile-up does not match the events; if `mus`, `events` or `images` are out of
            range; or if `names` are not two different names.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    sample = traitlets.Unicode(help="name of the sample").tag(sync=True)
    mass_point = traitlets.Unicode(ALL, help="masses of its events [GeV], e.g. '1400, 850', or all").tag(sync=True)
    signal = traitlets.Enum(["real", "generated"], "generated", help="events compared with the real ones").tag(
        sync=True
    )
    pileup = traitlets.Unicode("none", help="none, real or generated").tag(sync=True)
    mu = traitlets.Float(help="mean number of pile-up collisions, one of `.mus`").tag(sync=True)
    event = traitlets.Int(help="index of the event that is displayed").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic colours").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    scene = traitlets.Dict(help="jets and labels of the first events").tag(sync=True)
    pictures = traitlets.Bytes(help="images of the same events").tag(sync=True)
    distributions = traitlets.Dict(help="histograms of the events clustered so far").tag(sync=True)
    message = traitlets.Unicode(help="error message").tag(sync=True)

    def __init__(
        self,
        real: Sample | Mapping[str, Sample],
        generated: Source | Mapping[str, Source] | None = None,
        *,
        pileup: Callable | None = None,
        generated_pileup: Callable | None = None,
        mus: Sequence[float] = range(0, 201, 5),
        events: int = 500,
        images: int = 32,
        names: Sequence[str] = ("real", "generated"),
        seed: int = 0,
        **clustering,
    ):
        for name, number in (("events", events), ("images", images)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, received {number}.")
        first, second = side_names(real, generated, names)
        self._images, self._names = images, {"reference": first, "generated": second, "alone": f"{first}, no pile-up"}
        self.mus = np.array(list(mus), dtype=float)
        if not len(self.mus) or not self.mus[0] >= 0 or not np.all(np.diff(self.mus) > 0):
            raise ValueError(f"mus must be numbers of at least 0 in increasing order, received {list(mus)}.")
        real = dict(real) if isinstance(real, Mapping) else {"events": real}
        if not isinstance(generated, Mapping):
            generated = {} if generated is None else {next(iter(real), "events"): generated}
        generated = {name: one.generate if isinstance(one, Generator) else one for name, one in generated.items()}
        pileups = {"real": pileup, "generated": generated_pileup}
        pileups = {kind: source for kind, source in pileups.items() if source is not None}
        self._sources = Sources(real, generated, pileups, events, seed, clustering)
        self._points = {name: list(self._sources.points(name)) for name in real}
        self._clustered = ClusteredViews(self._sources, images)
        self._choice_number, self._views, self._edges = 0, {}, {}
        self.sample = next(iter(real))
        self.mass_point = self._points[self.sample][0]
        self.mu = float(self.mus[np.abs(self.mus - 20).argmin()])
        for kind in pileups:
            self._sources.pile_up(kind, 1, self.mu, 0)
        about = {
            "space": frontend.describe_space(self._sources.space),
            "generated": list(generated),
            "points": self._points,
            "pileup": list(pileups),
            "mus": self.mus.tolist(),
            "names": self._names,
            "radius": float(clustering.get("radius", 1.0)),
        }
        self.set_trait("about", about)
        self._views = self._chosen_views()
        self._cluster_choice()
        super().__init__()
        self.observe(self._on_choice, names=CHOICE)

    @traitlets.validate("sample")
    def _validate_sample(self, proposal):
        return one_of("sample", proposal.value, self._points)

    @traitlets.validate("mass_point")
    def _validate_mass_point(self, proposal):
        return one_of("mass_point", proposal.value, [point for points in self._points.values() for point in points])

    @traitlets.validate("pileup")
    def _validate_pileup(self, proposal):
        return one_of("pileup", proposal.value, ["none", *self._sources.pileup])

    @traitlets.validate("mu")
    def _validate_mu(self, proposal):
        return float(self.mus[np.abs(self.mus - proposal.value).argmin()])

    @traitlets.validate("event")
    def _validate_event(self, proposal):
        return within("event", proposal.value, self.scene["images"])

    def _on_choice(self, _):
        """Display a new choice, or the exception: an exception of this observer would not be visible in the browser."""
        try:
            self._apply_choice()
            self.message = ""
        except Exception as error:
            self._report(error)

    def _report(self, error):
        self._views = {}
        self.message = f"{type(error).__name__}: {error}"

    def _apply_choice(self):
        """Display the current choice: immediately if its events are clustered, otherwise after `SETTLING_TIME`."""
        self._choice_number += 1
        if self.mass_point not in self._points[self.sample]:
            # This trait is observed: the method is called again with the new mass point.
            self.mass_point = self._points[self.sample][0]
            return
        loop = _running_loop()
        self._views, self._edges = self._chosen_views(), {}
        if loop is None or all(view in self._clustered for view in self._views.values()):
            self._cluster_choice()
        else:
            loop.call_later(SETTLING_TIME, self._call_if_current, self._choice_number, self._cluster_choice)

    def _call_if_current(self, choice_number, function):
        """Call a function from the event loop unless the choice has changed or the widget is closed."""
        if choice_number != self._choice_number or not self._views or self.comm is None:
            return
        try:
            function()
        except Exception as error:  # No caller can handle it in the event loop.
            self._report(error)

    def _cluster_choice(self):
        """Display the current choice: in an event loop the first events now and others later, otherwise all now."""
        start, in_loop = time.perf_counter(), _running_loop() is not None
        new = [view for view in self._views.values() if view not in self._clustered]
        for view in new:
            self._clustered.advance(view)
        while view := self._clustered.least_complete(self._views.values()):
            if in_loop and not (new and time.perf_counter() - start < FIRST_RESPONSE):
                break
            self._clustered.advance(view)
        self._show()
        if in_loop:
            self._schedule_refinement()

    def _show(self):
        with self.hold_sync():
            self._show_events()
            self._show_distributions()

    def _chosen_views(self, mu=None):
        """The sets of events to display, by role, at the current mu or another one."""
        mu = self.mu if mu is None else mu
        mu, pileup = (mu, self.pileup) if mu > 0 and self.pileup != "none" else (0.0, "none")
        signal = self.signal if self.sample in self._sources.generated else "real"
        views = {"reference": View(self.sample, self.mass_point, "real", "none" if pileup == "none" else "real", mu)}
        other = View(self.sample, self.mass_point, signal, pileup, mu)
        if other not in views.values() and self._sources.count(other):
            views["generated"] = other
        if pileup != "none":
            views["alone"] = View(self.sample, self.mass_point)
        return views

    def _next_neighbour(self):
        """A set at a neighbouring mu whose images are incomplete, the nearest first; None if there is none."""
        if self.pileup == "none":
            return None
        current = int(np.abs(self.mus - self.mu).argmin())
        steps = [current + sign * step for step in range(1, NEIGHBOURS + 1) for sign in (1, -1)]
        for mu in (self.mus[step] for step in steps if 0 <= step < len(self.mus)):
            for view in self._chosen_views(float(mu)).values():
                if not self._clustered.has_images(view):
                    return view
        return None

    def _schedule_refinement(self):
        _running_loop().call_later(YIELD_TIME, self._call_if_current, self._choice_number, self._refine)

    def _refine(self):
        """Cluster one more piece of what is displayed, or else of a neighbouring mu."""
        if view := self._clustered.least_complete(self._views.values()):
            self._clustered.advance(view)
            self._show()
        elif view := self._next_neighbour():
            self._clustered.advance(view)
        else:
            return
        self._schedule_refinement()

    def _show_events(self):
        """Send the images of the first piece, and again when all images are complete."""
        shown = {role: self._clustered[view] for role, view in self._views.items() if role != "alone"}
        events = min(len(clustered.images) for clustered in shown.values())
        final = min(self._images, *(clustered.total for clustered in shown.values()))
        if self.scene.get("choice") == self._current() and (events < final or events == self.scene["events"]):
            return
        images = [clustered.images[:events] for clustered in shown.values()]
        self.scene = {
            "choice": self._current(),
            "events": events,
            "images": final,
            "of": max(clustered.total for clustered in shown.values()),
            "names": list(shown),
            "jets": [clustered.jets[:events] for clustered in shown.values()],
            "labels": [
                frontend.describe_labels({name: column[:events] for name, column in clustered.labels.items()})
                for clustered in shown.values()
            ],
            "colours": _colours(images),
        }
        self.pictures = frontend.pack(*images)
        self.event = min(self.event, final - 1)

    def _show_distributions(self):
        shown = {role: self._clustered[view] for role, view in self._views.items()}
        complete = all(clustered.done == clustered.total for clustered in shown.values())
        # The bins stay the same while events are added; the final ones are those of all events.
        edges = {} if complete else self._edges
        variables = histograms(shown, edges)
        self._edges = {one["name"]: np.array(one["edges"]) for one in variables}
        self.distributions = {
            "choice": self._current(),
            "events": {role: clustered.done for role, clustered in shown.items()},
            "of": {role: clustered.total for role, clustered in shown.items()},
            "variables": variables,
        }

    def _current(self):
        return {name: getattr(self, name) for name in CHOICE}

    def _repr_png_(self):
        if self._views and self.scene["choice"] != self._current():
            # A cell has changed the choice and displays the widget before the event loop runs again.
            self._choice_number += 1
            self._cluster_choice()
        scene, radius = self.scene, self.about["radius"]
        pictures = np.frombuffer(zlib.decompress(self.pictures), "<f4")
        pictures = pictures.reshape(len(scene["names"]), scene["events"], *self._sources.space.shape)
        event = min(self.event, scene["events"] - 1)
        images = {
            role: (values[event], jets[event]) for role, values, jets in zip(scene["names"], pictures, scene["jets"])
        }
        title = ", ".join(str(word) for word in (self.sample, self.mass_point) if word != ALL)
        title += "" if self.pileup == "none" else f", {self.pileup} pile-up, μ = {self.mu:g}"
        return jet_board.show(
            self._sources.space,
            images,
            self.distributions["variables"],
            radius=radius,
            colours=scene["colours"],
            log=self.log,
            title=f"{title}, event {event}",
            names=self._names,
            events=self.distributions["events"],
        )._repr_png_()


def _running_loop():
    """The event loop in which this code runs, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _colours(images):
    """Range of the colour scale of some events, the reference first, which sets it."""
    high = scales.top(*(float(values.max()) for values in images[:2]))
    filled = images[0][images[0] > 0]
    low = float(filled.min()) if len(filled) else high
    return {"high": high, "decades": float(np.clip(np.log10(high / low) if low < high else 1, 1, 4))}
