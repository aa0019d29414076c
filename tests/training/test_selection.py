import numpy as np
import pytest

from calolab.training import PhysicsScore, Recipe, fit

QUIET = {"batch_size": 7, "progress": False}


def scripted(*numbers):
    """A physics score that returns these numbers for any GAN, and the list of weights that it has received."""
    left, seen = list(numbers), []

    def score(gan):
        seen.append([np.array(v.value.numpy()) for v in gan.generator.weights])
        return {"ks_comb": left.pop(0), "other": 1.0}

    return PhysicsScore(score), seen


def generator(gan):
    return [np.array(v.value.numpy()) for v in gan.generator.weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_gan_ends_with_the_best_epochs_weights(tiny_gan, tiny_sample):
    gan, (score, seen) = tiny_gan(), scripted(5.0, 2.0, 3.0)
    history = fit(gan, tiny_sample(), epochs=3, physics_score=score, **QUIET)
    assert history.scores("ks_comb") == [5, 2, 3]
    assert same(generator(gan), seen[1]) and not same(seen[1], seen[2])
    assert gan.provenance["trainings"][0]["best"] == {"epoch": 1, "score": 2.0, "by": "ks_comb"}
    assert ">2</td>" in history._repr_html_()
    with pytest.raises(ValueError, match="holds ks_comb, other"):
        history.scores("ks_jet_pt")


@pytest.mark.parametrize(("later", "best"), [((4.0, 1.0), 3), ((4.0, 6.0), 1)])
def test_the_best_epoch_survives_a_resumption(later, best, tiny_gan, tiny_sample, tmp_path):
    options = {"checkpoints": tmp_path, **QUIET}
    first, early = scripted(5.0, 2.0)
    fit(tiny_gan(), tiny_sample(), epochs=2, physics_score=first, **options)
    assert (tmp_path / "best.npz").exists()
    gan, (second, late) = tiny_gan(seed=9), scripted(*later)
    history = fit(gan, tiny_sample(), epochs=4, physics_score=second, resume=True, **options)
    assert history.scores("ks_comb") == [5, 2, *later]
    assert same(generator(gan), [*early, *late][best])
    whole, (score, seen) = tiny_gan(), scripted(5.0, 2.0, *later)
    fit(whole, tiny_sample(), epochs=4, physics_score=score, **QUIET)
    for resumed, expected in zip(generator(gan), seen[best], strict=True):
        np.testing.assert_allclose(resumed, expected, rtol=1e-5, atol=1e-7)


def test_two_ranks_keep_rank_0s_choice(tiny_gan, tiny_sample, on_ranks):
    def work(rank):
        gan = tiny_gan()
        score = PhysicsScore(lambda gan: {"ks_comb": float(np.abs(gan.generator.weights[0].value.numpy()).sum())})
        recipe = Recipe(generator_passes=1)
        fit(
            gan,
            tiny_sample(14).shard(rank.rank, 2),
            epochs=2,
            physics_score=score,
            recipe=recipe,
            parallel=rank,
            **QUIET,
        )
        return generator(gan), gan.provenance["trainings"][0]["best"]

    (first, best), (second, other) = on_ranks(2, work)
    assert same(first, second) and best == other


def test_a_score_without_its_number_is_refused(tiny_gan, tiny_sample):
    with pytest.raises(ValueError, match="by='ks_comb'"):
        fit(tiny_gan(), tiny_sample(7), epochs=1, physics_score=PhysicsScore(lambda gan: {"other": 1.0}), **QUIET)
    with pytest.raises(TypeError, match="function of a GAN"):
        PhysicsScore("ks_comb")


def test_resuming_with_another_score_or_none_discards_the_best_epoch(tiny_gan, tiny_sample, tmp_path):
    options = {"checkpoints": tmp_path, **QUIET}
    fit(tiny_gan(), tiny_sample(), epochs=1, physics_score=scripted(0.1)[0], **options)
    gan, seen = tiny_gan(), []
    other = PhysicsScore(lambda gan: seen.append(generator(gan)) or {"third": 50.0 - len(seen)}, by="third")
    history = fit(gan, tiny_sample(), epochs=3, physics_score=other, resume=True, **options)
    assert same(generator(gan), seen[1])
    assert np.isnan(history.scores("third")[0]) and history.scores("third")[1:] == [49, 48]
    assert "nan" not in history._repr_html_()  # the first epoch was not judged by this score: its cell is empty
    plain = tiny_gan()
    fit(plain, tiny_sample(), epochs=4, resume=True, **options)
    assert plain.provenance["trainings"][-1]["best"] == {} and not same(generator(plain), seen[1])


def test_a_failing_score_keeps_the_epoch_in_the_checkpoint(tiny_gan, tiny_sample, tmp_path):
    options = {"checkpoints": tmp_path, **QUIET}
    broken = PhysicsScore(lambda gan: 1 / 0)
    with pytest.raises(ValueError, match="failed with ZeroDivisionError"):
        fit(tiny_gan(), tiny_sample(), epochs=2, physics_score=broken, **options)
    history = fit(tiny_gan(), tiny_sample(), epochs=2, physics_score=scripted(3.0)[0], resume=True, **options)
    assert np.isnan(history.scores("ks_comb")[0]) and history.scores("ks_comb")[1] == 3


def test_a_new_training_sets_the_best_epoch_aside(tiny_gan, tiny_sample, tmp_path):
    for _ in range(2):
        fit(tiny_gan(), tiny_sample(7), epochs=1, physics_score=scripted(1.0)[0], checkpoints=tmp_path, **QUIET)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best.npz", "checkpoint.npz", "previous.npz", "previous_best.npz"]
