"""EnergyInterpolation: one latent vector, and the shower that a GAN makes of it while the incident energy moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import traitlets

from calolab.plots import scales, slices
from calolab.samples import Sample, side_names
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import Widget
from calolab.widgets.shared.traits import within
from calolab.widgets.showers.slicing import Slicing, slice_energies


class EnergyInterpolation(Slicing, Widget):
    """A slider through the incident energy: the same latent vectors at every energy, their slices and profiles.

    A GAN that has learnt physics moves smoothly along such a traversal; one that has learnt examples by heart jumps.
    All showers are generated once, here, and reach the browser in one binary transfer; the slider moves without the
    kernel. The reference sets the scales.

    Args:
        traverse: `traverse(labels, seed=, latents=) -> Sample`, such as `gan.traverse`: the same latent vectors at
            each label point, latent-major, with the label `latent`.
        energies: lowest and highest incident energy [GeV].
        reference: showers to compare with, or None: the mean of those whose energy lies around each point is shown.
        labels: further labels that the GAN asks for, one number each, e.g. `{"theta": 1.57}` [rad].
        points: number of energies, equally spaced.
        latents: number of latent vectors; the average is over all of them.
        seed: seed of the latent vectors.
        names: what the reference and the generated showers are called, by default `("reference", "generated")`.

    Raises:
        ValueError: for energies that do not rise, fewer than two points or one latent, a `traverse` whose sample does
            not have latents x points events in that order, or a reference in another space or without the label
            `energy`.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    energy = traitlets.Float(help="incident energy [GeV], one of `.energies`").tag(sync=True)
    latent = traitlets.Int(help="index of the latent vector").tag(sync=True)
    average = traitlets.Bool(False, help="the mean over all latent vectors").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    showers = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        traverse: Callable[..., Sample],
        energies: tuple[float, float] = (10, 100),
        reference: Sample | None = None,
        *,
        labels: Mapping[str, float] | None = None,
        points: int = 19,
        latents: int = 10,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ):
        self._names = side_names(None, None, names)
        low, high = energies
        if not 0 < low < high:
            raise ValueError(f"energies must be (lowest, highest) in GeV, received {energies}.")
        if points < 2 or latents < 1:
            raise ValueError(f"At least 2 points and 1 latent are needed, received {points} and {latents}.")
        self.energies = np.linspace(low, high, points)
        fixed = {name: np.full(points, value) for name, value in (labels or {}).items()}
        began = time.perf_counter()
        self.traversal = traverse({"energy": self.energies, **fixed}, seed=seed, latents=latents)
        seconds = time.perf_counter() - began
        _check_order(self.traversal, self.energies, latents)
        space = self.traversal.space
        sent = [self.traversal.values]
        self._reference = None
        if reference is not None:
            self._reference = _means_around(self.energies, reference, space)
            sent.append(self._reference["means"])
        visible = self.traversal.values.reshape(latents, points, -1).sum(axis=2, dtype=float)
        self._visible, self._tops = visible, _tops(self.traversal, latents, reference, self._reference)
        middle = self.traversal.select(np.arange(latents) * points + points // 2)
        sums = slice_energies(middle)
        self.slices = {name: len(energy) for name, energy in sums.items()}
        about = {
            "space": frontend.describe_space(space),
            "energies": self.energies.tolist(),
            "latents": latents,
            "names": list(self._names),
            "tops": self._tops,
            "visible": visible.ravel().tolist(),
            "reference": self._reference and {k: v for k, v in self._reference.items() if k != "means"},
            "note": f"{points * latents:,} showers of {latents} latent vectors, generated in {seconds:.3g} s.",
        }
        self.set_trait("about", about)
        self.set_trait("showers", frontend.pack(*sent))
        axis = space.axes[-1]
        # A shower's maximum is where there is most to see; a GAN in training may put its own anywhere.
        most = sums if reference is None else slice_energies(reference)
        super().__init__(axis=axis, position=int(most[axis].argmax()), energy=float(self.energies[points // 2]))

    @traitlets.validate("energy")
    def _nearest_point(self, proposal):
        return float(self.energies[self._point(proposal.value)])

    @traitlets.validate("latent")
    def _latent_at_hand(self, proposal):
        return within("latent", proposal.value, self.about["latents"])

    def _point(self, energy):
        return int(np.abs(self.energies - energy).argmin())

    def _repr_png_(self):
        point, latents = self._point(self.energy), self.about["latents"]
        space, (reference, generated) = self.traversal.space, self._names
        rows = np.arange(latents) if self.average else np.array([self.latent])
        every = self.traversal.values[np.arange(latents) * len(self.energies) + point]
        label = {"energy": self.energies[[point]]}
        samples = {generated: Sample(every[rows].mean(axis=0, keepdims=True), label, space)}
        what = f"mean of {latents} latents" if self.average else f"latent {self.latent}"
        facts = {generated: _told(what, label["energy"], samples[generated])}
        lines = [*self._visible, self._visible.mean(axis=0) if self.average else self._visible[self.latent]]
        response = {"energies": self.energies, "at": self.energy, generated: lines}
        if self._reference:
            response = {reference: [np.array(self._reference["visible"], dtype=float)], **response}
            if self._reference["counts"][point]:
                mean = Sample(self._reference["means"][[point]], label, space)
                samples = {reference: mean, **samples}
                count = f"mean of {self._reference['counts'][point]}"
                facts[reference] = _told(count, self._reference["windows"][point], mean)
        return slices.show(
            samples,
            0,
            axis=self.axis,
            position=None if self.total else self.position,
            log=self.log,
            signed=False,
            largest=None if self.total else scales.top(*self._tops["mean" if self.average else "single"]),
            facts=facts,
            curves={generated: np.array([slices.slice_sums(space, one, self.axis) for one in every])},
            response=response,
        )._repr_png_()


def _told(what, energies, sample):
    """What stands over a panel: whose showers, of which incident energy, with which visible energy."""
    where = " to ".join(f"{energy:.3g}" for energy in energies)
    visible = f"visible {sample.values.sum(dtype=float):.3g} {sample.space.unit}".rstrip()
    return f"{what}, E {where} GeV, {visible}"


def _tops(traversal, latents, reference, means):
    """The largest cells of the reference and of the generated showers: of single showers, and of means of several."""
    values = traversal.values
    mean = values.reshape(latents, -1, *values.shape[1:]).mean(axis=0, dtype=float)
    # The panel of the reference shows a mean also beside a single shower, whose cells are those of single ones.
    found = {"single": [0.0, float(values.max())], "mean": [0.0, float(mean.max())]}
    if means is not None and any(means["counts"]):
        low, high = means["windows"][0][0], means["windows"][-1][1]
        column = reference.labels["energy"]
        inside = reference.values[(column >= low) & (column <= high)]
        found["single"][0], found["mean"][0] = float(inside.max()), float(means["means"].max())
    return found


def _check_order(traversal, energies, latents):
    """Raise ValueError unless the events are the latents, one after the other, each at all energies."""
    expected = {"energy": np.tile(energies, latents), "latent": np.repeat(np.arange(latents), len(energies))}
    for name, column in expected.items():
        found = traversal.labels.get(name)
        if found is None or found.shape != column.shape or not np.allclose(found, column):
            raise ValueError(
                f"traverse(labels, seed=, latents={latents}) must return {len(column)} events, all energies of the "
                f"first latent, then of the next, with the labels 'energy' and 'latent'; its label {name!r} differs."
            )


def _means_around(energies, reference, space):
    """The mean reference shower around each energy: every event counts at the point that is nearest to it."""
    if reference.space != space:
        raise ValueError(
            f"The reference lies in space {reference.space.name!r}, the generated showers in {space.name!r}."
        )
    if "energy" not in reference.labels:
        raise ValueError(f"The reference needs the label 'energy' [GeV], it has {sorted(reference.labels)}.")
    half = (energies[1] - energies[0]) / 2
    column = reference.labels["energy"]
    around = [np.flatnonzero(np.abs(column - energy) <= half) for energy in energies]
    means = np.zeros((len(energies), *space.shape), dtype=np.float32)
    for mean, chosen in zip(means, around):
        if len(chosen):
            mean[:] = reference.values[chosen].mean(axis=0, dtype=float)
    visible = means.reshape(len(energies), -1).sum(axis=1, dtype=float)
    return {
        "means": means,
        "counts": [len(chosen) for chosen in around],
        "windows": [[float(energy - half), float(energy + half)] for energy in energies],
        "visible": [float(sum_) if len(chosen) else None for sum_, chosen in zip(visible, around)],
    }
