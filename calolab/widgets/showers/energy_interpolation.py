"""EnergyInterpolation: showers generated from the same latent vectors at increasing incident energies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import traitlets

from calolab.generators import Generator
from calolab.plots import scales, slices
from calolab.samples import Sample, side_names
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import Widget
from calolab.widgets.shared.traits import within
from calolab.widgets.showers.slicing import Slicing, slice_energies


class EnergyInterpolation(Slicing, Widget):
    """A slider for the incident energy: slices and profiles generated from the same latent vectors at every energy.

    If a generator has learnt the dependence on the energy, its showers change smoothly along such a traversal; if it
    has memorised training examples, they change abruptly. All showers are generated when the widget is made and sent to
    the browser in one binary transfer; the slider does not need the kernel. The scales are set by the reference.

    Args:
        generator: a `Generator`, or a function `traverse(labels, seed=, latents=) -> Sample` that returns events from
            the same latent vectors at each label point, latent-major, with the label `latent`.
        energies: lowest and highest incident energy [GeV].
        reference: showers to compare with, or None. The mean of the showers with energies near each point is displayed.
        labels: values of the other conditions of the generator, e.g. `{"theta": 1.57}` [rad].
        points: number of energies, equally spaced.
        latents: number of latent vectors; averages are over all of them.
        seed: seed of the latent vectors.
        names: names of the reference and of the generated showers, by default `("reference", "generated")`.

    Raises:
        TypeError: if the generator is neither a Generator nor callable.
        ValueError: if the energies do not increase, `points` is less than 2, `latents` is less than 1, the sample of
            `traverse` does not have latents x points events in this order, or the reference is in another space or
            lacks the label `energy`.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    energy = traitlets.Float(help="incident energy [GeV], one of `.energies`").tag(sync=True)
    latent = traitlets.Int(help="index of the latent vector").tag(sync=True)
    average = traitlets.Bool(False, help="whether the mean over all latent vectors is displayed").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    showers = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        generator: Generator | Callable[..., Sample],
        energies: tuple[float, float] = (10, 100),
        reference: Sample | None = None,
        *,
        labels: Mapping[str, float] | None = None,
        points: int = 19,
        latents: int = 10,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ):
        traverse = generator.traverse if isinstance(generator, Generator) else generator
        if not callable(traverse):
            raise TypeError(f"generator must be a Generator or a function, received {type(generator).__name__}.")
        self._names = side_names(None, None, names)
        low, high = energies
        if not 0 < low < high:
            raise ValueError(f"energies must be (lowest, highest) in GeV, received {energies}.")
        if points < 2 or latents < 1:
            raise ValueError(f"At least 2 points and 1 latent are needed, received {points} and {latents}.")
        self.energies = np.linspace(low, high, points)
        fixed = {name: np.full(points, value) for name, value in (labels or {}).items()}
        start = time.perf_counter()
        self.traversal = traverse({"energy": self.energies, **fixed}, seed=seed, latents=latents)
        seconds = time.perf_counter() - start
        _check_order(self.traversal, self.energies, latents)
        space = self.traversal.space
        arrays = [self.traversal.values]
        self._reference = None
        if reference is not None:
            self._reference = _reference_means(self.energies, reference, space)
            arrays.append(self._reference["means"])
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
            "note": _note(points, latents, seconds),
        }
        self.set_trait("about", about)
        self.set_trait("showers", frontend.pack(*arrays))
        axis = space.axes[-1]
        # At first the slice with the highest mean energy, if possible of the reference: during training, the maximum of
        # generated showers may be anywhere.
        profile = (sums if reference is None else slice_energies(reference))[axis]
        super().__init__(axis=axis, position=int(profile.argmax()), energy=float(self.energies[points // 2]))

    @traitlets.validate("energy")
    def _validate_energy(self, proposal):
        return float(self.energies[self._point_index(proposal.value)])

    @traitlets.validate("latent")
    def _validate_latent(self, proposal):
        return within("latent", proposal.value, self.about["latents"])

    def _point_index(self, energy):
        return int(np.abs(self.energies - energy).argmin())

    def _repr_png_(self):
        point, latents = self._point_index(self.energy), self.about["latents"]
        space, (reference, generated) = self.traversal.space, self._names
        rows = np.arange(latents) if self.average else np.array([self.latent])
        showers = self.traversal.values[np.arange(latents) * len(self.energies) + point]
        label = {"energy": self.energies[[point]]}
        samples = {generated: Sample(showers[rows].mean(axis=0, keepdims=True), label, space)}
        selection = f"mean of {latents} latents" if self.average else f"latent {self.latent}"
        captions = {generated: _caption(selection, label["energy"], samples[generated])}
        lines = [*self._visible, self._visible.mean(axis=0) if self.average else self._visible[self.latent]]
        response = {"energies": self.energies, "at": self.energy, generated: lines}
        if self._reference:
            response = {reference: [np.array(self._reference["visible"], dtype=float)], **response}
            if self._reference["counts"][point]:
                mean = Sample(self._reference["means"][[point]], label, space)
                samples = {reference: mean, **samples}
                count = f"mean of {self._reference['counts'][point]}"
                captions[reference] = _caption(count, self._reference["windows"][point], mean)
        return slices.show(
            samples,
            0,
            axis=self.axis,
            position=None if self.total else self.position,
            log=self.log,
            signed=False,
            largest=None if self.total else scales.top(*self._tops["mean" if self.average else "single"]),
            facts=captions,
            curves={generated: np.array([slices.slice_sums(space, one, self.axis) for one in showers])},
            response=response,
        )._repr_png_()


def _note(points, latents, seconds):
    """How many showers were generated, and what the thin lines are."""
    if latents == 1:
        return f"{points:,} showers of one latent vector, generated in {seconds:.3g} s."
    made = f"{points * latents:,} showers of {latents} latent vectors, generated in {seconds:.3g} s."
    return f"{made} Thin lines: the other latent vectors."


def _caption(selection, energies, sample):
    """The caption of a panel: which showers, their incident energy and their visible energy."""
    incident = " to ".join(f"{energy:.3g}" for energy in energies)
    visible = f"visible {sample.values.sum(dtype=float):.3g} {sample.space.unit}".rstrip()
    return f"{selection}, E {incident} GeV, {visible}"


def _tops(traversal, latents, reference, means):
    """The largest cells of the reference and of the generated showers, of single showers and of means."""
    values = traversal.values
    mean = values.reshape(latents, -1, *values.shape[1:]).mean(axis=0, dtype=float)
    # The reference panel displays a mean even next to a single generated shower, in the scale of single showers.
    tops = {"single": [0.0, float(values.max())], "mean": [0.0, float(mean.max())]}
    if means is not None and any(means["counts"]):
        low, high = means["windows"][0][0], means["windows"][-1][1]
        column = reference.labels["energy"]
        inside = reference.values[(column >= low) & (column <= high)]
        tops["single"][0], tops["mean"][0] = float(inside.max()), float(means["means"].max())
    return tops


def _check_order(traversal, energies, latents):
    """Raise ValueError unless the events are latent-major: the first latent at all energies, then the next."""
    expected = {"energy": np.tile(energies, latents), "latent": np.repeat(np.arange(latents), len(energies))}
    for name, column in expected.items():
        received = traversal.labels.get(name)
        if received is None or received.shape != column.shape or not np.allclose(received, column):
            raise ValueError(
                f"traverse(labels, seed=, latents={latents}) must return {len(column)} events with the labels 'energy' "
                "and 'latent': the first latent vector at all energies, then the next one; its label "
                f"{name!r} differs."
            )


def _reference_means(energies, reference, space):
    """The mean reference shower near each energy; every event is assigned to the nearest point."""
    if reference.space != space:
        raise ValueError(
            f"The reference is in space {reference.space.name!r}, the generated showers in {space.name!r}."
        )
    if "energy" not in reference.labels:
        raise ValueError(f"The reference needs the label 'energy' [GeV], received {sorted(reference.labels)}.")
    half = (energies[1] - energies[0]) / 2
    column = reference.labels["energy"]
    nearby = [np.flatnonzero(np.abs(column - energy) <= half) for energy in energies]
    means = np.zeros((len(energies), *space.shape), dtype=np.float32)
    for mean, indices in zip(means, nearby):
        if len(indices):
            mean[:] = reference.values[indices].mean(axis=0, dtype=float)
    visible = means.reshape(len(energies), -1).sum(axis=1, dtype=float)
    return {
        "means": means,
        "counts": [len(indices) for indices in nearby],
        "windows": [[float(energy - half), float(energy + half)] for energy in energies],
        "visible": [float(energy) if len(indices) else None for energy, indices in zip(visible, nearby)],
    }
