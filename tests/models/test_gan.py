import errno
import json
import os
import resource
import tempfile
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from calolab import models
from calolab.models import GAN
from calolab.spaces import Layer, Space, pad_edges

SPACE = Space("grid", ("eta", "phi"), ("", "rad"), (Layer((pad_edges(3, 0.1), pad_edges(2, 0.1))),))


def small_gan(space=SPACE):
    inputs = {name: keras.Input((size,), name=name) for name, size in (("latent", 4), ("energy", 1), ("theta", 1))}
    x = layers.Dense(6, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed=0))(
        ops.concatenate(list(inputs.values()), axis=-1)
    )
    image = keras.Input((3, 2, 1))
    return GAN(
        "small",
        space,
        networks={
            "generator": keras.Model(inputs, layers.Reshape((3, 2, 1))(x)),
            "discriminator": keras.Model(image, {"generation": layers.Dense(1)(layers.Flatten()(image))}),
        },
        latent_size=4,
        conditions=("energy", "theta"),
        settings={"width": 6},
    )


def unconditional_gan():
    latent, image = keras.Input((4,), name="latent"), keras.Input((3, 2, 1))
    x = layers.Dense(6, kernel_initializer=keras.initializers.GlorotUniform(seed=0))(latent)
    return GAN(
        "plain",
        SPACE,
        networks={
            "generator": keras.Model({"latent": latent}, layers.Reshape((3, 2, 1))(x)),
            "discriminator": keras.Model(image, {"generation": layers.Dense(1)(layers.Flatten()(image))}),
        },
        latent_size=4,
        conditions=(),
        value_scale=2.0,
    )


def copying_gan():
    """A GAN whose events are the latent vectors: without arithmetic nothing is rounded."""
    latent, image = keras.Input((6,), name="latent"), keras.Input((3, 2, 1))
    return GAN(
        "copying",
        SPACE,
        networks={
            "generator": keras.Model({"latent": latent}, layers.Reshape((3, 2, 1))(latent)),
            "discriminator": keras.Model(image, {"generation": layers.Dense(1)(layers.Flatten()(image))}),
        },
        latent_size=6,
        conditions=(),
    )


def labels(events):
    return {"energy": np.linspace(10, 50, events), "theta": np.linspace(1, 2, events), "mass": np.zeros(events)}


def assert_equal_but_for_rounding(found, expected):
    """Equal up to the rounding of two sums of float32 whose terms are added in another order.

    The layer of these GANs adds at most 7 products and a bias, of the order of the largest value: 8 roundings each.
    """
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * 8 * np.finfo(np.float32).eps * np.abs(expected).max())


def test_latent_vectors_depend_on_the_seed_alone():
    gan = copying_gan()
    nine = gan.generate(9, seed=3).values
    for events, batch_size in ((9, 1), (9, 4), (9, 100), (4, 32), (1, 1)):
        np.testing.assert_array_equal(gan.generate(events, seed=3, batch_size=batch_size).values, nine[:events])
    np.testing.assert_array_equal(nine.reshape(9, 6), np.random.default_rng(3).standard_normal((9, 6), np.float32))


def test_generated_events_do_not_depend_on_their_number():
    gan = small_gan()
    many = gan.generate(labels(9), seed=3)
    few = gan.generate({name: column[:4] for name, column in labels(9).items()}, seed=3)
    assert_equal_but_for_rounding(few.values, many.values[:4])
    assert set(many.labels) == {"energy", "theta"}
    assert many.origin["gan"] == "small"
    assert many.origin["seed"] == 3


def test_an_odd_last_batch_compiles_nothing():
    gan, traced = small_gan(), []
    call = gan.generator.call
    gan.generator.call = lambda *args, **options: traced.append(1) or call(*args, **options)
    assert len(gan.generate(labels(9), seed=3, batch_size=4)) == 9
    assert len(traced) == 1


def test_no_events_make_an_empty_sample():
    assert len(small_gan().generate(labels(0), seed=0)) == 0


def test_without_conditions_only_the_number_of_events_counts(tmp_path):
    gan = unconditional_gan()
    five = gan.generate(5, seed=3)
    assert five.labels == {}
    np.testing.assert_array_equal(gan.generate(labels(5), seed=3).values, five.values)
    assert_equal_but_for_rounding(gan.generate(np.int64(2), seed=3, batch_size=1).values, five.values[:2])
    assert len(gan.generate(0, seed=0)) == 0
    assert "none" in gan._repr_html_()
    gan.save(tmp_path / "plain.gan")
    loaded = models.load(tmp_path / "plain.gan")
    assert loaded.conditions == ()
    assert loaded.value_scale == 2.0
    np.testing.assert_array_equal(loaded.generate(5, seed=3).values, five.values)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (-1, "must not be negative, received -1"),
        ({}, "expects the number of events, or labels; received no label"),
        ({"energy": [1.0, 2.0], "theta": [1.0]}, "same for all labels"),
    ],
)
def test_wrong_numbers_of_events_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        unconditional_gan().generate(wrong, seed=0)


def test_only_conditions_can_be_traversed():
    with pytest.raises(ValueError, match="'plain' has no conditions to traverse"):
        unconditional_gan().traverse(labels(2), seed=0)


def test_a_conditional_gan_needs_labels():
    with pytest.raises(ValueError, match="'small' expects the labels energy, theta.*only the number 3"):
        small_gan().generate(3, seed=0)


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("conditional-rpv", {"gluino_mass": [1400, -1], "neutralino_mass": [250, 250]}, "'gluino_mass'.*positive.*-1"),
        ("conditional-rpv", {"gluino_mass": [1400], "neutralino_mass": [0]}, "'neutralino_mass'.*positive.*0"),
        (
            "conditional-rpv",
            {"gluino_mass": [1400, 800], "neutralino_mass": [250, 850]},
            "'gluino_mass' must be larger than 'neutralino_mass'.*800.0 and 850.0",
        ),
        ("conditional-rpv", {"gluino_mass": [1400]}, "neutralino_mass is missing"),
        ("pileup", {"mu": [20, -1]}, "'mu' must be 0 or more, received -1"),
    ],
)
def test_impossible_labels_are_refused(name, labels, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, "whole-detector", filters=1).generate(labels, seed=0)


def test_traverse_repeats_the_latent_vectors_latent_first():
    gan = small_gan()
    points = labels(3)
    sample = gan.traverse(points, seed=5, latents=2)
    np.testing.assert_array_equal(sample.labels["latent"], [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(sample.labels["energy"], np.tile(points["energy"], 2))
    vectors = np.random.default_rng(5).standard_normal((2, 4), dtype=np.float32)
    expected = gan.generate(points, seed=0, latent=np.repeat(vectors[1:], 3, axis=0))
    np.testing.assert_allclose(sample.values[3:], expected.values, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"energy": [10.0]}, "theta is missing"),
        ({"energy": [10.0, -1.0], "theta": [1.0, 1.0]}, "positive.*-1"),
        ({"energy": [0.0], "theta": [1.0]}, "positive"),
        ({"energy": [np.nan], "theta": [1.0]}, "not finite"),
        ({"energy": [10.0], "theta": [1.0, 2.0]}, "same for all labels"),
        ({"energy": 10.0, "theta": 1.0}, "shape"),
    ],
)
def test_wrong_labels_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        small_gan().generate(wrong, seed=0)


def test_wrong_latent_vectors_and_sizes_are_refused():
    gan = small_gan()
    with pytest.raises(ValueError, match=r"\(2, 4\), one vector per event, received \(2, 5\)"):
        gan.generate(labels(2), seed=0, latent=np.zeros((2, 5)))
    with pytest.raises(ValueError, match="batch_size"):
        gan.generate(labels(2), seed=0, batch_size=0)
    with pytest.raises(ValueError, match="latents"):
        gan.traverse(labels(2), seed=0, latents=0)


def test_networks_that_do_not_fit_are_refused():
    gan = small_gan()
    other = Space("other", ("eta", "phi"), ("", "rad"), (Layer((pad_edges(4, 0.1), pad_edges(2, 0.1))),))
    with pytest.raises(ValueError, match="output_shape must be"):
        small_gan(other)
    with pytest.raises(ValueError, match="must have the inputs"):
        GAN("small", SPACE, networks=gan.networks, latent_size=4)
    image, mass = keras.Input((3, 2, 1), name="image"), keras.Input((1,), name="mass")
    head = layers.Dense(1)(ops.concatenate([layers.Flatten()(image), mass], axis=-1))
    networks = gan.networks | {"discriminator": keras.Model({"image": image, "mass": mass}, {"generation": head})}
    with pytest.raises(ValueError, match=r"input_shape must be \(3, 2, 1\).*or .*'energy'.*it is .*'mass'"):
        GAN("small", SPACE, networks=networks, latent_size=4, conditions=("energy", "theta"))
    with pytest.raises(ValueError, match="needs the network 'generator', received discriminator"):
        replace(gan, networks={"discriminator": gan.discriminator})


def test_the_file_has_a_header_and_its_networks_need_only_keras(tmp_path):
    gan = small_gan()
    gan.provenance["trainings"] = [{"epochs": 3}]
    path = tmp_path / "small.gan"
    gan.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["small.gan"]
    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read("gan.json"))
        archive.extractall(tmp_path)
    assert description["label_units"] == {"energy": "GeV", "theta": "rad"}
    assert description["latent_size"] == 4
    assert Space.from_dict(description["space"]) == SPACE
    assert keras.saving.load_model(tmp_path / "generator.keras").count_params() == gan.generator.count_params()
    loaded = models.load(path)
    assert loaded.provenance == gan.provenance
    assert loaded.settings == gan.settings
    assert "3 epochs" in loaded._repr_html_()


def test_a_file_of_version_1_is_converted_when_read(tmp_path):
    """Its discriminator returned a probability, and its features had no name."""
    image = keras.Input((3, 2, 1))
    head = layers.Dense(1, activation="sigmoid", name="generation")(layers.Flatten()(image))
    gan = small_gan()
    old = replace(gan, networks=gan.networks | {"discriminator": keras.Model(image, {"generation": head})})
    path = tmp_path / "old.gan"
    old.save(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(content["gan.json"]) | {"version": 1}
    for name in ("value_scale", "networks", "parts", "library"):
        del description[name]
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**content, "gan.json": json.dumps(description)}.items():
            archive.writestr(name, text)
    gan = models.load(path)
    images = np.random.default_rng(0).standard_normal((5, 3, 2, 1), dtype=np.float32)
    probability = old.discriminator.predict_on_batch(images)["generation"]
    for again in (gan, saved_and_loaded(gan, tmp_path / "new.gan")):
        logits = again.discriminator.predict_on_batch(images)["generation"]
        np.testing.assert_allclose(logits, np.log(probability / (1 - probability)), rtol=1e-4, atol=1e-6)
        assert again.discriminator.get_layer("features").output.shape == (None, 6)
        assert again.value_scale == 1.0


def saved_and_loaded(gan, path):
    gan.save(path)
    return models.load(path)


def test_files_without_a_gan_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="gan.save"):
        models.load(tmp_path / "none.gan")
    gan, path = small_gan(), tmp_path / "small.gan"
    gan.save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="not a complete GAN file"):
        models.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gan.json", json.dumps({"format": "calolab-gan", "version": 99}))
    with pytest.raises(ValueError, match="version 99"):
        models.load(path)


def test_a_gan_that_cannot_be_read_at_present_is_not_reported_as_damaged(tmp_path):
    """As if the process had reached its limit of open files."""
    small_gan().save(tmp_path / "small.gan")
    before, spare = resource.getrlimit(resource.RLIMIT_NOFILE), os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, before[1]))
    try:
        with pytest.raises(OSError, match=r"small\.gan: cannot be read now") as raised:
            models.load(tmp_path / "small.gan")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert raised.value.errno == errno.EMFILE
    assert models.load(tmp_path / "small.gan").conditions == ("energy", "theta")


def test_a_full_disk_is_reported_and_keeps_the_earlier_gan(tmp_path):
    gan, path = small_gan(), tmp_path / "small.gan"
    gan.save(path)
    content, before = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"small\.gan: .*ulimit -f.*small\.gan is unchanged") as raised:
            gan.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG
    assert [p.name for p in tmp_path.iterdir()] == ["small.gan"] and path.read_bytes() == content


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    gan, path = small_gan(), tmp_path / "small.gan"
    gan.save(path)
    before = path.read_bytes()
    gan.provenance["cannot be written as JSON"] = object()
    with pytest.raises(TypeError):
        gan.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["small.gan"]
    assert path.read_bytes() == before


def changed(path, **parts):
    """Rewrite the GAN file with other parts; a function receives the content of its part."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for name, part in parts.items():
        name = next(member for member in content if member.startswith(name))
        content[name] = part(content[name]) if callable(part) else part
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)


def described(**changes):
    return lambda content: json.dumps(json.loads(content) | changes)


def keras_file(network, path):
    network.save(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"generator": b"no keras"}, r"generator\.keras cannot be read by Keras"),
        ({"gan": b"[1]"}, r"gan\.json must be an object"),
        ({"gan": b"{"}, "Expecting property name"),
        ({"gan": described(version="2")}, "must be an object with a version"),
        ({"gan": described(space=None)}, "must have 'space' of type dict, has None"),
        ({"gan": described(space={"layers": []})}, "damaged"),
        ({"gan": described(conditions="energy")}, "'conditions' of type list"),
        ({"gan": described(provenance={"trainings": [{}]})}, "must have a number of epochs"),
        ({"gan": described(networks={"generator": {}})}, r"'generator' in the format 'keras' is expected"),
        ({"gan": described(parts={"inner": ["generator", "none"]})}, "No such layer"),
        ({"gan": described(value_scale=0)}, "value_scale must be positive"),
    ],
)
def test_foreign_and_missing_parts_are_named_with_their_file(tmp_path, parts, words):
    path = tmp_path / "small.gan"
    small_gan().save(path)
    changed(path, **parts)
    with pytest.raises(ValueError, match=rf"small\.gan: not a complete GAN file.*{words}.*gan\.save") as raised:
        models.load(path)
    assert tempfile.gettempdir() not in str(raised.value).replace(str(tmp_path), "")


def test_another_network_and_weights_that_are_not_finite_are_refused(tmp_path):
    gan, path = small_gan(), tmp_path / "small.gan"
    gan.save(path)
    changed(path, generator=keras_file(gan.discriminator, tmp_path / "other.keras"))
    with pytest.raises(ValueError, match="small.gan: not a complete GAN file.*must have the inputs"):
        models.load(path)
    gan.generator.weights[0].assign(np.full(gan.generator.weights[0].shape, np.nan))
    gan.save(path)
    with pytest.raises(ValueError, match="small.gan: .*weights .* of generator.keras are not finite"):
        models.load(path)


def test_no_code_of_a_gan_file_is_run(tmp_path):
    """A Lambda layer holds Python code, and a member's name may point out of the archive."""
    gan, path = small_gan(), tmp_path / "small.gan"
    gan.save(path)
    inputs = {name: keras.Input(shape) for name, shape in (("latent", (4,)), ("energy", (1,)), ("theta", (1,)))}
    ran = str(tmp_path / "ran")  # Keras saves a text in the function's closure, but no path
    values = layers.Lambda(lambda x: open(ran, "w").close() or x)(layers.Dense(6)(inputs["latent"]))
    lambdas = keras.Model(inputs, layers.Reshape((3, 2, 1))(values))
    (tmp_path / "ran").unlink()
    changed(path, generator=keras_file(lambdas, tmp_path / "lambda.keras"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside", "x")
    with pytest.raises(ValueError, match="small.gan: .*generator.keras cannot be read by Keras.*Lambda"):
        models.load(path)
    assert not (tmp_path / "ran").exists() and not (tmp_path.parent / "outside").exists()


def test_truncated_gan_files_are_refused_with_their_name(tmp_path):
    path = tmp_path / "small.gan"
    small_gan().save(path)
    content = path.read_bytes()
    for end in np.linspace(0, len(content) - 1, 12).astype(int):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match="small.gan: not a complete GAN file"):
            models.load(path)


def test_a_gan_is_adapted_to_a_changed_detector_and_stays_as_it_is(tmp_path):
    gan = small_gan()
    gan.provenance["trainings"] = [{"epochs": 3}]
    other = replace(SPACE, name="other", layers=(Layer((pad_edges(3, 0.2), pad_edges(2, 0.2))),))
    copy, labels = gan.adapted(other), {"energy": np.full(4, 20.0), "theta": np.ones(4)}
    assert copy.space == other and gan.space == SPACE
    assert copy.epochs == 3 and copy.provenance["adapted_from"] == "grid" and "adapted_from" not in gan.provenance
    before = gan.generate(labels, seed=1).values
    np.testing.assert_array_equal(copy.generate(labels, seed=1).values, before)
    for variable in copy.generator.trainable_variables:
        variable.assign(variable + 1.0)
    assert not np.array_equal(copy.generate(labels, seed=1).values, before)
    np.testing.assert_array_equal(gan.generate(labels, seed=1).values, before)
    copy.save(tmp_path / "copy.gan")
    assert models.load(tmp_path / "copy.gan").space == other


@pytest.mark.parametrize("change", [{"unit": "MeV"}, {"layers": (Layer((pad_edges(3, 0.1), pad_edges(3, 0.1))),)}])
def test_a_gan_cannot_be_adapted_to_other_cells_or_another_quantity(change):
    with pytest.raises(ValueError, match="Only a space with the same axes, cells and quantity"):
        small_gan().adapted(replace(SPACE, name="other", **change))
