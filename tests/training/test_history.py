import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from calolab.training import History, Progress

EPOCH = {"epoch": 0, "losses": {"generator": 2.0}, "events": 5, "seconds": 1.0, "samples_per_second": 5.0}


def test_records_come_back_from_their_dictionaries():
    progress = Progress(0, 1, 2, 3, 4, {"generator": 1.0}, 10.0, 2.5)
    assert Progress.from_dict(progress.to_dict()) == progress
    assert progress.place == "epoch 2/2" and replace(progress, time_limit=60).place == "epoch 2/2, 2 of 60 s"
    history = History((EPOCH,), 2, {"seed": 1}, True)
    assert History.from_dict(history.to_dict()) == history


def test_losses_by_name():
    assert History((EPOCH,)).losses("generator") == [2.0]
    with pytest.raises(ValueError, match="it holds generator"):
        History((EPOCH,)).losses("critic")
    with pytest.raises(ValueError, match="no epoch"):
        History().losses("critic")


def test_html_has_a_row_per_epoch():
    html = History((EPOCH, {**EPOCH, "epoch": 1}), stopped=True)._repr_html_()
    assert html.count("<tr>") == 3
    assert "stopped early" in html


def test_in_stages_the_table_is_empty_where_a_network_does_not_learn():
    stages = [{**EPOCH, "epoch": n, "losses": {"quantities" if n < 30 else "cells": 2046.4}} for n in range(60)]
    html = History(stages)._repr_html_()
    assert "nan" not in html and html.count("2046") == 20
    lost = History([{**EPOCH, "losses": {"cells": float("nan")}}])._repr_html_()
    assert ">nan</td>" in lost  # a loss that was lost is shown
    # The first and the last epochs of a long training.
    assert (
        html.count("<tr>") == 22 and ">5</td>" in html and "…" in html and ">46</td>" in html and ">45</td>" not in html
    )


def test_records_need_no_tensorflow():
    code = (
        "import sys, calolab.training as t; t.History, t.Recipe, t.TrainingDiverged; print('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_diverging_loss_is_reported():
    def history(*sizes):
        return History(
            [{**EPOCH, "epoch": i, "losses": {"discriminator": s, "generator": 1.0}} for i, s in enumerate(sizes)]
        )

    assert history(-3.0, -5.0, -4.0, -6.0).divergence == history().divergence == ""
    assert history(*np.linspace(30, 2, 12)).divergence == "", "a loss that falls does not run away"
    for sizes in ((1, 10, 100, 1000, 10_000), np.geomspace(2, 180, 20), (2, 3, 1, 1e6, 1e6, 50)):
        assert "the discriminator's loss is up to" in history(*sizes).divergence, sizes
    runaway = history(-3.0, -5.0, -40.0, -6000.0)
    assert "6e+03 in epoch 4" in runaway.divergence
    assert runaway.divergence in runaway._repr_html_()
    assert len(runaway.plot_beginning().axes) == 2


def test_the_loss_of_a_network_that_learns_in_a_later_stage_is_compared_with_its_own_first_ones():
    def history(*sizes):
        first = [{**EPOCH, "epoch": i, "losses": {"total": 1.0}} for i in range(4)]
        return History([*first, *({**EPOCH, "epoch": 4 + i, "losses": {"velocity": s}} for i, s in enumerate(sizes))])

    assert history(60.0, 50.0, 40.0, 30.0).divergence == ""
    assert "the velocity's loss is up to 3 in its first epochs, and 90 in epoch 8" in history(3, 2, 1, 90).divergence


def record(value, **more):
    return {"value": value, "direction": "lower", **more}


def test_scores_that_have_a_floor_come_first_and_their_floors_once_above():
    epochs = tuple(
        {**EPOCH, "epoch": k, "scores": {"chi2": record(9.0), "ks_comb": record(5.0 - k, floor=2.36)}} for k in (0, 1)
    )
    history = History(epochs)
    html = history._repr_html_()
    assert html.index(">ks comb</th>") < html.index(">chi2</th>") and history.floor("ks_comb") == (2.36, 0.0)
    assert html.count("2.36") == 1 and html.index("floor ks comb 2.36") < html.index("<table")
    with pytest.raises(ValueError, match="'chi2' has no floor"):
        history.floor("chi2")
    with pytest.raises(ValueError, match="No score 'chi'"):
        history.floor("chi")


def test_an_unfinished_epoch_is_counted_and_drawn_at_the_fraction_that_was_done():
    unfinished = {**EPOCH, "epoch": 1, "steps": 2, "losses": {"generator": 3.0}, "events": 2, "samples_per_second": 2.0}
    history = History((EPOCH,), 1, {"events": 5}, True, "time limit", unfinished, steps=7)
    assert repr(history) == "History(1 epoch and 2 steps on 1 rank, stopped: time limit)"
    assert history.losses("generator") == [2.0, 3.0]
    assert history.samples_per_second == pytest.approx(7 / 2)
    html = history._repr_html_()
    assert "1 epoch and 2 steps" in html and "2 (unfinished)" in html and html.count("<tr>") == 3
    (line,) = history.plot(["generator"]).axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), [1, 1.4])
    within_the_first = History((), 1, {"events": 5}, True, "time limit", {**unfinished, "epoch": 0}, steps=2)
    assert within_the_first.losses("generator") == [3.0] and "0 epochs and 2 steps" in repr(within_the_first)
    assert len(within_the_first.plot(["generator"]).axes[0].lines) == 1
    assert History().samples_per_second == 0


def test_the_losses_that_are_minimised_are_those_of_all_networks_in_all_stages():
    first = {"cells": 1.0, "cells_bias": 0.1, "critic": 2.0}
    second = {"discriminator": 1.0, "generator": 2.0, "real_generation": 0.5, "generator_empty": 0.0, "penalty": 0.1}
    assert Progress(0, 0, 1, 0, 1, first, 1.0, 1.0).sums == ("cells", "critic")
    assert Progress(0, 0, 1, 0, 1, second, 1.0, 1.0).sums == ("discriminator", "generator")
    history = History([{**EPOCH, "losses": losses} for losses in (first, first, first, second, second)])
    lines = {line.get_label() for axes in history.plot().axes for line in axes.get_lines()}
    assert {"cells", "critic", "discriminator", "generator"} <= lines and "penalty" not in lines
