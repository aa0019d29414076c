"""Independent pieces of numerical work in threads, one per core."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits

from calolab import cpu


def in_threads(function: Callable, arguments: Iterable) -> Iterator:
    """`function(argument)` for each argument, in order, in one thread per core; few arguments are taken in advance.

    Linear algebra uses one thread within each call: its own threads would wait for each other on a busy machine.

    Args:
        function: a function whose work NumPy does without the interpreter's lock.
        arguments: the arguments, one per call.
    """
    workers, waiting = cpu.cores(), deque()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
