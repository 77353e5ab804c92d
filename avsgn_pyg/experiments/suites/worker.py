"""The process side of :mod:`~avsgn_pyg.experiments.suites.farm`: takes a run, does it, says what came of it."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from avsgn_pyg import recipes
from avsgn_pyg.experiments.suites.jobs import Job

#: What is done with a job.
Work = Callable[[Job], None]


def serve(connection: Connection, device: str, threads: int, work: Work) -> None:
    """A worker process: jobs in, ``None`` or the reason of a failure out, until the other end is closed."""
    # Ctrl-C reaches every process of the terminal; the one that started this one decides, and then terminates it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_follow, daemon=True).start()
    _see_only(device)
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            job = connection.recv()
            torch.set_num_threads(threads)
            with _into(job.log):
                reason = attempt(job, work)
            connection.send(reason)


def _see_only(device: str) -> None:
    """Leave the process one CUDA device, or none; ``auto`` leaves what there is."""
    if device == "auto":
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    number = device.removeprefix("cuda:")
    seen = "" if device == "cpu" else visible[int(number)] if visible != [""] else number
    os.environ["CUDA_VISIBLE_DEVICES"] = seen


def _follow() -> None:
    """Die with the process that started this one, however it ended."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def attempt(job: Job, work: Work) -> str | None:
    """Do `job`; the reason where it failed, whatever failed in it."""
    try:
        work(job)
    except recipes.EXPECTED_ERRORS as error:
        logging.getLogger(__name__).error("%s", error)
        return str(error)
    except Exception as error:  # a row's defect must not end the other rows
        logging.getLogger(__name__).error("%s", traceback.format_exc())
        return f"{type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def _into(log: Path) -> Iterator[None]:
    """Whatever this process says goes to `log`, that of compiled code too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    with logged(log):
        yield


@contextlib.contextmanager
def logged(log: Path) -> Iterator[None]:
    """The library's own lines go to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    logger, handler = logging.getLogger("avsgn_pyg"), logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()
