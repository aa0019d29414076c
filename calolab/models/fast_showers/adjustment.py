"""Energies of hits with the requested sums: each is moved along its own distribution, all as little as possible.

The energies of a pass are drawn nearly independently of each other, and their sums differ from the request. Each energy
is a function of a standard normal number; the smallest change of these numbers, in the sum of squares, that gives the
requested sum is found by Gauss-Newton steps. Where the sums of draws scatter as those that are requested, this is how
normal numbers are conditioned on their sum (Matheron's rule), and each energy nearly keeps its distribution.
"""

from __future__ import annotations

from keras import ops

STEPS = 3
FARTHEST = 2.5  # change of a normal number
TOLERANCE = 0.003  # deviation of the logarithm of a sum that counts as much as a change of one normal number by 1
_TINY = 1e-9  # [GeV]


def adjusted(energies, threshold: float, rises, falls, zones, wanted):
    """Energies [GeV] with the requested sums in each zone, `(cell, layer, event)`.

    Args:
        energies: energies of cells [GeV], zero for those that are no hits, `(cell, layer, event)`.
        threshold: lowest energy of a hit [GeV].
        rises, falls: differences of the logarithm of each energy to that with a normal number that is larger by 1, and
            from that with one that is smaller by 1; neither is negative, `(cell, layer, event)`.
        zones: whether each cell is in a zone, 1 or 0, `(zone, cell)`.
        wanted: requested sums [GeV], `(zone, layer, event)`.
    """
    cells, layers = energies.shape[:2]
    drawn, rises, falls = (ops.reshape(one, (cells, -1)) for one in (energies, rises, falls))
    wanted = ops.log(ops.maximum(ops.reshape(wanted, (len(zones), -1)), _TINY))
    lowest = threshold * ops.cast(drawn > 0, "float32")
    found, slopes, changes = drawn, (rises + falls) / 2, 0.0 * drawn
    for _ in range(STEPS):
        total = ops.maximum(ops.matmul(zones, found), _TINY)
        rates = found * slopes * ops.matmul(zones.T, 1.0 / total)  # of the logarithm of the sum
        missing = wanted - ops.log(total) + ops.matmul(zones, rates * changes)
        multipliers = ops.matmul(zones.T, missing / (ops.matmul(zones, ops.square(rates)) + TOLERANCE**2))
        changes = ops.clip(rates * multipliers, -FARTHEST, FARTHEST)
        slopes = ops.where(multipliers > 0, rises, falls)
        found = ops.maximum(drawn * ops.exp(slopes * changes), lowest)
    return ops.reshape(found, (cells, layers, -1))
