"""Jet images for LAGAN (arXiv:1701.05927): the leading jet of each event, trimmed, rotated and pixelated.

The steps follow arXiv:1511.05190, where jets are first pixelated and the image is then rotated, which smears it by
interpolation. Here the constituents are rotated before they are pixelated, which conserves energy:

    cluster -> trim -> window -> centre -> rotate -> pixelate -> flip

Before pixelation a jet is a set of constituents in the plane of eta and phi, one event of `Particles` per jet. A second
set contains the subjets of each jet, ordered by decreasing transverse momentum.
"""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import numpy as np

from calolab import particles as events
from calolab import spaces
from calolab.interrupts import stopping
from calolab.jets import Jets, cluster, n_subjettiness, trim
from calolab.particles import Particles
from calolab.samples import Sample
from calolab.spaces import Space

# Parameters of LAGAN: radius of jets and subjets, minimum fraction of the jet pt of a subjet, maximum |eta| of jets.
RADIUS = 1.0
SUBJET_RADIUS = 0.3
SUBJET_FRACTION = 0.05
MAXIMUM_ETA = 2.0


@stopping("the simulation of jet images")
def jet_images(
    particles: Particles,
    *,
    signal: int | None = None,
    pt: tuple[float, float] = (250.0, 300.0),
    mass: tuple[float, float] = (60.0, 100.0),
    space: str | Space = "jet-image",
) -> Sample:
    """Images of the leading jets of events (arXiv:1701.05927); events without a jet in the window give no image.

    Args:
        particles: particles or towers of whole events.
        signal: 1 if these events are W bosons, 0 for QCD; by default their label `signal`, if they have one.
        pt: window for the transverse momentum of the trimmed jet [GeV].
        mass: window for the mass of the trimmed jet [GeV].
        space: pixels in eta and phi relative to the leading subjet.

    Returns:
        Transverse momentum per pixel [GeV], shape `(jet, eta, phi)`. Labels: those of the events, `signal`, and `pt`
        [GeV], `mass` [GeV], `eta`, `phi` [rad] and the N-subjettiness ratio `tau_21` of the trimmed jet.

    Raises:
        ValueError: if `signal` is neither 0 nor 1, or a window is empty.
    """
    if signal not in (None, 0, 1):
        raise ValueError(f"jet_images(signal=) expects 1 for W bosons or 0 for QCD, received {signal!r}.")
    for name, window in (("pt", pt), ("mass", mass)):
        if not 0 <= window[0] < window[1]:
            raise ValueError(f"jet_images({name}=) expects a window (low, high) in GeV, received {window}.")
    found = trimmed_leading(particles, minimum_pt=pt[0])
    inside = [
        np.greater(found.leading(name), low) & np.less(found.leading(name), high)
        for name, (low, high) in (("pt", pt), ("mass", mass))
    ]
    found = found.select((inside[0] & inside[1])[:, 0])
    constituents = Particles(ak.flatten(found.constituents, axis=1), jet_labels(found, signal), found.origin)
    subjets = Particles(ak.flatten(found.subjets, axis=1))
    constituents, _ = rotate(*centre(constituents, subjets))
    return flip(pixelate(constituents, space))


def trimmed_leading(particles: Particles, minimum_pt: float) -> Jets:
    """The leading anti-kt jet of each event, trimmed (arXiv:0912.1342); events without a jet are kept.

    Args:
        particles: particles or towers of whole events.
        minimum_pt: minimum transverse momentum of the jet before trimming [GeV].
    """
    found = cluster(particles, radius=RADIUS, minimum_pt=minimum_pt, maximum_eta=MAXIMUM_ETA, constituents=True)
    leading = replace(found, columns=found.columns[:, :1])
    return trim(leading, subjet_radius=SUBJET_RADIUS, fraction=SUBJET_FRACTION)


def jet_labels(found: Jets, signal: int | None = None) -> dict[str, np.ndarray]:
    """Labels of events with one jet each: those of the events, the jet momentum and `tau_21`.

    Args:
        found: events with exactly one jet.
        signal: the label `signal` of all events, if given.
    """
    tau_1, tau_2 = n_subjettiness(found, (1, 2)).T
    labels = {**found.labels, **{name: found.flat(name) for name in ("pt", "mass", "eta", "phi")}}
    # tau_1 is zero for jets with one constituent.
    labels["tau_21"] = np.divide(tau_2, tau_1, out=np.zeros_like(tau_1), where=tau_1 > 0)
    return labels if signal is None else labels | {"signal": np.full(len(found), float(signal))}


def centre(constituents: Particles, subjets: Particles) -> tuple[Particles, Particles]:
    """Translate each jet in eta and phi so that its leading subjet is at the origin.

    Args:
        constituents: constituents of each jet.
        subjets: at least one subjet of each jet, ordered by decreasing transverse momentum.

    Returns:
        Constituents and subjets, translated; transverse momenta are unchanged, as under a boost along the beam.
    """
    eta, phi = (ak.to_numpy(subjets.columns[name][:, 0]) for name in ("eta", "phi"))
    return tuple(
        _placed(
            some,
            some.flat("eta") - np.repeat(eta, some.counts),
            np.remainder(some.flat("phi") - np.repeat(phi, some.counts) + np.pi, 2 * np.pi) - np.pi,
        )
        for some in (constituents, subjets)
    )


def rotate(constituents: Particles, subjets: Particles) -> tuple[Particles, Particles]:
    """Rotate each centred jet around the origin so that its second subjet is at eta = 0 and negative phi.

    A jet with only one subjet is rotated so that its principal axis, along which the transverse momentum varies most,
    is parallel to phi, with the barycentre at negative phi.

    Args:
        constituents, subjets: constituents and subjets of centred jets.

    Returns:
        Constituents and subjets, rotated in the plane of eta and phi.
    """
    eta, phi = _second(subjets)
    one = subjets.counts < 2
    if one.any():
        alone = constituents.select(one)
        eta[one], phi[one] = principal_axis(alone)
    turn = -np.pi / 2 - np.arctan2(phi, eta)
    return tuple(_turned(some, np.repeat(turn, some.counts)) for some in (constituents, subjets))


def principal_axis(constituents: Particles) -> tuple[np.ndarray, np.ndarray]:
    """Direction along which the transverse momentum of each jet varies most, from the origin towards its barycentre.

    Returns:
        Components along eta and phi of unit vectors, each of shape `(jet,)`.
    """
    jet = np.repeat(np.arange(len(constituents)), constituents.counts)
    pt, eta, phi = (constituents.flat(name) for name in ("pt", "eta", "phi"))

    def mean(quantity):
        total = np.bincount(jet, pt, minlength=len(constituents))
        return np.bincount(jet, pt * quantity, minlength=len(constituents)) / np.where(total > 0, total, 1)

    at_eta, at_phi = mean(eta), mean(phi)
    angle = np.arctan2(2 * (mean(eta * phi) - at_eta * at_phi), mean(eta**2) - at_eta**2 - mean(phi**2) + at_phi**2) / 2
    along_eta, along_phi = np.cos(angle), np.sin(angle)
    sign = np.where(along_eta * at_eta + along_phi * at_phi < 0, -1.0, 1.0)
    return sign * along_eta, sign * along_phi


def pixelate(constituents: Particles, space: str | Space = "jet-image") -> Sample:
    """Sum the transverse momentum of each jet in pixels [GeV]; constituents outside the window are lost.

    Args:
        constituents: constituents of each jet.
        space: an image of transverse momentum in eta and phi.

    Raises:
        ValueError: if the space is not such an image.
    """
    space = spaces.space(space)
    if space.quantity != "transverse momentum":
        raise ValueError(
            f"Jet images contain transverse momentum, as in the space 'jet-image'; space {space.name!r} is for "
            f"{space.quantity}."
        )
    return events.images(constituents, space)


def flip(images: Sample) -> Sample:
    """Mirror in eta each image whose left half contains more transverse momentum than its right half.

    The middle column, which contains the subjets, belongs to neither half.

    >>> values = np.zeros((1, 25, 25))
    >>> values[0, 3, 12] = 1.0
    >>> [int(index) for index in np.argwhere(flip(Sample(values, {}, spaces.space("jet-image"))).values)[0]]
    [0, 21, 12]
    """
    half = images.values.shape[1] // 2
    columns = images.values.sum(axis=2, dtype=np.float64)
    left = columns[:, :half].sum(axis=1) > columns[:, -half:].sum(axis=1)
    return replace(images, values=np.where(left[:, None, None], images.values[:, ::-1], images.values))


def normalise(images: Sample) -> Sample:
    """Scale each image to a sum of squares of one, as an option in arXiv:1511.05190; the jet mass is lost."""
    norm = np.sqrt(np.sum(images.values**2, axis=(1, 2), keepdims=True, dtype=np.float64))
    return replace(images, values=images.values / np.where(norm > 0, norm, 1))


def _second(subjets: Particles) -> tuple[np.ndarray, np.ndarray]:
    """Position of the second subjet; zeros if there is none."""
    padded = ak.pad_none(subjets.columns, 2, axis=1)[:, 1]
    return tuple(ak.to_numpy(ak.fill_none(padded[name], 0.0)).copy() for name in ("eta", "phi"))


def _turned(some: Particles, turn: np.ndarray) -> Particles:
    """The particles rotated in the plane of eta and phi by angles of shape `(particle,)`."""
    eta, phi = some.flat("eta"), some.flat("phi")
    cosine, sine = np.cos(turn), np.sin(turn)
    return _placed(some, cosine * eta - sine * phi, sine * eta + cosine * phi)


def _placed(some: Particles, eta: np.ndarray, phi: np.ndarray) -> Particles:
    """The same particles at other positions."""
    columns = {name: some.flat(name) for name in events.MOMENTUM} | {"eta": eta, "phi": phi}
    return Particles.from_flat(some.counts, columns, some.labels, some.origin)
