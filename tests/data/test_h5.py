"""What a killed process leaves beside a file goes when the file is written again; nobody else's does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from avsgn_pyg.data import h5


def test_what_dead_processes_left_goes_and_what_living_ones_write_stays(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    names = {"dead": f"a[1].h5.{process.pid}.partial", "alive": f"a[1].h5.{os.getppid()}.partial",
             "other": f"b.h5.{process.pid}.partial", "no number": "a[1].h5.x.partial"}
    for name in names.values():
        (tmp_path / name).write_bytes(b"half")
    h5.write(tmp_path / "a[1].h5", {"x": np.zeros(2)}, {"format": "made"})
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a[1].h5", names["alive"], names["other"], names["no number"]}
