"""Many runs over the processes and devices of one machine; each can fail, or be stopped, by itself.

A process keeps what is slow to load and takes one run after another. It may die with its run (out of memory, say):
the run is then told as failed, a new process takes the next one. Stopping kills the processes at once, which loses no
more than an unfinished epoch (:mod:`avsgn_pyg.engine.run_folder`): the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Final

import torch
from tqdm import tqdm

from avsgn_pyg.config import ConfigError
from avsgn_pyg.experiments.suites.jobs import Job, train
from avsgn_pyg.experiments.suites.worker import Work, attempt, logged, serve

#: Seconds between two looks at the journals, for the bar.
GLANCE: Final = 2.0
#: Seconds that a process which was told to end may take.
PATIENCE: Final = 10.0


@dataclass(frozen=True)
class Failure:
    """A run that came to nothing, and why; all that it said is in its log."""

    job: Job
    reason: str


def devices_here() -> tuple[str, ...]:
    """Every CUDA device; where there is none, ``auto``: what ``train.device`` says."""
    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count())) or ("auto",)


def work_off(
    jobs: Sequence[Job], *, processes: int | None = None, devices: Sequence[str] = (), progress: bool = True,
    work: Work = train,
) -> list[Failure]:
    """Do all jobs; those that fail are answered, the others go on.

    Args:
        processes: how many at a time, dealt out over the devices; ``None``: one a device; 0: in this process.
        devices: ``cuda:<n>``, ``cpu`` or ``auto``; empty takes :func:`devices_here`.
        progress: show a bar of epochs on a terminal.
        work: what is done with a job.

    Raises:
        ConfigError: a device's name cannot be read, or is not there, or is given where no process is.
        KeyboardInterrupt: after everything has stopped.
    """
    devices = tuple(devices)
    if processes == 0 and devices:
        raise ConfigError(f"devices {', '.join(devices)}: with 0 processes runs are trained in this one, on "
                          "train.device; set that, or ask for a process")
    devices = devices or devices_here()
    _check_devices(devices)
    if processes == 0:
        return _here(jobs, work, progress)
    places = [devices[number % len(devices)] for number in range(min(processes or len(devices), len(jobs)))]
    threads = max(1, _cores() // max(1, len(places)))
    waiting, failures = deque(jobs), []
    workers = [_Worker(place, threads, work) for place in places]
    try:
        with _Bar(jobs, progress) as bar:
            for worker in workers:
                worker.take(waiting)
            while busy := {worker.connection: worker for worker in workers if worker.job is not None}:
                for connection in wait(list(busy), timeout=GLANCE):
                    failures += busy[connection].answer()
                    busy[connection].take(waiting)
                bar.glance()
    finally:
        for worker in workers:
            worker.send_home()
        for worker in workers:
            worker.stop()
    return failures


class _Worker:
    """A process on one device, and the job that it is at."""

    def __init__(self, device: str, threads: int, work: Work) -> None:
        self.device, self.threads, self.work = device, threads, work
        self.job: Job | None = None
        self._start()

    def take(self, waiting: deque[Job]) -> None:
        """Begin the next job, if there is one."""
        self.job = waiting.popleft() if waiting else None
        if self.job is not None:
            self.connection.send(self.job)

    def answer(self) -> list[Failure]:
        """What came of the job: nothing, or its failure. A process that died is replaced."""
        job, self.job = self.job, None
        try:
            reason = self.connection.recv()
        except (EOFError, OSError):
            self.connection.close()
            self.stop()
            reason = f"its process died (exit code {self.process.exitcode})"
            self._start()
        return [] if reason is None else [Failure(job, reason)]

    def send_home(self) -> None:
        """Ask the process to end, at once if it is at work."""
        self.connection.close()
        if self.job is not None:
            self.process.terminate()

    def stop(self) -> None:
        """See that the process has ended."""
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _start(self) -> None:
        # A forked process could not use CUDA once this one has.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self.device, self.threads, self.work)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        with _deaf():
            self.process.start()
        theirs.close()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Processes started here never hear Ctrl-C, not even while they load: this one decides for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _here(jobs: Sequence[Job], work: Work, progress: bool) -> list[Failure]:
    failures = []
    with _Bar(jobs, progress) as bar:
        for job in jobs:
            with logged(job.log):
                reason = attempt(job, work)
            failures += [] if reason is None else [Failure(job, reason)]
            bar.glance()
    return failures


class _Bar:
    """Epochs done of all that there are to do, as the runs' journals say."""

    def __init__(self, jobs: Sequence[Job], show: bool) -> None:
        self.jobs, self.show = jobs, show

    def __enter__(self) -> _Bar:
        total = sum(job.config.train.epochs for job in self.jobs)
        done = self._done() if self.show else 0
        self.bar = tqdm(total=total, initial=done, desc="reproduce", unit="epoch", disable=None if self.show else True)
        self.looked = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def glance(self) -> None:
        if not self.bar.disable and time.monotonic() - self.looked >= GLANCE:
            self.bar.update(self._done() - self.bar.n)
            self.looked = time.monotonic()

    def _done(self) -> int:
        return sum(job.epochs for job in self.jobs)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_devices(devices: Sequence[str]) -> None:
    there = (*(f"cuda:{number}" for number in range(torch.cuda.device_count())), "cpu", "auto")
    strange = [device for device in devices if device not in there]
    if strange:
        raise ConfigError(f"devices {', '.join(strange)}: not here; there are {', '.join(there)}")
