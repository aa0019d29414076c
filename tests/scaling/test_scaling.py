"""Scaling measured on two real engines: parts that add up, waiting where it is, and the model."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

from calolab import cluster, models, scaling, spaces
from calolab.cluster import hub, machine
from calolab.distributed import shipment
from calolab.samples import Sample
from calolab.scaling import measure, network, rank
from calolab.scaling.efficiency import ScalingReport
from calolab.scaling.network import Network
from calolab.training import Recipe, TrainingRequest
from tests.helpers import wait_for


@pytest.fixture(scope="module")
def events():
    random = np.random.default_rng(0)
    values = random.exponential(20.0, (24, 64, 64)) * (random.random((24, 64, 64)) < 0.05)
    return Sample(values, {}, spaces.space("whole-detector"))


@pytest.fixture(scope="module")
def small():
    return models.build("rpv", spaces.space("whole-detector"), filters=8)


@pytest.fixture(scope="module")
def report(two, events, small):
    before = small.generator.get_weights()
    measured = scaling.report(two, small, events, batch_size=8, steps=3, rounds=2, progress=False)
    for one, other in zip(before, small.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    return measured


def test_a_report_measures_every_kind_and_its_parts_are_the_step(report):
    assert [(point.kind, point.ranks, point.batch_size) for point in report.points] == [
        ("alone", 1, 8),
        ("independent", 2, 8),
        ("weak", 2, 8),
        ("strong", 2, 4),
    ]
    for point in report.points:
        assert min(point.compute, point.waiting, point.allreduce) >= 0
        assert point.compute + point.waiting + point.allreduce == pytest.approx(point.step)
        share = 2 if point.kind == "strong" else 1
        assert point.efficiency == pytest.approx(point.reference / point.step / share)
        assert point.memory > 200e6
    weak = report.point("weak", 2)
    assert weak.allreduce > 0 and weak.waiting > 0
    assert weak.samples_per_second == pytest.approx(2 * 8 / weak.step)
    with pytest.raises(ValueError, match="measured were alone on 1"):
        report.point("weak", 3)


def test_bytes_are_those_of_both_networks_and_a_ring_of_two_sends_them_once(report, small):
    def parameters(name):
        return sum(int(np.prod(v.shape)) for v in getattr(small, name).trainable_variables)

    assert report.passes == ("discriminator", "generator")
    for size, name in zip(report.sizes, ("discriminator", "generator"), strict=True):
        # Beside the gradients go some losses and the moving statistics.
        assert 4 * parameters(name) < size < 4 * parameters(name) + 4000
    assert report.point("weak", 2).bytes == sum(report.sizes)
    assert report.point("alone", 1).bytes == report.point("independent", 2).bytes == 0


def test_losses_say_where_all_that_is_lost_goes(report):
    weak = report.point("weak", 2)
    assert sum(report.losses().values()) == pytest.approx(weak.step - weak.reference)


def test_a_report_survives_json_and_shows_itself(report):
    again = ScalingReport.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again == report
    assert "2 engines, same batch per engine" in repr(again) and "<table" in again._repr_html_()
    assert "rounds of 3 steps" in again.notes[0]


def test_the_prediction_of_what_was_measured_is_near_it_and_goes_to_1024_ranks(report):
    predicted = report.predict([1, 2, 1024])
    weak = report.point("weak", 2)
    assert predicted.step[0] == weak.reference and predicted.waiting[0] == predicted.average[0] == 0
    averages = sum(report.network.average_seconds(size, 2) for size in report.sizes)
    assert predicted.step[1] == pytest.approx(weak.compute + predicted.waiting[1] + averages)
    assert predicted.efficiency[2] < predicted.efficiency[1]
    # A better network is never slower, and Horovod's own time stays what it is.
    fast = report.predict([1024], Network("fast", 1e-6, 1e11))
    assert fast.average < predicted.average[2] and fast.network.overhead == report.network.overhead


def wait_for_rank_1(task, networks, values, labels):
    """The stamps of rank 0 with few events and rank 1 with many, and the seconds of the steps by another clock."""
    import time

    from calolab.scaling import rank

    rank.begin(task, networks, values, labels)
    try:
        size = 2 if task.meeting.rank == 0 else 192
        rank.take("data_parallel", 1, size, True)
        started = time.perf_counter()
        taken = rank.take("data_parallel", 3, size, True)
        return taken["stamps"], time.perf_counter() - started
    finally:
        rank.end()


def test_the_faster_rank_waits_for_the_slower_one(two, on_all, meetings, events, small):
    request = TrainingRequest(epochs=1, batch_size=192, recipe=Recipe.published("rpv"))
    many = np.tile(events.values, (8, 1, 1))  # so much slower that other work on the machine does not matter
    tasks = [rank.MeasurementTask(meeting, request, events.space) for meeting in meetings(two)]
    given = ([shipment.pack_gan(small)] * 2, [many] * 2, [{}] * 2)
    (first, seconds), (second, _) = on_all(two, wait_for_rank_1, per_rank=(tasks, *given))
    had, got = (np.array([first, second])[:, :, k:stop:2] for k, stop in ((1, -1), (2, -1)))
    assert np.all(had[0] < had[1]), "rank 0 has its gradients first, in every pass"
    assert np.all(got >= had.max(axis=0)), "no rank has the average before all have their gradients"
    compute, waiting, allreduce = measure.split(np.array([first, second]), ("here", "here"))
    assert waiting == pytest.approx((had[1] - had[0]).sum(axis=1).mean() / 2)
    # The time stamps cover everything except the start.
    assert 0.8 * seconds < 3 * (compute + waiting + allreduce) <= seconds


def test_clocks_of_several_machines_are_compared_by_the_ends_of_the_averages():
    first = np.array([[0.0, 1.0, 3.5, 4.0], [4.0, 5.0, 7.5, 8.0]])
    second = np.array([[0.0, 3.0, 3.5, 4.0], [4.0, 7.0, 7.5, 8.0]])
    here = measure.split(np.array([first, second]), ("a", "a"))
    assert here == pytest.approx((2.5, 1.0, 0.5))
    assert measure.split(np.array([first, second + 1000]), ("a", "b")) == pytest.approx(here)


def test_requests_that_cannot_be_measured_are_refused(two, events, small):
    for wrong, match in (
        ({"ranks": (1,)}, "2 to 2"),
        ({"ranks": (1, 3)}, "2 to 2"),
        ({"batch_size": 7}, "shared by 2"),
        ({"steps": 1}, "steps"),
    ):
        with pytest.raises(ValueError, match=match):
            scaling.report(two, small, events, **wrong)


def test_an_engine_that_dies_ends_the_measurement_and_the_other_is_free(events, small):
    if not machine.built():
        pytest.skip("Horovod is not installed: .ci/horovod_wheel.py builds it")
    with cluster.running(2, cores=1) as engines:
        victim = engines.client[engines.ids[1]].apply_sync(os.getpid)
        death = threading.Timer(12.0, os.kill, (victim, signal.SIGKILL))
        death.start()
        with pytest.raises(RuntimeError, match="engine 1 died"):
            scaling.report(engines, small, events, batch_size=8, rounds=10_000, progress=False)
        death.join()
        with pytest.raises(RuntimeError, match="engine 1 died"):  # before anything was asked of it
            measure._call(engines, (0, 1), os.getpid)
        assert engines.client[engines.ids[0]].apply_async(abs, -1).get(timeout=10) == 1


def test_engines_that_do_not_answer_end_the_measurement(searchers):
    with pytest.raises(RuntimeError, match=r"The measurement failed: engines \d+, \d+ did not answer within 0.5 s"):
        measure._call(searchers, searchers.ids, time.sleep, [(3,)] * 2, timeout=0.5)
    wait_for(lambda: not any(hub.tasks(searchers.client).values()))


def test_a_network_is_found_again_from_its_times():
    any_network = Network("any", 2e-5, 1e9, 1e-3)
    times = [float(any_network.average_seconds(size, 4)) for size in measure.SIZES]
    found = network.fit_network("any", 4, 2e-5, measure.SIZES, times)
    assert (found.bandwidth, found.overhead) == pytest.approx((1e9, 1e-3))
    # 2 (p - 1) messages and 2 (p - 1) / p of the vector, on top of the overhead.
    assert any_network.average_seconds(8e9, 4) == pytest.approx(1e-3 + 6 * 2e-5 + 1.5 * 8)
    with pytest.raises(ValueError, match="did not take longer"):
        network.fit_network("odd", 2, 0.0, [4, 400], [1.0, 0.5])


def test_waiting_is_for_the_slowest_of_normal_numbers():
    assert network.expected_maximum(1) == 0
    assert network.expected_maximum(2) == pytest.approx(1 / np.sqrt(np.pi), abs=1e-4)
    draws = np.random.default_rng(1).standard_normal((4000, 1024)).max(axis=1)
    assert network.expected_maximum(1024) == pytest.approx(draws.mean(), abs=5 * draws.std() / np.sqrt(4000))
    options = {"alone": 1.0, "compute": 1.0, "sizes": (0, 0), "jitter": (0.1, 0.3)}
    waiting = network.predict([1, 2], Network("none", 0.0, 1.0), **options).waiting
    assert waiting == pytest.approx([0.0, 0.4 / np.sqrt(np.pi)], abs=1e-4)
