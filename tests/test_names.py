import pytest

from calolab.names import check_name, nearest


def test_a_known_name_passes_and_an_unknown_one_lists_the_nearest():
    check_name("space", "clic-ecal", {"clic-ecal": 1, "calogan": 2})
    with pytest.raises(ValueError, match=r"^Unknown space 'clic-eca'. Nearest: clic-ecal. Known: clic-ecal, calogan.$"):
        check_name("space", "clic-eca", ["clic-ecal", "calogan"])
    with pytest.raises(ValueError, match=r"^Unknown space 7. Known: none.$"):
        check_name("space", 7, [])


def test_hyphens_and_capitals_make_no_difference():
    assert nearest("Anti-kT", ["antikt", "cambridge"]) == " Nearest: antikt."
    assert nearest("xyz", ["antikt", "kt"]) == ""
