"""This checkout's speed against another's: the same work in two processes that take turns.

Each process imports the package of its own checkout and runs this file's cases over :mod:`.workload`, which is written
for both; so this file imports nothing of the package before :func:`compare` is called. A round asks every process for
one sample, in shuffled order, while the other waits; seconds are the processes' own CPU seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).resolve()
OURS = HERE.parents[2]
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Case:
    """One piece of work that both checkouts do.

    Attributes:
        make: the function of :mod:`.workload` that prepares it.
        settings: of its :class:`Workload`.
        recipe: the default recipe of either checkout, not the defaults of the specification.
        at_most: the target of the ratio of CPU seconds.
        calls: calls in a sample.
        rounds: samples, at most the workload's.
        peak_mib: the target of peak memory, which is then a row too.
    """

    make: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    recipe: bool = False
    at_most: float | None = None
    calls: int = 1
    rounds: int = 100
    peak_mib: float | None = None


#: glibc's thresholds follow what a process freed before, so that what it imported would decide whether a batch's
#: tensors are mapped anew each time (a millisecond). Both processes keep their memory.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}

#: What ``--against`` measures; the targets are for 0.1.0 as the other checkout.
CASES: dict[str, Case] = {
    "step, default recipe": Case("trainer_step", recipe=True, at_most=1.25),
    "step, defaults of the specification": Case("trainer_step", at_most=1.3),
    "step, gat": Case("trainer_step", {"overrides": ("model.cmgi.conv=gat",)}, at_most=1.25),
    "step, transformer": Case("trainer_step", {"overrides": ("model.cmgi.conv=transformer",)}, at_most=1.25),
    "step, B=1": Case("trainer_step", {"batch_size": 1}, calls=5),
    "step, B=1 T=300": Case("trainer_step", {"batch_size": 1, "segments": 300}, at_most=1.2, rounds=7),
    "Videos.batch": Case("draw_batches", {"videos": 640}, at_most=1.0, calls=100),
    "epoch, default recipe": Case("trainer_epoch", {"videos": 640}, recipe=True, at_most=1.0, rounds=5),
    "window, one hour, gcn": Case("long_pass", {"segments": 3600}, rounds=3, peak_mib=3072.0),
}


class Worker:
    """A process that has prepared one case over the package in `folder`.

    Attributes:
        seconds: CPU seconds of all its samples so far.
        peak: bytes that the first call added at its highest, ``None`` where the system does not report it.

    Raises:
        RuntimeError: the process ended; what it wrote to its error stream is the message.
    """

    def __init__(self, folder: Path, case: Case, settings: dict[str, Any]) -> None:
        order = {"make": case.make, "settings": settings, "recipe": case.recipe, "calls": case.calls,
                 "folder": str(folder), "benchmark": str(HERE.parent)}
        code = f"import runpy; runpy.run_path({str(HERE)!r})['serve']()"
        # The checkout comes first on the path, as the current folder and for what it starts itself.
        self.process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], cwd=folder, text=True,
                                        env={**os.environ, **ALLOCATOR, "PYTHONPATH": str(folder)},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.seconds, self.peak = 0.0, self._ask(order)

    def sample(self) -> None:
        """One sample more."""
        self.seconds += self._ask("sample")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def _ask(self, order: object) -> Any:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args[-1]}: {self.process.communicate()[1][-2000:]}")
        return json.loads(line)


def serve() -> None:
    """The worker's side: prepare what the first line of input orders, then take a sample for each further line."""
    answers, sys.stdout = sys.stdout, sys.stderr  # keeps the package's own output out of the protocol
    order = json.loads(sys.stdin.readline())
    package = importlib.import_module("avsgn_pyg")
    if Path(package.__file__).resolve().parents[1] != Path(order["folder"]).resolve():
        raise RuntimeError(f"{order['folder']} holds no avsgn_pyg; {package.__file__} was imported")
    workload, memory = (_load(name, Path(order["benchmark"]) / f"{name}.py") for name in ("workload", "memory"))
    settings = {**order["settings"], "recipe": workload.RECIPE if order["recipe"] else None}
    run = getattr(workload, order["make"])(workload.Workload(**settings))
    _answer(answers, memory.added_bytes(run))
    for _ in sys.stdin:
        start = time.process_time()
        for _ in range(order["calls"]):
            run()
        _answer(answers, (time.process_time() - start) / order["calls"])


def _answer(stream: TextIO, value: Any) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def _load(name: str, file: Path) -> Any:
    """A file of this checkout's benchmark as a module, over whichever package is imported."""
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def against_groups(other: Path) -> dict[str, Callable[[Any], Iterator[Any]]]:
    """Groups of rows, one a case of :data:`CASES`, that compare this checkout with the one in `other`.

    Raises:
        FileNotFoundError: `other` holds no checkout of this project.
    """
    if not (other / "avsgn_pyg" / "zoo.py").is_file():
        raise FileNotFoundError(f"{other} holds no avsgn_pyg: give a checkout of this project, such as a git worktree")
    return {name: lambda workload, name=name: compare(name, CASES[name], other.resolve(), workload) for name in CASES}


def compare(name: str, case: Case, other: Path, workload: Any) -> Iterator[Any]:
    """Rows of one case: the ratio of CPU seconds and, where the case has a target for it, peak memory."""
    from avsgn_pyg.experiments.rows import Row
    from avsgn_pyg.experiments.timing import Variant, interleave, quartiles, ratios

    settings = {"width": workload.width, "batch_size": workload.batch_size, "seed": workload.seed,
                "threads": workload.threads, **case.settings}
    settings["overrides"] = (*settings.get("overrides", ()), *workload.overrides)
    with contextlib.ExitStack() as stack:
        workers = {}
        for who, folder in (("this", OURS), ("other", other)):
            workers[who] = Worker(folder, case, settings)
            stack.callback(workers[who].close)
        samples = interleave({who: Variant(worker.sample, warm=lambda: None) for who, worker in workers.items()},
                             min(workload.rounds, case.rounds), seed=workload.seed, budget=4 * workload.budget,
                             read=lambda: sum(worker.seconds for worker in workers.values()))
        peaks = {who: worker.peak for who, worker in workers.items()}
    this, old = (1e3 * quartiles(samples[who]).median for who in ("this", "other"))
    yield Row.over_rounds(f"{name}: this / {other.name}", ratios(samples, "this", "other"), "ratio",
                          at_most=case.at_most, note=f"CPU {this:.4g} and {old:.4g} ms, {len(samples['this'])} rounds")
    if case.peak_mib is not None and None not in peaks.values():
        yield Row(f"{name}: peak memory", peaks["this"] / MEBIBYTE, "MiB", at_most=case.peak_mib,
                  note=f"over parameters and input; {other.name} {peaks['other'] / MEBIBYTE:.0f} MiB; one sample each")
