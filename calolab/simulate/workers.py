"""Worker processes: several instances of one of our programs, which receive tasks and return results through pipes.

Each worker is a new interpreter that runs one module, not a copy of this process. Therefore no main guard is needed,
the workers do not depend on the cells of a notebook or on imported modules, and the output of C++ libraries does not
appear in the session.
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
    """Run all tasks in worker processes; all workers have ended when the function returns or raises an exception.

    Args:
        module: module to run with `python -m`; it calls `serve`.
        job: sent to every worker first.
        tasks: tasks, which any worker may do in any order.
        receive: called with the index of a task and its result, in the order of arrival.
        processes: number of workers.
        environment: environment variables to add.
        chunk: number of tasks sent to a worker at a time.

    Returns:
        The description returned by the first worker that is ready.

    Raises:
        RuntimeError: if a worker ends before its tasks are complete, with its last lines of output.
        ValueError: if a worker rejects the job.
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
            # Data that a killed worker has not read raise BrokenPipeError, which must not hide the original exception.
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
        # -P: files in the current folder must not be imported instead of libraries.
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=printed,
        env={**os.environ, **environment, "PYTHONPATH": path},
        # Ctrl-C in a terminal then reaches only this process, which ends its workers.
        start_new_session=True,
    )
    return _Worker(name, process, printed)


def _converse(worker: _Worker, job: object, chunks: queue.SimpleQueue, results: queue.SimpleQueue) -> None:
    """Send chunks to one worker while there are any, and pass on its results; runs in a thread."""
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
    except Exception as error:  # `run` waits for results and raises this exception
        results.put((None, _Failure(worker, error)))


def _send(stream: BinaryIO, content: object) -> None:
    pickle.dump(content, stream)
    stream.flush()


def _explained(failure: _Failure) -> RuntimeError:
    worker = failure.worker
    try:
        # The pipes are closed shortly before the process ends, and only then is its output complete.
        status = worker.process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        status = worker.process.wait()
    reason = f"signal {-status}" if status < 0 else f"exit status {status}"
    return RuntimeError(
        f"{worker.name.capitalize()} of the simulation ended ({reason}) before its work was complete. "
        f"Its last output:\n{worker.last_words() or '(nothing)'}"
    )


def serve(prepare: Callable[[Any], tuple[object, Callable[[Sequence[Any], Callable[[Any], None]], None]]]) -> None:
    """The main function of a worker: receive the job and then chunks of tasks, until the pipe is closed.

    Args:
        prepare: called with the job; returns a description of the worker and a function that is called with each chunk
            and a function that sends one result per task, in order. A ValueError is raised in the other process.
    """
    answers = os.fdopen(os.dup(1), "wb")
    # All further output, including that of C++, goes to the error output and cannot mix with the results.
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
