"""Spectra: complete, consistent, and rejected if gluinos could not be produced or could not decay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.simulate import slha

CHARGE_IN_THIRDS = {1: -1, 2: 2, 3: -1, 4: 2, 5: -1, slha.NEUTRALINO: 0}


def decays(text, code):
    """Branching ratio and products of each channel of a particle."""
    table = text.split(f"DECAY {code}")[1].split("DECAY")[0].splitlines()[1:]
    return [(float(words[0]), [int(word) for word in words[2:]]) for words in map(str.split, table)]


@pytest.mark.parametrize(("masses", "code"), [((1400,), 1000021), ((1400, 850), 1000021), ((1400, 850), 1000022)])
def test_decays_add_up_to_one_and_conserve_charge(masses, code):
    channels = decays(slha.spectrum(*masses), code)
    assert sum(ratio for ratio, _ in channels) == pytest.approx(1, abs=1e-8)
    for _, products in channels:
        assert len(products) == 3
        assert sum(np.sign(one) * CHARGE_IN_THIRDS[abs(one)] for one in products) == 0
    # Baryons and antibaryons are equally frequent.
    assert sum(ratio * np.sign([q for q in products if abs(q) < 6]).sum() for ratio, products in channels) == (
        pytest.approx(0, abs=1e-8)
    )


@given(st.floats(100, 6000), st.one_of(st.none(), st.floats(0.02, 0.9)))
def test_the_masses_are_read_back(gluino, fraction):
    neutralino = None if fraction is None else max(fraction * gluino, 10)
    labels = slha.masses(slha.spectrum(gluino, neutralino))
    assert labels.pop("gluino_mass") == gluino
    assert labels == ({} if neutralino is None else {"neutralino_mass": neutralino})


@pytest.mark.parametrize(
    ("masses", "words"),
    [
        ((1400, 1500), "1500 GeV.*lighter than the gluino .1400 GeV"),
        ((1400, 1400), "1400 GeV.*lighter than the gluino .1400 GeV"),
        ((1400, 1395), "1395 GeV.*at least 10 GeV lighter than the gluino .1400 GeV"),
        ((0,), "from 50 to 6000 GeV.*received 0"),
        ((-1400,), "received -1400"),
        ((7000,), "cannot be produced at 13 TeV.*received 7000"),
        ((np.nan,), "received nan"),
        ((1400, 0), "at least 10 GeV.*received 0"),
        ((1400, -850), "received -850"),
        ((1400, np.nan), "received nan"),
    ],
)
def test_impossible_masses_are_refused(masses, words):
    with pytest.raises(ValueError, match=words):
        slha.spectrum(*masses)


def test_a_spectrum_is_text_or_a_file(tmp_path):
    text = slha.spectrum(1400)
    file = tmp_path / "x.slha"
    file.write_text(text)
    assert slha.read(text) == slha.read(file) == slha.read(str(file)) == text
    with pytest.raises(ValueError, match="missing.slha"):
        slha.read(tmp_path / "missing.slha")
    with pytest.raises(ValueError, match="expects the text of a spectrum"):
        slha.read(3)


def test_other_peoples_spectra_are_understood():
    text = "Block mass # masses\n 1000021  1.4D+03 # ~g\n 1000022 -850\ndecay 1000021 1.0\n 1. 3 1000022 2 -2\n"
    assert slha.masses(text) == {"gluino_mass": 1400, "neutralino_mass": 850}


@pytest.mark.parametrize(
    "text",
    [
        "nonsense\n",
        slha.spectrum(1400).split("DECAY")[0],
        slha.spectrum(1400).replace("1000021  1400", "1000021  -1400"),
        slha.spectrum(1400).replace("1000021  1400", "1000021  heavy"),
        slha.spectrum(1400, 850).replace("1000022  850", "1000022  heavy"),
    ],
)
def test_a_spectrum_without_masses_or_decays_is_refused(text):
    with pytest.raises(ValueError, match="The spectrum in slha= must (be|contain)"):
        slha.masses(text)


def without(text, block):
    """The spectrum without a block."""
    before, _, after = text.partition(f"BLOCK {block}\n")
    return before + after[after.index("BLOCK") :]


def with_entry(text, entry, value):
    """The spectrum with one more entry of MODSEL."""
    return text.replace("BLOCK MODSEL\n", f"BLOCK MODSEL\n {entry}  {value}\n")


SQUARKS = "".join(f"BLOCK {name}\n" + "".join(f" {i} {i} 1.0\n" for i in range(1, 7)) for name in ("USQMIX", "DSQMIX"))


def test_complete_spectra_have_all_blocks():
    flavour = with_entry(slha.spectrum(1400), 6, 1) + SQUARKS + "BLOCK VCKMIN\n 1 0.2272\n"
    for text in (slha.spectrum(1400), slha.spectrum(1400, 850), with_entry(slha.spectrum(1400), 4, 1), flavour):
        slha.check_blocks(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (without(slha.spectrum(1400), "MODSEL"), "^own.spc has no BLOCK MODSEL"),
        (without(slha.spectrum(1400), "STOPMIX"), "lacks the blocks STOPMIX or USQMIX, .*gluinos; .*it has SBOTMIX"),
        # What SPheno writes: MODSEL and the mixings of all flavours, but no CKM matrix.
        (
            with_entry(without(without(slha.spectrum(1400), "STOPMIX"), "SBOTMIX"), 6, 1) + SQUARKS,
            r"lacks the blocks VCKMIN, .*\(MODSEL 6 = 1, flavour violation of quarks\); of these blocks it has DSQMIX, "
            "USQMIX.*set this entry to 0",
        ),
        (with_entry(slha.spectrum(1400), 6, 3), "lacks the blocks VCKMIN, USQMIX, DSQMIX, .*it has SBOTMIX, STOPMIX"),
        (without(with_entry(slha.spectrum(1400), 4, 1), "NMIX"), "lacks the blocks RVNMIX or NMIX, .*R-parity"),
        (with_entry(slha.spectrum(1400), 5, 1), "lacks the blocks CVHMIX, .*CP violation"),
    ],
)
def test_blocks_without_which_pythia_makes_no_gluinos_are_named(text, words):
    with pytest.raises(ValueError, match=words):
        slha.check_blocks(text, "own.spc")


def test_a_neutralino_that_does_not_decay_is_told():
    stable = slha.spectrum(1400, 850).split(f"DECAY {slha.NEUTRALINO}")[0]
    with pytest.warns(UserWarning, match="no decays of neutralinos"):
        slha.check_blocks(stable)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n \n", "own.spc must be a spectrum .* it is empty"),
        ("<gdml>\n</gdml>\n", "no BLOCK and no DECAY, it begins with '<gdml>"),
        (slha.spectrum(1400, 850).replace("1000022  850", "1000022  1500"), "heavier than .*found 1400 and 1500 GeV"),
        (
            slha.spectrum(1400).replace("1000001  10000.0", "1000001  NaN"),
            "BLOCK MASS; the masses of 1000001 are not numbers",
        ),
    ],
)
def test_what_is_no_spectrum_or_an_impossible_one_is_refused_with_its_file(text, words):
    with pytest.raises(ValueError, match=words):
        slha.masses(text, "own.spc")
