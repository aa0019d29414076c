import numpy as np
import pytest

from calolab import labels


def test_symbols_and_units_are_those_of_the_table():
    assert labels.UNITS["energy"] == "GeV" and labels.SYMBOLS["theta"] == "θ"
    assert "signal" not in labels.UNITS and "signal" not in labels.SYMBOLS


def test_values_and_ranges_have_the_unit_of_their_label():
    assert (
        labels.value_text("theta", np.pi / 2, 3) == "1.57 rad"
        and labels.value_text("of_my_own", 12345.6) == "1.235e+04"
    )
    assert labels.range_text("energy", np.array([50.0, 10.04])) == "10.04 to 50 GeV"
    assert labels.range_text("mu", (0, 200)) == "0 to 200"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"energy": [1.0, 0.0]}, "'energy' must be positive"),
        ({"signal": [0, 1, 2]}, "'signal' must be 0 or 1, received 2"),
        ({"mu": [-1.0]}, "'mu' must be 0 or more"),
        ({"of_my_own": [np.nan]}, "Label 'of_my_own' has 1 values that are not finite"),
        ({"gluino_mass": [800.0], "neutralino_mass": [800.0]}, "must be larger than 'neutralino_mass'"),
    ],
)
def test_impossible_labels_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        labels.check_labels({name: np.array(column) for name, column in columns.items()})


def test_possible_labels_and_those_of_other_names_are_accepted():
    columns = {"energy": [1.0], "mu": [0.0], "gluino_mass": [1400.0], "neutralino_mass": [250.0], "of_my_own": [-3.0]}
    labels.check_labels({name: np.array(column) for name, column in columns.items()})
    labels.check_labels({})
