import pytest

from calolab import materials, spaces
from calolab.simulate.gflash_materials import MATERIALS, material, sections
from calolab.spaces import Slab, Space, pad_edges, stack


def calorimeter(*slabs, layers=3):
    edges = pad_edges(3, 5.0)
    return Space("test", ("x", "y", "z"), ("mm",) * 3, stack([slabs] * layers, [(edges, edges)] * layers))


@pytest.mark.parametrize(
    ("tungsten", "silicon", "z", "length", "moliere", "critical", "ratio"),
    # Effective constants of two published stacks: CLICdet-like, and Geant4's example Par04.
    [(1.9, 0.5, 72.15, 4.383, 11.22, 8.28, 0.704), (1.4, 0.3, 72.49, 4.221, 10.87, 8.23, 0.704)],
)
def test_effective_matter_of_known_stacks(tungsten, silicon, z, length, moliere, critical, ratio):
    (section,) = sections(calorimeter(Slab("W", tungsten), Slab("Si", silicon, sensitive=True)))
    assert section.z == pytest.approx(z, rel=1e-3)
    assert (tungsten + silicon) / section.thickness == pytest.approx(length, rel=1e-3)
    assert section.moliere_radius == pytest.approx(moliere, rel=3e-3)
    assert section.critical_energy * 1e3 == pytest.approx(critical, rel=3e-3)
    assert section.electron_to_mip == pytest.approx(ratio, abs=1e-3)


def test_one_material_is_itself():
    (section,) = sections(calorimeter(Slab("W", 1.0), Slab("W", 1.0, sensitive=True)))
    assert section.thickness * material("W").radiation_length / 19.30 == pytest.approx(0.2)
    assert section.critical_energy * 1e3 == pytest.approx(material("W").critical_energy)
    assert section.critical_energy * 1e3 == pytest.approx(8.0, abs=0.05)
    assert section.electron_to_mip == 1
    assert section.mip_fraction == pytest.approx(0.5)


def test_a_gap_of_air_dilutes_and_changes_nothing_else():
    slabs = Slab("W", 2.0), Slab("Si", 0.5, sensitive=True)
    (dense,), (diluted,) = sections(calorimeter(*slabs)), sections(calorimeter(*slabs, Slab("Air", 2.5)))
    assert diluted.moliere_radius / dense.moliere_radius == pytest.approx(2, rel=1e-3)
    assert diluted.thickness == pytest.approx(dense.thickness, rel=1e-3)
    assert diluted.mip_fraction == pytest.approx(dense.mip_fraction, rel=1e-3)
    assert (dense.gap, diluted.gap) == (0, 0.5)


def test_clics_calorimeter_has_a_thin_and_a_thick_section():
    thin, thick = sections(spaces.space("clic-ecal"))
    assert (thin.layers, thick.layers) == (17, 8)
    assert thick.begin == pytest.approx(17 * thin.thickness)
    assert thick.begin + 8 * thick.thickness == pytest.approx(22.6, abs=0.2)


def test_an_unknown_material_names_the_nearest():
    with pytest.raises(ValueError, match="Nearest: tungsten"):
        material("tungstn")


def test_the_constants_are_those_of_the_materials_with_names():
    assert MATERIALS.keys() == materials.NAMES.keys()
    assert material("steel") is MATERIALS["STAINLESS-STEEL"] and material("liquid argon") is MATERIALS["lAr"]
