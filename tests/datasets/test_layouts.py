import dataclasses

import pytest

from calolab.datasets import layouts


def test_each_layout_is_found_by_its_own_name_and_passes_through():
    for name, layout in layouts.LAYOUTS.items():
        assert layout.name == name
        assert layouts.layout(name) is layout
        assert layouts.layout(layout) is layout


def test_an_unknown_layout_names_the_nearest():
    with pytest.raises(ValueError, match="Nearest: 3dgan-angle"):
        layouts.layout("3dgan-angel")


@pytest.mark.parametrize(
    ("datasets", "name"),
    [
        (["ECAL", "energy"], "3dgan"),
        (["ECAL", "HCAL", "target"], "3dgan-target"),
        (["ECAL", "HCAL", "target", "energy"], "3dgan"),
        (["ECAL", "energy", "theta", "mtheta", "eta", "sum"], "3dgan-angle"),
        (["ECAL", "energy", "mtheta"], "3dgan-angle"),
    ],
)
def test_dataset_names_speak_for_a_layout(datasets, name):
    assert layouts.guess(datasets.__contains__).name == name


def test_dataset_names_without_an_energy_speak_for_none():
    assert layouts.guess(["ECAL", "theta"].__contains__) is None


def test_the_factor_is_positive():
    with pytest.raises(ValueError, match="positive factor"):
        dataclasses.replace(layouts.layout("3dgan"), factor=0.0)
