import textwrap

import psutil
import pytest

from calolab.simulate import workers

PREPARE = """
import os, sys
from calolab.simulate import workers

def prepare(job):
    {prepare}
    def work(chunk, send):
        for task in chunk:
            {work}
    return {{"job": job}}, work

if __name__ == "__main__":
    workers.serve(prepare)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Write a worker module and run it; returns the results in order, and the description of the worker."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(work, tasks, prepare="pass", receive=None, processes=2, chunk=3):
        (tmp_path / "small_worker.py").write_text(textwrap.dedent(PREPARE.format(prepare=prepare, work=work)))
        got = {}
        options = {"processes": processes, "environment": {"GREETING": "hello"}, "chunk": chunk}
        about = workers.run("small_worker", "a job", tasks, receive or got.__setitem__, **options)
        return [got[position] for position in range(len(tasks))], about

    before = set(psutil.Process().children(recursive=True))  # engines or servers of other tests
    yield run
    assert set(psutil.Process().children(recursive=True)) <= before


def test_every_task_is_done_once_in_its_place(worker):
    results, about = worker("send(task * task)", list(range(20)))
    assert results == [n * n for n in range(20)]
    assert about == {"job": "a job"}


def test_what_a_worker_prints_does_not_disturb_its_answers(worker):
    results, _ = worker("print('a banner'); os.system('echo another'); send(os.environ['GREETING'])", [1, 2])
    assert results == ["hello", "hello"]


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("raise RuntimeError('the beam is off')", "exit status 1"),
        ("print('the magnet quenched', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)", "signal 9"),
    ],
)
def test_a_worker_that_dies_is_an_error_with_its_last_words(worker, work, reason):
    with pytest.raises(RuntimeError, match=reason) as failure:
        worker(work, list(range(10)))
    if "print" in work:
        assert "the magnet quenched" in str(failure.value)
    if "raise" in work:
        assert "the beam is off" in str(failure.value)


def test_a_worker_may_refuse_the_job(worker):
    with pytest.raises(ValueError, match="no such detector"):
        worker("send(task)", [1, 2, 3], prepare="raise ValueError('no such detector')")


def test_an_interruption_ends_all_workers(worker):
    def interrupt(position, result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker("send(task)", list(range(1000)), receive=interrupt, chunk=1)
