"""Locks: one holder at a time, and none after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from avsgn_pyg.experiments.suites.locks import held

pytest.importorskip("fcntl")


def test_one_holds_it_and_the_next_is_told(tmp_path: Path):
    with held(tmp_path / "new", "run", wait=False) as first:
        with held(tmp_path / "new", "run", wait=False) as second, held(tmp_path / "new", "other", wait=False) as other:
            assert (first, second, other) == (True, False, True)
    with held(tmp_path / "new", "run", wait=False) as again:
        assert again


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path):
    code = ("import os, signal, sys; from pathlib import Path; from avsgn_pyg.experiments.suites.locks import held\n"
            "with held(Path(sys.argv[1]), 'run', wait=True) as had: os.kill(os.getpid(), signal.SIGKILL if had else 0)")
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    with held(tmp_path, "run", wait=False) as had:
        assert had
