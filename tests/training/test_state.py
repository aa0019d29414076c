import pytest

from calolab.training.state import TrainingState


def test_losses_are_means_over_passes_and_events():
    state = TrainingState()
    for events, scale in ((2, 1.0), (6, 2.0)):
        state.count_pass({"real_loss": 4 * scale, "real_auxiliary": 1.0}, share=1)
        state.count_pass({"fake_loss": 2 * scale}, share=1)
        state.count_pass({"generator_loss": 10 * scale, "generator_empty": 0.0}, share=0.5)
        state.count_pass({"generator_loss": 20 * scale, "generator_empty": 0.5}, share=0.5)
        losses = state.count_step(events, seconds=2.0, timed=scale > 1)
    assert losses["discriminator"] == pytest.approx(6)
    assert losses["generator"] == pytest.approx(30)
    assert losses["generator_empty"] == pytest.approx(0.25)
    state.count_epoch()
    (epoch,) = state.history
    assert epoch["losses"]["generator"] == pytest.approx((2 * 15 + 6 * 30) / 8)
    assert (epoch["events"], epoch["seconds"], epoch["samples_per_second"]) == (8, 4.0, 3.0)
    assert (state.epoch, state.step, state.passes) == (1, 0, 0)


def test_consecutive_empty_steps_are_counted():
    state = TrainingState()
    seen = []
    for empty in (1.0, 1.0, 0.5, 1.0):
        state.count_pass({"discriminator_loss": 3.0}, share=1)
        state.count_pass({"generator_loss": 1.0, "generator_empty": empty}, share=1)
        assert state.count_step(1, 1.0, timed=True)["discriminator"] == 3
        seen.append(state.empty_steps)
    assert seen == [1, 2, 0, 1]


@pytest.mark.parametrize(
    ("direction", "expected"), [("lower", [True, False, True, False]), ("higher", [True, True, False, False])]
)
def test_the_best_score_is_kept_the_first_of_equal_ones(direction, expected):
    state = TrainingState()
    found = []
    for score in (5.0, 7.0, 4.0, 4.0):
        state.count_pass({"discriminator_loss": 1.0, "generator_loss": 1.0, "generator_empty": 0.0}, share=1)
        state.count_step(1, 1.0, timed=True)
        state.count_epoch()
        found.append(state.count_scores({"ks_comb": {"value": score, "direction": direction}}, by="ks_comb"))
    assert found == expected
    best = {"lower": (2, 4.0), "higher": (1, 7.0)}[direction]
    assert state.best == {"epoch": best[0], "score": best[1], "by": "ks_comb"}
    assert [epoch["scores"]["ks_comb"]["value"] for epoch in state.history] == [5, 7, 4, 4]
