"""Constituents in numpy arrays and text, padded with zeros."""

import numpy as np
import pytest

from calolab import datasets
from calolab.particles import Particles

VALUES = np.array([[[20, 0.1, 0.2], [1, -0.5, 0.3], [0, 0, 0]], [[5, 0.3, -0.1], [0, 0, 0], [0, 0, 0]]], float)
COLUMNS = ("pt", "eta", "phi")


def test_a_numpy_array(tmp_path):
    np.save(tmp_path / "jets.npy", VALUES.astype(np.float32))
    read = datasets.load(tmp_path / "jets.npy", columns=COLUMNS, labels={"signal": 1})
    assert read.counts.tolist() == [2, 1] and read.flat("pt").tolist() == [20, 1, 5] and not read.flat("mass").any()
    assert read.labels["signal"].tolist() == [1, 1] and read.origin["file"] == str(tmp_path / "jets.npy")
    many = np.tile(VALUES, (1300, 1, 1))
    np.save(tmp_path / "many.npy", many)
    assert datasets.load(tmp_path / "many.npy", columns=COLUMNS).counts.tolist() == [2, 1] * 1300
    read = datasets.load([tmp_path / "jets.npy", tmp_path / "many.npy"], columns=COLUMNS, events=5)
    assert read.counts.tolist() == [2, 1, 2, 1, 2]


@pytest.mark.parametrize("separator", [" ", ", ", "\t"])
def test_text(tmp_path, separator):
    rows = [separator.join(f"{x:g}" for x in event.ravel()) for event in VALUES]
    rows[1] = separator.join(f"{x:g}" for x in VALUES[1, :1].ravel())  # lines may have different lengths
    path = tmp_path / "jets.txt"
    path.write_text("# pt eta phi\n" + "\n\n".join(rows) + "\n")
    read = datasets.load(path, columns=COLUMNS)
    assert np.array_equal(read.padded(COLUMNS, 3), VALUES)
    assert len(datasets.load(path, columns=COLUMNS, events=1)) == 1
    path.write_text("".join(f"{separator.join(map(str, VALUES[0].ravel()))}\n" for _ in range(2100)))
    assert datasets.load(path, columns=COLUMNS).counts.tolist() == [2] * 2100


def test_labels_of_each_event(tmp_path):
    path = tmp_path / "jets.npy"
    np.save(path, VALUES)
    weights = np.array([0.5, 2.0])
    assert datasets.load(path, columns=COLUMNS, labels={"weight": weights}).labels["weight"].tolist() == [0.5, 2]
    assert datasets.load(path, columns=COLUMNS, labels={"weight": weights}, events=1).labels["weight"].tolist() == [0.5]
    with pytest.raises(ValueError, match=r"jets\.npy: label 'weight' needs one value per event, 2, .*\(3,\)"):
        datasets.load(path, columns=COLUMNS, labels={"weight": np.ones(3)})
    np.save(tmp_path / "more.npy", VALUES)
    with pytest.raises(ValueError, match=r"Labels \['weight'\] with one value per event are for a single file"):
        datasets.load([path, tmp_path / "more.npy"], columns=COLUMNS, labels={"weight": weights})


def test_other_columns(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[[13.0, 3, 4, 0], [0, 0, 0, 0]]]))
    read = datasets.load(tmp_path / "a.npy", columns=("energy", "px", "py", "pz"))
    assert (
        read.flat("pt").tolist() == [5] and read.flat("mass").tolist() == [12] and read.flat("energy").tolist() == [13]
    )


class Trap:
    def __reduce__(self):
        return print, ("trapped",)


def test_what_does_not_fit(tmp_path, capsys):
    path = tmp_path / "a.npy"
    np.save(path, np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match=r"a\.npy: truncated, corrupt or unsupported numpy file .*Python objects"):
        datasets.load(path, columns=COLUMNS)
    assert "trapped" not in capsys.readouterr().out
    np.save(path, VALUES)
    with pytest.raises(ValueError, match=r"expected .* \(event, constituent, 4\), .* received \(2, 3, 3\)"):
        datasets.load(path, columns=(*COLUMNS, "mass"))
    with pytest.raises(ValueError, match="Arrays and text have columns in order"):
        datasets.load(path, columns={"pt": "pt"})
    with pytest.raises(ValueError, match="consists of pt, eta and phi, or of px, py and pz"):
        datasets.load(path, columns=("pt", "eta", "px"))
    with pytest.warns(UserWarning, match=r"a\.npy: read as GeV, half of the constituents contain less than 5e\+03 GeV"):
        np.save(path, VALUES * [1000, 1, 1])
        datasets.load(path, columns=COLUMNS)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="truncated, corrupt"):
        datasets.load(path, columns=COLUMNS)
    text = tmp_path / "a.txt"
    text.write_text("1 2 3\n1 2 3 4\n")
    with pytest.raises(ValueError, match=r"a\.txt: event 2 has 4 numbers, which is not a multiple of the 3 columns"):
        datasets.load(text, columns=COLUMNS)
    text.write_text("pt eta phi\n1 2 3\n")
    with pytest.raises(ValueError, match=r"event 1 contains text that is not a number .*'pt'"):
        datasets.load(text, columns=COLUMNS)
    text.write_text("# nothing\n")
    with pytest.raises(ValueError, match="zero events"):
        datasets.load(text, columns=COLUMNS)
    text.write_bytes(b"PK\x03\x04\0\0")
    with pytest.raises(ValueError, match=r"another binary file\. .*pass it to Particles\.from_padded"):
        datasets.load(text, columns=COLUMNS)
    text.write_text("nan 0.1 0.2\n")
    with pytest.raises(ValueError, match=r"a\.txt: .*1 values of 'pt' are not finite"):
        datasets.load(text, columns=COLUMNS)


def test_the_padded_array_is_the_inverse():
    particles = Particles.from_padded(VALUES)
    assert np.array_equal(particles.padded(), VALUES[:, :2]) and particles.padded(length=1).shape == (2, 1, 3)
