"""Runs as tasks of a Ray cluster. Ray is an optional extra, imported here alone."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Any

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.experiments.suites.execution import attempt
from avsgn_pyg.experiments.suites.runs import Run


def run_on_ray(runs: Sequence[Run], cpus: int = 1, gpus: float | None = None) -> Iterator[tuple[Run, str | None]]:
    """Train `runs` on a Ray cluster, or one started here; yield each with the reason of its failure, or None.

    The working directory, the data and the output folder must have the same paths on every machine.

    Args:
        cpus, gpus: that each run takes, a part of a GPU too; ``None``: one GPU where the cluster has any.

    Raises:
        ConfigError: Ray is not installed, or no machine of the cluster has so many.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError('engine=ray needs Ray, the extra "cluster": pip install "avsgn_pyg[cluster]"; or give each '
                          "machine its part with --shard")
    if not runs:
        return
    import ray

    joined = ray.is_initialized()
    if not joined:
        ray.init(log_to_driver=False, include_dashboard=False)
    waiting: dict[Any, Run] = {}
    try:
        gpus = float(ray.cluster_resources().get("GPU", 0) > 0) if gpus is None else gpus
        check_resources(cpus, gpus, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        task = ray.remote(_attempt_in).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        waiting |= {task.remote(os.getcwd(), run, cpus): run for run in runs}
        while waiting:
            [done], _ = ray.wait(list(waiting))
            run = waiting.pop(done)
            try:
                yield run, ray.get(done)
            except ray.exceptions.RayError as error:
                yield run, f"{type(error).__name__}: {error}"
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
        if not joined:
            ray.shutdown()


def check_resources(cpus: int, gpus: float, machines: Sequence[dict[str, float]]) -> None:
    """ConfigError for a run that no machine has the resources for: Ray would wait without end."""
    if gpus < 0 or (gpus > 1 and gpus % 1):
        raise ConfigError(f"gpus={gpus:g}: expected a share of one GPU, such as 0.5, or a number of whole ones")
    if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        found = ", ".join(f"{machine.get('CPU', 0):g} and {machine.get('GPU', 0):g}" for machine in machines)
        raise ConfigError(f"a run is to take {cpus} CPUs and {gpus:g} GPUs; the machines have {found}")


def _attempt_in(folder: str, run: Run, threads: int) -> str | None:
    os.chdir(folder)
    return attempt(run, threads)
