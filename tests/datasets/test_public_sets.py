import re

import pytest

from calolab import datasets
from calolab.datasets import layouts
from calolab.datasets.public_sets import PublicSet


def test_every_set_is_complete_as_far_as_it_claims():
    sets = list(datasets.catalogue())
    assert len({held.name for held in sets}) == len(sets) == len(datasets.catalogue())
    for held in sets:
        assert held.reader in layouts.LAYOUTS
        if held.packaged:
            assert held.size > 0 and held.licence and held.page is None
            continue
        assert re.fullmatch(r"10\.\d{4,}/\S+", held.doi)
        assert held.paper.startswith(("arXiv:", "doi:"))
        assert held.download is None or "{file}" in held.download
        assert held.files or held.listing, "nothing would say which files it has"
        for file in held.files:
            assert file.checksum is None or re.fullmatch("md5:[0-9a-f]{32}", file.checksum)
            assert file.size is None or file.size > 0


def test_sets_are_found_by_name_and_near_names_are_offered():
    assert datasets.catalogue()["calochallenge-2"].doi == "10.5281/zenodo.6366271"
    with pytest.raises(ValueError, match="Nearest: calogan"):
        datasets.catalogue()["calgan"]


def test_sizes_add_up_only_where_all_are_known():
    assert datasets.catalogue()["calochallenge-2"].size == 1_356_475_617 + 1_366_708_391
    assert datasets.catalogue()["calogan"].size is None


def test_the_table_says_what_is_not_known_and_what_cannot_be_read():
    unread = PublicSet("a", "calibration", "10.1234/a", "arXiv:1")
    catalogue = datasets.public_sets.Catalogue((*datasets.catalogue(), unread))
    html, text = catalogue._repr_html_(), repr(catalogue)
    for held in catalogue:
        shown = "part of calolab" if held.packaged else held.doi
        assert held.name in html and shown in html and shown in text
    for table in (html, text):
        assert "none yet" in table
        assert "unknown" in table
        assert "layout 3dgan-angle" in table
    assert html.count("<tr>") == len(catalogue) + 1
    assert len(text.splitlines()) == len(catalogue) + 1


def test_titles_are_escaped():
    html = datasets.public_sets.Catalogue((PublicSet("a", "E < 5 GeV", "10.1234/a", "arXiv:1"),))._repr_html_()
    assert "E &lt; 5 GeV" in html
