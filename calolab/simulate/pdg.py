"""Electric charges from the digits of the particle codes of the Particle Data Group."""

from __future__ import annotations

from functools import cache

import numpy as np

# Charges in thirds of the elementary charge, by absolute code; other particles without quarks are neutral.
_QUARKS = {1: -1, 2: 2, 3: -1, 4: 2, 5: -1, 6: 2, 7: -1, 8: 2}
_OTHERS = {11: -3, 13: -3, 15: -3, 17: -3, 24: 3, 34: 3, 37: 3, 38: 6}
_TABLE_LENGTH = 10_000


def charges(identity: np.ndarray) -> np.ndarray:
    """Charges of particles: leptons, hadrons, nuclei and superpartners.

    Charges of hadrons follow from their quark digits, those of nuclei from the proton number (PDG review, Monte Carlo
    particle numbering scheme). Other codes, such as those internal to a generator, are neutral.

    Args:
        identity: PDG codes, shape `(particle,)`.

    Returns:
        Charges in units of the elementary charge, shape `(particle,)`, float64.

    >>> charges([11, -11, 211, 2112, 2212])
    array([-1.,  1.,  1.,  0.,  1.])
    """
    identity = np.asarray(identity, dtype=np.int64)
    code = np.abs(identity)
    table = _table()
    third = table[np.minimum(code, _TABLE_LENGTH - 1)]
    rare = np.flatnonzero(code >= _TABLE_LENGTH)
    if len(rare):
        found, where = np.unique(code[rare], return_inverse=True)
        third = third.copy()
        third[rare] = np.array([_thirds(int(one)) for one in found])[where]
    return np.sign(identity) * third / 3


@cache
def _table() -> np.ndarray:
    """Charges of all codes below 10,000, in thirds."""
    return np.array([_thirds(code) for code in range(_TABLE_LENGTH)])


def _thirds(code: int) -> int:
    """Charge of one particle in thirds of the elementary charge, from its positive code."""
    if code >= 1_000_000_000:  # 10LZZZAAAI: a nucleus
        return 3 * (code // 10_000 % 1000)
    if code < 100 or code % 1_000_000 < 100:  # an elementary particle or the superpartner of one
        return _QUARKS.get(code % 1_000_000, _OTHERS.get(code % 1_000_000, 0))
    first, second, third = (_QUARKS.get(code // digit % 10, 0) for digit in (1000, 100, 10))
    if code // 1000 % 10 and (code // 1000 % 10) != 9:  # three quarks, or two if the third digit is zero
        return first + second + third
    # Quark and antiquark: the heavier one is the quark if it is up-type, otherwise the antiquark.
    return second - third if code // 100 % 10 % 2 == 0 else third - second
