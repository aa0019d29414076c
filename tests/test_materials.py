import pytest

from calolab import materials


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("lead", "Pb"),
        ("Lead", "Pb"),
        ("G4_Pb", "Pb"),
        ("tungsten", "W"),
        ("copper", "Cu"),
        ("iron", "Fe"),
        ("steel", "STAINLESS-STEEL"),
        ("stainless steel", "STAINLESS-STEEL"),
        ("silicon", "Si"),
        ("air", "Air"),
        ("G4_AIR", "Air"),
        ("LAr", "lAr"),
        ("liquid-argon", "lAr"),
        ("scintillator", "POLYSTYRENE"),
        ("polystyrene", "POLYSTYRENE"),
        ("PbWO4", "PbWO4"),
        ("G4_WATER", "WATER"),
    ],
)
def test_every_name_of_a_material_becomes_one(given, name):
    assert materials.canonical(given) == name
    assert materials.canonical(name) == name


def test_no_name_belongs_to_two_materials():
    words = [materials._plain(word) for name, others in materials.NAMES.items() for word in (name, *others)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("wrong", ["", " ", None, 82])
def test_a_material_that_is_not_a_name_is_refused(wrong):
    with pytest.raises(ValueError, match="must be a name"):
        materials.canonical(wrong)


def test_names_in_geant4():
    assert [materials.nist_name(name) for name in ("Air", "lead", "LAr", "steel", "PbWO4")] == [
        "G4_AIR",
        "G4_Pb",
        "G4_lAr",
        "G4_STAINLESS-STEEL",
        "G4_PbWO4",
    ]
