"""What a run tells: a JSON line an epoch, the same numbers for TensorBoard, and where it was made."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import torch
from accelerate import Accelerator

from avsgn_pyg.engine.files import read_json, replace_text
from avsgn_pyg.errors import CheckpointError

PACKAGES: Final = (
    "avsgn_pyg",
    "torch",
    "torch_geometric",
    "torch_scatter",
    "accelerate",
    "safetensors",
    "numpy",
    "h5py",
)


class Journal:
    """``journal.jsonl`` and ``tensorboard/`` of a run; use it as a context manager.

    Args:
        folder: the run's.
        after: the finished epoch it continues from. Lines of later epochs are cut, so none stands twice.
        write: ``False`` makes it silent (every process but the first).
    """

    def __init__(self, folder: Path, *, after: int = 0, write: bool = True) -> None:
        self._lines, self._folder, self._after = None, folder, after
        if write:
            cut_after(folder / "journal.jsonl", after)
            self._lines = (folder / "journal.jsonl").open("a", encoding="utf-8")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lines is not None:
            self._lines.close()
            if "_board" in self.__dict__:
                self._board.close()

    @functools.cached_property
    def _board(self) -> Any:
        """TensorBoard's writer, imported when the first epoch has ended."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._after + 1)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add an epoch's record; nested mappings become ``group/name`` in TensorBoard, at step ``epoch``."""
        if self._lines is None:
            return
        self._lines.write(json.dumps(plain(record)) + "\n")
        self._lines.flush()
        for name, value in _scalars(record):
            self._board.add_scalar(name, value, record["epoch"])


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The records of a journal, oldest first; a last line cut short by a kill is left out.

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
                raise CheckpointError(f"{path}: line {number} is no JSON: {line[:60]!r}") from None
    return records


def cut_after(path: Path, epoch: int) -> None:
    """Drop the records of later epochs, and a broken last line."""
    if path.exists():
        kept = [record for record in read_journal(path) if record["epoch"] <= epoch]
        replace_text(path, "".join(json.dumps(record) + "\n" for record in kept))


def note_environment(path: Path, accelerator: Accelerator, after: int) -> None:
    """Add to ``environment.json`` with what, and where, this start of the run computes."""
    starts = read_json(path) if path.exists() else []
    starts.append(
        {
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "after_epoch": after,
            "command": sys.argv,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": versions(),
            "device": device_name(accelerator.device),
            "precision": accelerator.mixed_precision,
            "processes": accelerator.num_processes,
            "threads": torch.get_num_threads(),
            "git": git_revision(Path.cwd()),
        }
    )
    replace_text(path, json.dumps(starts, indent=2) + "\n")


def versions() -> dict[str, str]:
    """Package -> version of what is installed and can change a number."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device_name(device: torch.device) -> str:
    """``cpu``, or the kind and product name of a GPU."""
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    return str(device)


def git_revision(folder: Path) -> str | None:
    """The commit checked out at `folder`, with ``+changes`` where files differ; ``None`` outside git."""
    commit, status = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return commit and commit + ("+changes" if status else "")


def plain(value: Any) -> Any:
    """JSON-ready: numbers that JSON does not know (nan, inf) become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _scalars(record: Mapping[str, Any], at: str = "") -> list[tuple[str, float]]:
    found = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            found += _scalars(value, f"{at}{name}/")
        elif isinstance(value, (int, float)) and name != "epoch":
            found.append((f"{at}{name}", float(value)))
    return found
