"""Leases of other machines, and their refreshing."""

import json
import os
import time

import pytest

from avsgn_pyg.common import lease as module
from avsgn_pyg.common.lease import lease


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(module, "SETTLE", 0.0)


def write(path, age=0.0, **changes):
    path.write_text(json.dumps({"host": "far", "machine": "far", "pid": os.getpid(), **changes}))
    os.utime(path, (time.time() - age,) * 2)


@pytest.mark.parametrize(("age", "changes", "free"), [
    (0.0, {}, False),
    (module.STALE - 60, {}, False),
    (module.STALE + 60, {}, True),
    (0.0, {"machine": module.machine()}, True),  # an earlier process with the number of this one
    (0.0, {"machine": module.machine(), "pid": os.getppid()}, False),
    (module.STALE + 60, {"machine": module.machine(), "pid": os.getppid()}, True),  # the number was given anew
])
def test_a_lease_is_taken_over_when_its_holder_ended_or_an_hour_after_its_last_refresh(tmp_path, age, changes, free):
    write(tmp_path / "a", age, **changes)
    with lease(tmp_path / "a") as held:
        assert held == free
    assert (tmp_path / "a").exists() != free


@pytest.mark.parametrize("content", ["", "[1]", "{}", "\x00"])
def test_a_lease_that_is_being_written_is_held(tmp_path, content):
    (tmp_path / "a").write_text(content)
    with lease(tmp_path / "a") as held:
        assert not held


def test_a_lease_is_refreshed_until_another_process_takes_it_over(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "REFRESH", 0.01)
    path = tmp_path / "a"
    with lease(path) as held, lease(path) as again:
        assert held and not again
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 60
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0
        write(path)
        while "lost to another process" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "lost to another process" in caplog.text and json.loads(path.read_text())["host"] == "far"
