"""This checkout's speed over another's: the same work in two processes, which take turns.

Each process imports the package of its checkout. It runs this file as a script, whose top-level imports are
therefore of neither package.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve()
HERE = FILE.parents[3]
STATUS = Path("/proc/self/status")

#: Name -> function of workload.py, settings of its Workload, and the target of the ratio if the other is 0.1.0.
CASES: dict[str, tuple[str, dict[str, Any], float | None]] = {
    "step, default recipe": ("trainer_step", {"recipe": "avsgn_full.yaml"}, 1.25),
    "step, defaults of the specification": ("trainer_step", {}, 1.3),
    "step, gat": ("trainer_step", {"overrides": ("model.cmgi.conv=gat",)}, 1.25),
    "step, transformer": ("trainer_step", {"overrides": ("model.cmgi.conv=transformer",)}, 1.25),
    "step, B=1": ("trainer_step", {"batch_size": 1}, None),
    "step, B=1 T=300": ("trainer_step", {"batch_size": 1, "segments": 300}, 1.2),
    "Videos.batch": ("draw_batches", {"videos": 640}, 1.0),
    "epoch, default recipe": ("trainer_epoch", {"videos": 640, "recipe": "avsgn_full.yaml"}, 1.0),
    "window, one hour, gcn": ("long_pass", {"segments": 3600}, None),
}
#: glibc's thresholds depend on what a process freed before, which would decide whether tensors are mapped anew.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


@contextmanager
def worker(folder: Path, function: str, settings: dict[str, Any]) -> Iterator[tuple[float | None, Callable[[], float]]]:
    """Start a process that prepares one function of workload.py over the package in `folder`.

    Yields:
        The MiB that its first call added at its highest, ``None`` if the system is not Linux; and a function that
        takes a sample, the process's CPU seconds for one call.

    Raises:
        RuntimeError: the process ended; the message is the end of its error stream.
    """
    process = subprocess.Popen([sys.executable, "-W", "ignore", str(FILE)], cwd=folder, text=True,
                               env={**os.environ, **ALLOCATOR, "PYTHONPATH": str(folder)},
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def request(order: object) -> Any:
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            raise RuntimeError(f"a process of the benchmark ended: {process.communicate()[1][-2000:]}") from None

    try:
        yield request([str(folder), function, settings]), lambda: request("sample")
    finally:
        process.kill()
        process.communicate()


def against_groups(other: Path) -> dict[str, Any]:
    """Return a group of rows for each of :data:`CASES`, which compares this checkout with the one in `other`.

    Raises:
        FileNotFoundError: `other` is not a checkout of this project.
    """
    if not (other / "avsgn_pyg" / "__init__.py").is_file():
        raise FileNotFoundError(f"{other} has no avsgn_pyg: give a checkout of this project, such as a git worktree")
    return {name: functools.partial(compare_case, name, other.resolve()) for name in CASES}


def compare_case(name: str, other: Path, workload: Any) -> Any:
    """Yield one case of :data:`CASES`: the two checkouts' CPU seconds, and their peak memory."""
    from avsgn_pyg.experiments.benchmark.results import Comparison, Row

    function, settings, at_most = CASES[name]
    settings = {**dataclasses.asdict(workload), **settings}
    settings["overrides"] = (*CASES[name][1].get("overrides", ()), *workload.overrides)
    with worker(other, function, settings) as (old_peak, old), worker(HERE, function, settings) as (peak, this):
        yield Comparison(name, {other.name: old, "this": this}, at_most={"this": at_most}, timed=True)
    note = "" if old_peak is None else f"{old_peak:.4g} MiB in {other.name}; one call"
    yield Row(f"{name}: peak memory", peak, "MiB", note=note)


def serve() -> None:
    """Prepare the function in the first line of input and write its peak; then write a sample for each further line."""
    replies, sys.stdout = sys.stdout, sys.stderr  # the package's own output must not mix with the replies
    folder, function, settings = json.loads(sys.stdin.readline())
    found = Path(importlib.import_module("avsgn_pyg").__file__).parents[1]
    if not found.samefile(folder):
        raise RuntimeError(f"expected the package in {folder}, imported the one in {found}")
    import timing  # of this script's folder
    import torch
    import workload

    def reply(value: float | None) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    torch.set_num_threads(settings["threads"])
    run = getattr(workload, function)(workload.Workload(**settings))
    peak = added_memory(run)
    sample = timing.sampler(run)
    reply(peak)
    for _ in sys.stdin:
        reply(sample())


def added_memory(work: Callable[[], object]) -> float | None:
    """Call ``work()`` and return by how many MiB this process grew at its highest; ``None`` if not on Linux."""

    def size(field: str) -> int:
        return int(re.search(rf"{field}:\s*(\d+)", STATUS.read_text()).group(1))

    try:
        STATUS.with_name("clear_refs").write_text("5")  # resets VmHWM; getrusage would begin with the parent's peak
        before = size("VmRSS")
    except OSError:
        work()
        return None
    work()
    return max(size("VmHWM") - before, 0) / 1024


if __name__ == "__main__":
    serve()
