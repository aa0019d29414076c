"""Convergence maps in FITS files: cut into patches with the right scale, and written for other programs."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calolab import datasets, spaces
from calolab.datasets import images
from calolab.samples import Sample

REAL = Path(__file__).parents[3] / "shared" / "data" / "lensing_maps"
SMALL = images.binned("convergence", (32, 32))


def write(path, values, **keywords):
    """A map as LensTools writes it; 3.5 degrees for twice the pixels of a patch."""
    image = fits.PrimaryHDU(np.asarray(values, np.float32))
    for name, value in ({"ANGLE": 3.5} | keywords).items():
        if value is not None:
            image.header[name] = value
    image.writeto(path, overwrite=True)
    return path


def noise(*shape):
    return np.random.default_rng(0).normal(0, 0.01, shape).astype(np.float32)


def test_a_map_is_cut_into_patches_row_by_row(tmp_path):
    whole = noise(512, 512)
    read = datasets.load(write(tmp_path / "convergence_z108.fit", whole))
    assert read.space == spaces.space("convergence") and len(read) == 4
    for patch, (row, column) in zip(read.values, ((0, 0), (0, 256), (256, 0), (256, 256))):
        assert np.array_equal(patch, whole[row : row + 256, column : column + 256])
    assert read.labels["redshift"].tolist() == [1.08] * 4
    assert len(datasets.load(tmp_path / "convergence_z108.fit", events=3)) == 3


def test_patches_may_overlap(tmp_path):
    whole = noise(64, 64)
    read = datasets.load(write(tmp_path / "a.fits", whole), space=SMALL, step=16)
    assert len(read) == 9 and np.array_equal(read.values[5], whole[16:48, 32:64])
    assert read.labels == {} and "no redshift" in read.origin["labels"]


def test_several_maps_in_one_file_and_several_files(tmp_path):
    write(tmp_path / "a_z0.5.fits", noise(3, 64, 64))
    write(tmp_path / "b.fits", noise(64, 64), REDSHIFT=2.0)
    read = datasets.load(tmp_path / "*.fits", space=SMALL)
    assert read.labels["redshift"].tolist() == [0.5] * 12 + [2.0] * 4
    # All patches of one map, then those of the next.
    assert np.array_equal(read.values[4], noise(3, 64, 64)[1, :32, :32])
    given_redshift = datasets.load(tmp_path / "a_z0.5.fits", space=SMALL, labels={"redshift": 0.7})
    assert set(given_redshift.labels["redshift"]) == {0.7}


@pytest.mark.parametrize(
    ("name", "redshift"),
    [
        ("convergence_z49.fit", 0.49),
        ("map-z1.08.fits", 1.08),
        ("z2.fits", 2.0),
        ("z150_a.fits", 1.5),
        ("xyz49.fits", None),
    ],
)
def test_redshifts_in_names(tmp_path, name, redshift):
    read = datasets.load(write(tmp_path / name, noise(64, 64)), space=SMALL)
    assert read.labels.get("redshift", [None])[0] == redshift


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 4), labels=st.sets(st.sampled_from(["redshift", "mu"])), suffix=st.sampled_from(["fit", "fits"])
)
def test_what_is_written_is_read_back(tmp_path, n, labels, suffix):
    sample = Sample(noise(n, 32, 32), {name: np.arange(n) + 0.5 for name in labels}, SMALL)
    path = datasets.save(tmp_path / f"maps.{suffix}", sample, overwrite=True)
    read = datasets.load(path, space=SMALL)
    assert np.array_equal(read.values, sample.values)
    assert {k: v.tolist() for k, v in read.labels.items()} == {k: v.tolist() for k, v in sample.labels.items()}
    with fits.open(path) as file:
        assert file[0].header["ANGLE"] == pytest.approx(1.75) and file[0].data.shape[-2:] == (32, 32)


# The ray-traced maps are not part of the project; without them there is nothing to test.
@pytest.mark.parametrize("maps", [REAL] if REAL.is_dir() else [], ids=str)
def test_the_real_maps(maps):
    read = datasets.load(maps / "*.fit")
    assert len(read) == 16 and set(read.labels["redshift"]) == {0.49, 0.78, 1.08, 1.5}
    deep = read.select(read.labels["redshift"] == 1.5)
    assert deep.values.std() == pytest.approx(0.0136, rel=0.02)
    assert abs(read.values.mean()) < 1e-6


def refused(path, message, **options):
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(path, **options)
    assert str(path) in str(caught.value)


def test_maps_of_another_scale(tmp_path):
    refused(write(tmp_path / "a.fits", noise(512, 512), ANGLE=7.0), "0.8203 arcmin wide, those of .* 0.4102 arcmin")
    refused(write(tmp_path / "a.fits", noise(512, 512), ANGLE=None), "scale is not known.*setval")
    refused(write(tmp_path / "a.fits", noise(128, 128), ANGLE=0.875), "smaller than a patch")
    by_pixel = write(tmp_path / "b.fits", noise(256, 256), ANGLE=None, CDELT1=-1.75 / 256)
    assert len(datasets.load(by_pixel)) == 1


def test_maps_with_holes(tmp_path):
    whole = noise(64, 64)
    whole[3, 4] = np.nan
    refused(write(tmp_path / "a.fits", whole), "1 pixels are NaN or infinite", space=SMALL)


def test_files_without_a_map(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column(name="kappa", format="D", array=np.arange(3.0))])
    table.writeto(tmp_path / "table.fits")
    refused(tmp_path / "table.fits", "expected a map")
    with pytest.raises(ValueError, match="received space 'whole-detector'"):
        datasets.load(write(tmp_path / "a.fits", noise(64, 64)), space="whole-detector")


@pytest.mark.parametrize("kept", np.linspace(0.05, 0.99, 6))
@pytest.mark.parametrize("own", [False, True])
def test_a_truncated_file(tmp_path, kept, own):
    path = tmp_path / "maps.fits"
    if own:
        datasets.save(path, Sample(noise(3, 32, 32), {"redshift": np.ones(3)}, SMALL))
    else:
        write(path, noise(64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refused(path, "truncated or corrupt FITS file.*again", space=SMALL)


def test_what_no_fits_file_can_hold(tmp_path, events):
    with pytest.raises(ValueError, match="is for maps in degrees"):
        datasets.save(tmp_path / "a.fits", events(2), layout="convergence")
    path = write(tmp_path / "a.fits", noise(64, 64))
    with pytest.raises(ValueError, match="is a FITS file, and only HDF5"):
        datasets.stream(path)
    np.savez(tmp_path / "b.npz", hist=np.zeros((1, 64, 64)))
    with pytest.raises(ValueError, match="files of one kind, received a FITS file, an npz archive"):
        datasets.load([path, tmp_path / "b.npz"])
    with pytest.raises(ValueError, match="step= is for maps"):
        datasets.load(tmp_path / "b.npz", step=3)
    with pytest.raises(ValueError, match="already holds the labels"):
        datasets.load(
            datasets.save(tmp_path / "c.fits", Sample(noise(2, 32, 32), {"redshift": np.ones(2)}, SMALL)),
            space=SMALL,
            labels={"redshift": 1},
        )


@pytest.mark.parametrize("key", ["ANGLE", "CDELT1", "REDSHIFT"])
@pytest.mark.parametrize("value", ["3.5 deg", True])
def test_a_header_with_text_for_a_number(tmp_path, key, value):
    path = write(tmp_path / "a.fits", noise(64, 64), **({"ANGLE": None} if key == "CDELT1" else {}) | {key: value})
    refused(path, f"header keyword {key} is {value!r}, expected a number.*setval", space=SMALL)


def test_a_negative_redshift_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match=r"a\.fits: label 'redshift' has values below zero, the first is -0.5"):
        datasets.load(write(tmp_path / "a.fits", noise(64, 64), REDSHIFT=-0.5), space=SMALL)


def test_labels_that_are_no_numbers(tmp_path):
    path = write(tmp_path / "a.fits", noise(64, 64))
    with fits.open(path, mode="append") as file:
        column = fits.Column(name="redshift", format="4A", array=["high"])
        file.append(fits.BinTableHDU.from_columns([column], name="LABELS"))
    refused(path, "expected numbers as labels, the table LABELS contains .*'redshift'", space=SMALL)


def test_only_the_first_of_several_images_is_read_and_this_is_said(tmp_path):
    path = write(tmp_path / "a.fits", noise(64, 64))
    with fits.open(path, mode="append") as file:
        file.append(fits.ImageHDU(noise(64, 64)))
    assert datasets.load(path, space=SMALL).origin["not read"] == "1 more images"


def test_labels_that_no_table_holds(tmp_path):
    for labels in (["mu", "MU"], ["µ"], [""]):
        sample = Sample(noise(2, 32, 32), {name: np.ones(2) for name in labels}, SMALL)
        with pytest.raises(ValueError, match="cannot be columns of a FITS table"):
            datasets.save(tmp_path / "a.fits", sample)
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_read_back_before_it_counts(tmp_path, monkeypatch):
    """A library that swaps pixels: an error, and nothing is left."""

    def writeto(hdus, file, original=fits.HDUList.writeto, **options):
        hdus[0].data = hdus[0].data[..., ::-1].copy()
        original(hdus, file, **options)

    monkeypatch.setattr(fits.HDUList, "writeto", writeto)
    with pytest.raises(OSError, match=r"a\.fits: maps of shape \(3, 32, 32\) .*differs when it is read back"):
        datasets.save(tmp_path / "a.fits", Sample(noise(3, 32, 32), {}, SMALL))
    assert not list(tmp_path.iterdir())
