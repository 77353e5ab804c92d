"""The log of a run: one JSON line per epoch, and what each start computes with."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator

from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.common.files import write_json, write_text
from avsgn_pyg.engine.files import Meta, read_json

#: Packages whose version can change a result.
PACKAGES: Final = ("avsgn_pyg", "torch", "torch_geometric", "torch_scatter", "accelerate", "safetensors", "numpy",
                   "h5py")
#: The folder of the package, whose revision a run notes, wherever it was started.
PACKAGE: Final = Path(__file__).resolve().parents[1]


def trim_journal(path: Path, after: int) -> None:
    """Remove records of epochs later than `after`, from which a run continues, and an incomplete last line."""
    if path.exists():
        kept = [record for record in read_journal(path) if record["epoch"] <= after]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))


def add_record(path: Path, record: Mapping[str, Any]) -> None:
    """Add an epoch's record to ``journal.jsonl``."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain(record)) + "\n")


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal, oldest first, without a last line that a kill cut short.

    Raises:
        CheckpointError: another line is broken.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise CheckpointError(f"{path}: line {number} is not JSON: {line[:60]!r}") from None
    return records


def note_environment(
    path: Path, accelerator: Accelerator, after: int, meta: Meta, notes: Sequence[str] = ()
) -> None:
    """Add an entry on this start to ``environment.json``: what a paper cites with a number of this run.

    Args:
        after: finished epochs.
        meta: of the run's checkpoints.
        notes: on the data.
    """
    device = accelerator.device
    name = f"{device}: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)
    start = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "after_epoch": after,
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
        "device": name,
        "cuda": torch.version.cuda,
        "processor": processor(),
        "cores": os.cpu_count(),
        "precision": accelerator.mixed_precision,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "git": git_revision(PACKAGE) or installed_revision(),
        "seed": meta.seed,
        "selected_on": meta.selected_on,
        "data": {"name": meta.dataset, "synthetic": meta.synthetic, "provenance": meta.provenance},
        "data_notes": list(notes),
    }
    write_json(path, [*(read_json(path) if path.exists() else []), start])


def versions() -> dict[str, str]:
    """Return the versions of the installed :data:`PACKAGES`."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision(folder: Path) -> str | None:
    """Return the commit checked out at `folder`, with ``+changes`` if files differ.

    It is ``None`` outside git, and in an installed copy, which a repository around it does not track.
    """
    if not _git(folder, "ls-files"):
        return None
    commit, status = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return commit and commit + ("+changes" if status else "")


def installed_revision() -> str | None:
    """Return the commit that pip installed the package from; ``None`` if it came from an index or a folder."""
    try:
        origin = importlib.metadata.distribution("avsgn_pyg").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    return json.loads(origin or "{}").get("vcs_info", {}).get("commit_id")


def processor() -> str:
    """Return the model of the CPU, or its architecture where the system does not name the model."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def plain(value: Any) -> Any:
    """Return `value` with lists for tuples, and ``None`` for numbers that JSON does not have (nan, inf)."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
