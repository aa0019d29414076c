"""JetComparison: event images with their jets, beside multiplicity, masses and pt of the jets, also under pile-up."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import traitlets

from calolab.plots import jet_board, scales
from calolab.samples import Sample, side_names
from calolab.widgets.jets.event_sources import ALL, Clustered, Sources, View, cluster_more
from calolab.widgets.jets.histograms import VARIABLES, histogram
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import Widget
from calolab.widgets.shared.traits import one_of, within

# Where there is an event loop, an answer has one piece of events of each kind, and more while less time has passed [s].
PATIENCE = 0.1
# So long it waits for a further choice before it begins to cluster: a slider that is drawn sends many [s].
PAUSE = 0.03
# Between two pieces the kernel hears what else there is to do [s].
BREATH = 0.02
# Steps of mu in each direction that are clustered beforehand while the kernel is idle.
NEIGHBOURS = 2
# Choices whose jets are kept, each with a few images: some 50 MB at most with 32 images of 64 x 64 pixels.
KEPT = 96
CHOICE = ("sample", "mass_point", "signal", "pileup", "mu")


class JetComparison(Widget):
    """Events as images with their jets drawn in, beside multiplicity, masses and pt of the jets, real over generated.

    Controls choose the sample, its mass point, the pile-up and how much of it. The distributions follow, first from a
    few events and then, while the kernel is idle, from more, and after these the neighbouring steps of mu; what was
    clustered once is kept. The first events of each choice reach the browser with their jets, where their images turn
    over without the kernel. Keys, once it is clicked: up and down move the event, left and right mu; `p` changes the
    pile-up, `m` the mass point, `l` the colours.

    The reference, in grey, are the real events, under real pile-up where there is pile-up. Compared with them are
    generated events under the chosen pile-up, or with `signal="real"` real events under generated pile-up. The
    reference sets all scales; the others extend them to at most twice its range, and what lies beyond is counted.

    Args:
        real: images in eta and phi, one sample or several of one space under their names. The labels `gluino_mass` and
            `neutralino_mass` [GeV] make their mass points.
        generated: for some or all of the names a sample, or `generate(labels, seed=) -> Sample`, such as
            `gan.generate`, which gets the labels of the real events at the chosen mass point; or None.
        pileup: `(events, mu, seed) -> Sample`, images of real pile-up, such as `library.images`; or None.
        generated_pileup: the same, made by a GAN; or None.
        mus: mean numbers of pile-up collisions that the slider takes, rising.
        events: at most so many events of each are clustered, spread over all there are.
        images: of so many of them, the first ones, the images can be looked at.
        names: what the two are called, e.g. `("Pythia", "GAN")`; by default `("real", "generated")`.
        seed: of what is generated and of the pile-up.
        **clustering: of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV].

    Raises:
        TypeError: if a sample is no Sample, or a source no function.
        ValueError: if samples are empty, no images in eta and phi, of different spaces, or without the mass labels that
            their counterpart has; if pile-up does not fit the events; if `mus`, `events` or `images` are out of range;
            or if `names` are not two.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

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
            "names": self._names,
            "radius": float(clustering.get("radius", 1.0)),
        }
        self.set_trait("about", about)
        self._views = self._choice()
        self._start()
        super().__init__()
        self.observe(self._follow, names=CHOICE)

    @traitlets.validate("sample")
    def _known_sample(self, proposal):
        return one_of("sample", proposal.value, self._points)

    @traitlets.validate("mass_point")
    def _known_point(self, proposal):
        return one_of("mass_point", proposal.value, [point for points in self._points.values() for point in points])

    @traitlets.validate("pileup")
    def _known_pileup(self, proposal):
        return one_of("pileup", proposal.value, ["none", *self._sources.pileup])

    @traitlets.validate("mu")
    def _nearest_mu(self, proposal):
        return float(self.mus[np.abs(self.mus - proposal.value).argmin()])

    @traitlets.validate("event")
    def _event_at_hand(self, proposal):
        return within("event", proposal.value, self.scene["images"])

    def _follow(self, _):
        """What the browser and a cell may bring about is told in the widget, since the browser sees no exception."""
        try:
            self._turn_to_choice()
            self.message = ""
        except Exception as error:
            self._fail(error)

    def _fail(self, error):
        self._views = {}
        self.message = f"{type(error).__name__}: {error}"

    def _turn_to_choice(self):
        """Show the current choice: at once if it is known, else when no other choice follows within a moment."""
        self._turn += 1
        if self.mass_point not in self._points[self.sample]:
            # This comes back here with the new point where the trait is observed.
            self.mass_point = self._points[self.sample][0]
            return
        loop = _running_loop()
        self._views, self._edges = self._choice(), {}
        if loop is None or all(view in self._known for view in self._views.values()):
            self._start()
        else:
            loop.call_later(PAUSE, self._in_turn, self._turn, self._start)

    def _in_turn(self, turn, do):
        """Do something from the event loop, unless another choice was made since or the widget is closed."""
        if turn != self._turn or not self._views or self.comm is None:
            return
        try:
            do()
        except Exception as error:  # An event loop's callback has nobody to raise to: the widget says it.
            self._fail(error)

    def _start(self):
        """Show the current choice: the first events at once and more later, or all where there is no event loop."""
        began, live = time.perf_counter(), _running_loop() is not None
        new = [view for view in self._views.values() if view not in self._known]
        for view in new:
            self._advance(view)
        while self._behind() and (not live or (new and time.perf_counter() - began < PATIENCE)):
            self._advance(self._behind())
        self._show()
        if live:
            self._go_on()

    def _show(self):
        with self.hold_sync():
            self._show_events()
            self._show_distributions()

    def _choice(self, mu=None):
        """Which sets of events are shown, by their roles, at the current or another mu."""
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

    def _advance(self, view):
        self._known[view] = cluster_more(self._known.get(view), self._sources, view, self._images)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def _behind(self):
        """The shown set of which the fewest events are clustered, or None if all are."""
        for view in self._views.values():
            self._known.move_to_end(view)
        unfinished = [view for view in self._views.values() if self._known[view].done < self._known[view].total]
        return min(unfinished, key=lambda view: self._known[view].done, default=None)

    def _ahead(self):
        """A set at a neighbouring mu of which not all images are known, the nearest first; None if there is none."""
        if self.pileup == "none":
            return None
        here = int(np.abs(self.mus - self.mu).argmin())
        steps = [here + sign * step for step in range(1, NEIGHBOURS + 1) for sign in (1, -1)]
        for mu in (self.mus[step] for step in steps if 0 <= step < len(self.mus)):
            for view in self._choice(float(mu)).values():
                found = self._known.get(view)
                if found is None or found.done < min(self._images, found.total):
                    return view
        return None

    def _go_on(self):
        """Cluster more between what else the kernel does."""
        _running_loop().call_later(BREATH, self._in_turn, self._turn, self._refine)

    def _refine(self):
        """One more piece of what is shown, or else of what may be shown next."""
        if view := self._behind():
            self._advance(view)
            self._show()
        elif view := self._ahead():
            self._advance(view)
        else:
            return
        self._go_on()

    def _shown(self):
        return {role: self._known[view] for role, view in self._views.items() if role != "alone"}

    def _show_events(self):
        """Send the images: the first ones, and once more when all that are wanted are there."""
        shown = self._shown()
        events = min(len(found.images) for found in shown.values())
        wanted = min(self._images, *(found.total for found in shown.values()))
        if self.scene.get("choice") == self._current() and (events < wanted or events == self.scene["events"]):
            return
        images = [found.images[:events] for found in shown.values()]
        self.scene = {
            "choice": self._current(),
            "events": events,
            "images": wanted,
            "of": max(found.total for found in shown.values()),
            "names": list(shown),
            "jets": [found.jets[:events] for found in shown.values()],
            "labels": [
                frontend.describe_labels({name: column[:events] for name, column in found.labels.items()})
                for found in shown.values()
            ],
            "colours": _colours(images),
        }
        self.pictures = frontend.pack(*images)
        self.event = min(self.event, wanted - 1)

    def _show_distributions(self):
        known = {role: self._known[view] for role, view in self._views.items()}
        complete = all(found.done == found.total for found in known.values())
        # Bins hold still while events come in, and are at last those of all events.
        kept = {} if complete else self._edges
        found = [histogram(name, known, kept.get(name)) for name in VARIABLES]
        self._edges = {one["name"]: np.array(one["edges"]) for one in found}
        self.distributions = {
            "choice": self._current(),
            "events": {role: found.done for role, found in known.items()},
            "of": {role: found.total for role, found in known.items()},
            "variables": found,
        }

    def _current(self):
        return {name: getattr(self, name) for name in CHOICE}

    def _repr_png_(self):
        if self._views and self.scene["choice"] != self._current():
            # A cell that makes a choice and shows the widget at once: what is left in the page is that choice.
            self._turn += 1
            self._start()
        scene, radius = self.scene, self.about["radius"]
        pictures = np.frombuffer(zlib.decompress(self.pictures), "<f4")
        pictures = pictures.reshape(len(scene["names"]), scene["events"], *self._sources.space.shape)
        event = min(self.event, scene["events"] - 1)
        images = {
            role: (values[event], jets[event]) for role, values, jets in zip(scene["names"], pictures, scene["jets"])
        }
        words = ", ".join(str(word) for word in (self.sample, self.mass_point) if word != ALL)
        words += "" if self.pileup == "none" else f", {self.pileup} pile-up, μ = {self.mu:g}"
        return jet_board.show(
            self._sources.space,
            images,
            self.distributions["variables"],
            radius=radius,
            colours=scene["colours"],
            log=self.log,
            title=f"{words}, event {event}",
            names=self._names,
            events=self.distributions["events"],
        )._repr_png_()


def _running_loop():
    """The event loop that runs this code, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _colours(images):
    """Both ends of the colour scale of some events, the reference first: it sets them for all of them."""
    high = scales.top(*(float(values.max()) for values in images[:2]))
    filled = images[0][images[0] > 0]
    low = float(filled.min()) if len(filled) else high
    return {"high": high, "decades": float(np.clip(np.log10(high / low) if low < high else 1, 1, 4))}
