"""Runs on the processes and devices of one machine; a run that fails does not stop the others."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import torch
from tqdm import tqdm

from avsgn_pyg.common.errors import EXPECTED_ERRORS, ConfigError, RunError
from avsgn_pyg.common.lease import repeat, touch
from avsgn_pyg.common.pool import Pool, cores
from avsgn_pyg.experiments.suites.runs import Run, train

#: Seconds between two updates of the bar, and of the mark that an output folder is in use.
INTERVAL: Final = 2.0
#: Seconds after which a mark that is not updated counts as left by a killed process.
STALE: Final = 60.0
logger = logging.getLogger(__name__)


class Failure(NamedTuple):
    """A run that failed, and why; its log has the details."""

    run: Run
    reason: str


class Task(NamedTuple):
    """A run with the environment of its device, and its number of CPU threads."""

    run: Run
    device: dict[str, str]
    threads: int


def run_on_processes(
    runs: Sequence[Run], processes: int | None = None, devices: Sequence[str] = ()
) -> Iterator[tuple[Run, str | None]]:
    """Train `runs` on this machine; yield each with the reason of its failure, or None.

    Args:
        processes: number of runs at a time, spread over the devices; ``None``: one for each device; 0: in this process.
        devices: ``cuda:<n>``, ``cpu`` or ``auto``; empty: every CUDA device, or ``auto`` where there is none.

    Raises:
        ConfigError: an unknown device, or one that is given although this process trains.
    """
    devices = check_devices(devices, processes)
    if processes == 0:
        yield from ((run, attempt(run)) for run in runs)
        return
    count = min(processes or len(devices), len(runs))
    free = deque(visible_devices(devices[number % len(devices)]) for number in range(count))
    tasks = (Task(run, free.popleft(), max(1, cores() // count)) for run in runs)
    with Pool(_attempt_on_device, count, preload=(__name__,)) as pool:
        # First in, first out: a process always gets the same device, since it returns it before it takes one.
        for task, outcome in pool.run(tasks):
            free.append(task.device)
            yield task.run, str(outcome) if isinstance(outcome, Exception) else outcome


def check_devices(devices: Sequence[str], processes: int | None) -> list[str]:
    """Return the devices to use; ConfigError for one that is not available."""
    if processes == 0 and devices:
        raise ConfigError(f"devices {', '.join(devices)}: with 0 processes runs are trained in this process, on "
                          "train.device; set that, or use at least one process")
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if strange := [device for device in devices if device not in (*gpus, "cpu", "auto")]:
        raise ConfigError(f"devices {', '.join(strange)}: not found; there are {', '.join((*gpus, 'cpu', 'auto'))}")
    return list(devices) or gpus or ["auto"]


def attempt(run: Run, threads: int | None = None) -> str | None:
    """Train a run and return why it failed, or None; what the library logs is appended to the log of the run.

    Args:
        threads: CPU threads of a process of its own. All its output, that of compiled code too, then goes to the log.
    """
    run.log.parent.mkdir(parents=True, exist_ok=True)
    with run.log.open("a", encoding="utf-8") as log:
        os.utime(run.log)
        if threads is not None:
            torch.set_num_threads(threads)
            for number, stream in ((1, sys.stdout), (2, sys.stderr)):
                stream.flush()
                os.dup2(log.fileno(), number)
        with _log_to(log):
            try:
                train(run)
            except EXPECTED_ERRORS as error:
                logger.error("%s", error)
                return str(error)
            except Exception as error:  # a defect of one row must not end the other rows
                logger.error("%s", traceback.format_exc())
                return f"{type(error).__name__}: {error}"
    return None


def _attempt_on_device(task: Task) -> str | None:
    os.environ.update(task.device)
    return attempt(task.run, task.threads)


def visible_devices(device: str) -> dict[str, str]:
    """The environment of a process that sees `device` alone; nothing is set for ``auto``."""
    if device in ("auto", "cpu"):
        return {} if device == "auto" else {"CUDA_VISIBLE_DEVICES": ""}
    number = device.removeprefix("cuda:")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return {"CUDA_VISIBLE_DEVICES": visible[int(number)] if visible != [""] else number}


@contextlib.contextmanager
def show_progress(runs: Sequence[Run]) -> Iterator[Callable[[Run], None]]:
    """Show a bar of the epochs in the journals of `runs` on a terminal, with the names of the runs that are training.

    Yields:
        A function to call with each run that has ended.
    """
    started, ended = time.time(), set()

    def count() -> int:
        return sum(run.epochs for run in runs)

    def refresh() -> None:
        bar.set_description(name_training([run for run in runs if run.name not in ended], started), refresh=False)
        bar.update(count() - bar.n)

    total = sum(run.config.train.epochs for run in runs)
    with tqdm(total=total, initial=count(), unit="epoch", disable=None) as bar:
        with repeat(refresh, INTERVAL):
            yield lambda run: ended.add(run.name)


def name_training(runs: Sequence[Run], since: float) -> str:
    """Return the names of the runs whose log was written to since a moment, the first two and the number of others."""
    names = [run.name for run in runs if run.log.is_file() and run.log.stat().st_mtime >= since - 0.1]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


@contextlib.contextmanager
def use_alone(out: Path) -> Iterator[None]:
    """Mark `out` as in use by this machine while the context lasts.

    Raises:
        RunError: another machine has marked it within the last minute.
    """
    own = out / f".used-by-{platform.node()}"
    out.mkdir(parents=True, exist_ok=True)
    touch(own)
    try:
        for mark in out.glob(".used-by-*"):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                if mark != own and time.time() - mark.stat().st_mtime < STALE:
                    raise RunError(
                        f"{out}: {mark.name.removeprefix('.used-by-')} runs a suite there, and this is "
                        f"{platform.node()}. Give each machine its part, --shard 1/2 and --shard 2/2, or start one "
                        f"for all with --engine ray. If that one was killed, wait {STALE:g} s")
        with repeat(lambda: touch(own), INTERVAL):
            yield
    finally:
        own.unlink(missing_ok=True)


@contextlib.contextmanager
def _log_to(file: TextIO) -> Iterator[None]:
    library, handler = logging.getLogger("avsgn_pyg"), logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before = library.level
    library.addHandler(handler)
    library.setLevel(logging.INFO)
    try:
        yield
    finally:
        library.setLevel(before)
        library.removeHandler(handler)
