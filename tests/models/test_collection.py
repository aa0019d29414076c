"""The trained generators that are part of calolab: tiny ones in a temporary folder, and the real ones as they are."""

import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calolab import models
from calolab.models import __main__ as command
from calolab.models import collection
from calolab.training import fit
from tests.tiny import SPACE, tiny_card, tiny_gan, tiny_sample

DOCS = Path(__file__).parents[2] / "docs" / "models"
QUIET = {"batch_size": 21, "progress": False}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped generators with one, `tiny-fast`; returns it and the GAN."""
    folder, gan = tmp_path / "shipped", tiny_gan()
    folder.mkdir()
    gan.save(folder / "tiny-fast.gan", card=tiny_card())
    monkeypatch.setattr(collection, "FOLDER", folder)
    return folder, gan


def test_a_shipped_generator_is_loaded_by_its_name_with_its_card(shipped):
    loaded = models.load("tiny-fast")
    assert loaded.card == tiny_card()
    energies = {"energy": [10.0, 50.0]}
    np.testing.assert_array_equal(
        loaded.generate(energies, seed=1).values, shipped[1].generate(energies, seed=1).values
    )
    assert "Too few hits." in loaded._repr_html_() and "Too few hits." not in shipped[1]._repr_html_()


def test_a_file_of_that_name_has_precedence_and_a_folder_has_not(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-fast").mkdir()
    assert models.load("tiny-fast").card == tiny_card()
    (tmp_path / "tiny-fast").rmdir()
    tiny_gan(seed=3).save(tmp_path / "tiny-fast")
    assert models.load("tiny-fast").card is None


def test_an_unknown_name_says_that_there_is_no_such_file_and_what_is_shipped(shipped):
    with pytest.raises(FileNotFoundError, match=r"No GAN file tiny-fst.*trained generators are tiny-fast.*Nearest"):
        models.load("tiny-fst")
    (shipped[0] / "tiny-fast.gan").unlink()
    with pytest.raises(FileNotFoundError, match="contains no trained generator"):
        models.load("tiny-fast")


def test_the_table_shows_what_is_shipped(shipped):
    shipped[1].save(shipped[0] / "without-card.gan")
    found = models.shipped()
    assert [one.name for one in found] == ["tiny-fast", "without-card"] and len(found) == 2
    assert found["tiny-fast"].row()[:4] == ("tiny-fast", "electron", "tiny", "energy 10 to 50 GeV")
    assert found["tiny-fast"].row()[5:] == ("0.710", "")
    assert found["tiny-fast"].size == (shipped[0] / "tiny-fast.gan").stat().st_size
    for table in (repr(found), found._repr_html_()):
        assert "energy 10 to 50 GeV" in table and "0.710" in table and "without-card" in table
    assert found["tiny-fast"]._repr_html_() == tiny_card()._repr_html_()
    assert "without-card" in found["without-card"]._repr_html_() and repr(found["tiny-fast"]).startswith(
        "ShippedGenerator('tiny-fast', 0."
    )
    with pytest.raises(ValueError, match="Nearest: tiny-fast"):
        found["tinyfast"]


def test_the_table_needs_no_keras():
    code = """
        import sys
        from calolab import models
        print(repr(models.shipped()) and [name for name in ("keras", "tensorflow", "h5py") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout.split() == ["[]"], done.stderr


def test_one_warning_per_call_outside_the_validated_range(shipped):
    loaded = models.load("tiny-fast")
    with pytest.warns(
        UserWarning, match=r"'tiny-fast' was validated for energy 10 to 50 GeV, received 5 to 60 GeV"
    ) as seen:
        loaded.generate({"energy": [5.0, 20.0, 60.0]}, seed=1, batch_size=1)
    assert len(seen) == 1 and seen[0].filename == __file__
    with pytest.warns(UserWarning, match="received 60 to 60 GeV") as seen:
        loaded.traverse({"energy": [60.0]}, seed=1, latents=2)
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded.generate({"energy": [10.0, 50.0]}, seed=1)
        shipped[1].generate({"energy": [5.0, 500.0]}, seed=1)  # without a card nothing is known


def test_a_generator_that_is_trained_further_has_no_card(shipped, tmp_path):
    loaded = models.load("tiny-fast")
    loaded.save(tmp_path / "copy.gan", dtype="float16")
    assert models.load(tmp_path / "copy.gan").card == tiny_card()
    fit(loaded, tiny_sample(), epochs=1, **QUIET)
    assert loaded.card is None and loaded.provenance["trained_from"] == "tiny-fast"
    loaded.save(tmp_path / "adapted.gan")
    assert models.load(tmp_path / "adapted.gan").provenance["trained_from"] == "tiny-fast"


def test_a_generator_for_another_detector_has_no_card(shipped):
    adapted = models.load("tiny-fast").adapted(replace(SPACE, name="changed"))
    assert adapted.card is None and adapted.provenance["trained_from"] == "tiny-fast"


def test_a_card_of_another_detector_is_refused_and_an_incomplete_one_named(shipped, tmp_path):
    with pytest.raises(ValueError, match="is for 'clic-ecal' and energy; the GAN generates events in 'tiny'"):
        shipped[1].save(tmp_path / "a.gan", card=replace(tiny_card(), detector="clic-ecal"))
    with pytest.raises(ValueError, match="energy, theta; the GAN"):
        shipped[1].save(tmp_path / "a.gan", card=replace(tiny_card(), validity={"energy": (1, 2), "theta": (1, 2)}))
    content = tiny_card().to_dict()
    del content["data"]
    with pytest.raises(ValueError, match="model card is not complete"):
        replace(shipped[1], provenance={"card": content}).save(tmp_path / "a.gan")


def test_one_command_writes_the_pages(shipped, tmp_path, capsys):
    (tmp_path / "gone.md").write_text("of a generator that is no longer shipped")
    assert command.main([str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.md")) == ["README.md", "tiny-fast.md"]
    assert (tmp_path / "tiny-fast.md").read_text() == tiny_card().to_markdown()
    assert "| [tiny-fast](tiny-fast.md) | electron" in (tmp_path / "README.md").read_text()
    assert "README.md, tiny-fast.md" in capsys.readouterr().out
    assert command.main([]) == 2


def test_the_pages_of_the_documentation_are_those_of_the_shipped_files():
    """If not: `python -m calolab.models docs/models`."""
    assert {path.name: path.read_text() for path in DOCS.glob("*.md")} == collection.pages()


def test_every_shipped_file_has_a_card_of_its_name_and_all_take_at_most_10_megabytes():
    for one in models.shipped():
        assert one.card is not None and one.card.name == one.name, one.path
        assert one.card.scores and one.card.validity and one.card.licence
    assert sum(one.size for one in models.shipped()) <= 10e6
