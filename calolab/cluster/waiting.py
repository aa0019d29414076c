"""Waiting for engines to register, with an error that says what is missing."""

from __future__ import annotations

import time
from pathlib import Path

import ipyparallel

from calolab.cluster import processes, slurm, time_limits


def wait_for(client: ipyparallel.Client, path: Path, n: int, timeout: float) -> None:
    """Wait until `n` engines have registered.

    Args:
        client: client of the cluster.
        path: file of the cluster.
        n: number of engines.
        timeout: maximum time [s].

    Raises:
        RuntimeError: if they do not within `timeout` seconds, or their processes or jobs have ended.
    """
    deadline, asked, jobs = time.monotonic() + timeout, 0.0, ()
    while len(client.ids) < n:
        content = processes.read(path)
        if content is None or "controller" not in content:
            raise RuntimeError("the controller has ended.")
        if not content["engines"]["sets"]:
            raise RuntimeError("the engines have ended before they registered.")
        numbers = processes.job_ids(content)
        if numbers and time.monotonic() - asked > time_limits.SLURM_CHECK_EVERY:
            jobs, asked = slurm.jobs(numbers), time.monotonic()
            if jobs[-1].ended:  # the newest one
                raise RuntimeError(f"the engines have ended before they registered: {jobs[-1]}.")
        if time.monotonic() > deadline:
            registered = f"{len(client.ids)} of {n} engines registered within {timeout:g} s"
            if waiting := [job for job in jobs if not job.ended]:
                registered += f"; {', '.join(map(str, waiting))}"
            raise RuntimeError(
                f"{registered}. If they wait in a queue, give a longer timeout=; if they run elsewhere, they must "
                f"reach address={content['cluster']['controller_ip']!r}."
            )
        time.sleep(0.05)
