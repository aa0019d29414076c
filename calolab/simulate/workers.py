"""Worker processes: a program of our own, several times, given tasks and giving results through pipes.

Each worker is a fresh interpreter that runs one named module, not a copy of this process. So nothing depends on a main
guard, a notebook's cells or what the session has imported, and whatever a C++ library prints stays out of the session.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import calolab


@dataclass(frozen=True)
class _Worker:
    name: str
    process: subprocess.Popen
    printed: BinaryIO

    def last_words(self, lines: int = 12) -> str:
        self.printed.seek(0)
        return "\n".join(self.printed.read().decode(errors="replace").strip().splitlines()[-lines:])


@dataclass(frozen=True)
class _Failure:
    worker: _Worker
    error: Exception


def run(
    module: str,
    job: object,
    tasks: Sequence[object],
    receive: Callable[[int, Any], None],
    *,
    processes: int,
    environment: Mapping[str, str],
    chunk: int,
) -> object:
    """Let `processes` workers do all tasks, and return when they are done or have failed; none outlives the call.

    Args:
        module: what `python -m` starts; it calls `serve`.
        job: what every worker gets first.
        tasks: what is to be done, in any order, by any worker.
        receive: called with a task's position and its result as each one arrives.
        processes: how many workers.
        environment: variables added to theirs.
        chunk: how many tasks a worker gets at a time.

    Returns:
        What the first worker to be ready said about itself.

    Raises:
        RuntimeError: if a worker ends before its tasks are done; the message has the last lines that it printed.
        ValueError: if a worker refuses the job.
    """
    chunks: queue.SimpleQueue = queue.SimpleQueue()
    for start in range(0, len(tasks), chunk):
        chunks.put((start, tasks[start : start + chunk]))
    results: queue.SimpleQueue = queue.SimpleQueue()
    started: list[_Worker] = []
    threads: list[threading.Thread] = []
    ready = None
    try:
        for number in range(max(1, min(processes, chunks.qsize()))):
            started.append(_start(f"worker {number + 1}", module, environment))
            arguments = (started[-1], job, chunks, results)
            threads.append(threading.Thread(target=_converse, args=arguments, daemon=True))
            threads[-1].start()
        done = 0
        while done < len(tasks) or ready is None:
            position, result = results.get()
            if isinstance(result, ValueError):
                raise result
            if isinstance(result, _Failure):
                raise _explained(result)
            if position is None:
                ready = result
            else:
                receive(position, result)
                done += 1
    finally:
        for worker in started:
            worker.process.kill()
        for worker in started:
            worker.process.wait()
        for thread in threads:
            thread.join()
        for worker in started:
            # What a killed worker has not read any more goes nowhere, which must not hide why it was killed.
            with contextlib.suppress(BrokenPipeError):
                worker.process.stdin.close()
            worker.process.stdout.close()
            worker.printed.close()
    return ready


def _start(name: str, module: str, environment: Mapping[str, str]) -> _Worker:
    root = str(Path(calolab.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    printed = tempfile.TemporaryFile()  # noqa: SIM115 - `run` closes it, after its worker has ended
    process = subprocess.Popen(
        # -P: a file of the user's folder must not stand in for a library.
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=printed,
        env={**os.environ, **environment, "PYTHONPATH": path},
        # Ctrl-C in a terminal reaches this process only, which then ends its workers.
        start_new_session=True,
    )
    return _Worker(name, process, printed)


def _converse(worker: _Worker, job: object, chunks: queue.SimpleQueue, results: queue.SimpleQueue) -> None:
    """One thread per worker: hand out chunks while there are any, pass on what comes back."""
    try:
        _send(worker.process.stdin, job)
        results.put((None, pickle.load(worker.process.stdout)))
        while True:
            try:
                start, chunk = chunks.get_nowait()
            except queue.Empty:
                return
            _send(worker.process.stdin, chunk)
            for position in range(start, start + len(chunk)):
                results.put((position, pickle.load(worker.process.stdout)))
    except Exception as error:  # `run` waits for one answer or the other, and raises this one
        results.put((None, _Failure(worker, error)))


def _send(stream: BinaryIO, content: object) -> None:
    pickle.dump(content, stream)
    stream.flush()


def _explained(failure: _Failure) -> RuntimeError:
    worker = failure.worker
    try:
        # Its pipes close a little before it ends, and only then are its last words complete.
        status = worker.process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        status = worker.process.wait()
    reason = f"signal {-status}" if status < 0 else f"exit status {status}"
    return RuntimeError(
        f"The simulation's {worker.name} ended ({reason}) before its work was done. "
        f"It printed last:\n{worker.last_words() or '(nothing)'}"
    )


def serve(prepare: Callable[[Any], tuple[object, Callable[[Sequence[Any], Callable[[Any], None]], None]]]) -> None:
    """The worker's side of `run`: take the job, then chunks of tasks, until the other side closes the pipe.

    Args:
        prepare: called with the job, it returns what to say about itself and a function that is called with each chunk
            and a function to send one result per task, in order; its ValueError is raised on the other side.
    """
    answers = os.fdopen(os.dup(1), "wb")
    # From here on whatever is printed, by C++ too, joins the error output and cannot disturb the answers.
    os.dup2(2, 1)
    try:
        about, work = prepare(pickle.load(sys.stdin.buffer))
    except ValueError as refusal:
        _send(answers, refusal)
        return
    _send(answers, about)
    while True:
        try:
            chunk = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        work(chunk, lambda result: _send(answers, result))
