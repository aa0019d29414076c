"""Samples that are displayed side by side."""

from __future__ import annotations

from collections.abc import Sequence

from calolab.generators import Generator
from calolab.samples import Sample, side_names


def first_events(
    reference: Sample,
    generated: Sample | Generator | None,
    names: Sequence[str] | None,
    events: int,
    *,
    in_pairs: bool,
    seed: int = 0,
) -> tuple[dict[str, Sample], str]:
    """The first events of one or two samples.

    Args:
        reference: a sample.
        generated: a sample in the same space; a `Generator`, which generates events with the labels of the reference;
            or None.
        names: names of the two samples, or None for those of `calolab.samples.side_names`.
        events: maximum number of events of each sample.
        in_pairs: whether event k of one sample is displayed next to event k of the other; both are then cut to the
            length of the shorter one.
        seed: seed of a generator.

    Returns:
        The samples by name, the reference first, and a note if events were left out, or an empty string.

    Raises:
        TypeError: if one of them is not a Sample.
        ValueError: if one has no events, their spaces differ, `events` is less than 1, the reference lacks a label that
            the generator needs, or the names are not two different names.
    """
    if events < 1:
        raise ValueError(f"events must be at least 1, received {events}.")
    if isinstance(generated, Generator):
        named_samples(reference, None)
        available = len(reference)
        reference = reference.select(slice(events))
        samples = named_samples(reference, generated.generate(reference.labels, seed=seed), names)
    else:
        samples = named_samples(reference, generated, names)
        lengths = [len(sample) for sample in samples.values()]
        available = min(lengths) if in_pairs else max(lengths)
    note = f"The first {events:,} of {available:,} events." if events < available else ""
    return {name: sample.select(slice(min(events, available))) for name, sample in samples.items()}, note


def named_samples(reference: Sample, generated: Sample | None, names: Sequence[str] | None = None) -> dict[str, Sample]:
    """One or two samples by name, the reference first, checked to be comparable.

    Args:
        reference: a sample.
        generated: a sample in the same space, or None.
        names: names of the two samples, or None for those of `calolab.samples.side_names`.

    Raises:
        TypeError: if one of them is not a Sample.
        ValueError: if one has no events, their spaces differ, or the names are not two different names.
    """
    given = {"reference": reference} if generated is None else {"reference": reference, "generated": generated}
    for role, sample in given.items():
        if not isinstance(sample, Sample):
            raise TypeError(f"{role} must be a Sample, received {type(sample).__name__}.")
        if not len(sample):
            raise ValueError(f"{role} has no events: there is nothing to display.")
    if generated is not None and reference.space != generated.space:
        raise ValueError(
            f"reference is in space {reference.space.name!r} and generated in {generated.space.name!r}: only samples "
            "in the same space can be displayed side by side."
        )
    return dict(zip(side_names(reference, generated, names), given.values()))
