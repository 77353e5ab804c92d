"""Runs over processes: failures stay alone, a death is survived, and Ctrl-C leaves nobody behind."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg.config import ConfigError
from avsgn_pyg.experiments.suites import load_suite
from avsgn_pyg.experiments.suites.farm import work_off
from avsgn_pyg.experiments.suites.jobs import Job, plan


@pytest.fixture
def jobs(written: Path, tmp_path: Path) -> list[Job]:
    return plan(load_suite(written, supervisions=["full"]), (0, 1, 2), tmp_path)


#: What workers do here; they import it by name, so it stands in a module of its own.
WORK = """
import os, signal, time

def note(job):
    '''Leave a file with the process's number, and fail or die where the row and the seed say so.'''
    job.folder.mkdir(parents=True)
    (job.folder / "pid").write_text(str(os.getpid()))
    os.write(2, b"a line of compiled code\\n")
    if job.name.endswith("no_av/seed-1"):
        raise ZeroDivisionError("a defect")
    if job.name.endswith("ours/seed-2"):
        os.kill(os.getpid(), signal.SIGKILL)

def wait_long(job):
    job.folder.mkdir(parents=True)
    (job.folder / "pid").write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "work_of_this_test.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "work_of_this_test", raising=False)
    return importlib.import_module("work_of_this_test")


def pids(jobs: list[Job]) -> list[int]:
    return [int((job.folder / "pid").read_text()) for job in jobs if (job.folder / "pid").exists()]


def test_in_this_process_a_failure_is_told_and_the_rest_goes_on(jobs: list[Job], work: ModuleType):
    failures = work_off(jobs[:4], processes=0, progress=False, work=work.note)
    assert [(failure.job.name, failure.reason) for failure in failures] == [
        ("full/no_av/seed-1", "ZeroDivisionError: a defect")]
    assert pids(jobs) == [os.getpid()] * 4
    assert "ZeroDivisionError" in failures[0].job.log.read_text()


@pytest.mark.slow
def test_a_process_that_dies_takes_one_run_with_it(jobs: list[Job], work: ModuleType):
    failures = work_off(jobs, processes=1, devices=["cpu"], progress=False, work=work.note)
    assert [(failure.job.name, failure.reason) for failure in failures] == [
        ("full/no_av/seed-1", "ZeroDivisionError: a defect"), ("full/ours/seed-2", "its process died (exit code -9)")]
    found = pids(jobs)
    assert len(found) == len(jobs) and len(set(found[:5])) == 1 and found[5] not in (found[0], os.getpid())
    assert "a line of compiled code" in jobs[0].log.read_text()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_ctrl_c_stops_every_process_and_is_passed_on(jobs: list[Job], work: ModuleType):
    def interrupt() -> None:
        deadline = time.monotonic() + 120
        while len(pids(jobs)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        work_off(jobs, processes=2, devices=["cpu"], progress=False, work=work.wait_long)
    found = pids(jobs)
    assert len(found) == 2 and not any(map(alive, found))


def test_a_device_that_is_not_there_is_refused(jobs: list[Job], work: ModuleType):
    with pytest.raises(ConfigError, match=r"devices cpu: with 0 processes runs are trained in this one"):
        work_off(jobs, processes=0, devices=["cpu"], progress=False, work=work.note)
    with pytest.raises(ConfigError, match=r"devices cuda:99: not here; there are .*cpu, auto"):
        work_off(jobs, devices=["cuda:99"], progress=False, work=work.note)


def test_nothing_to_do_is_done(jobs: list[Job], work: ModuleType):
    assert work_off([], progress=False, work=work.note) == []
