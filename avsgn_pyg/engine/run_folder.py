"""A run's folder: whose it is, what it may be used for, and which checkpoint stands for it.

``checkpoints/index.json`` is the one place that says which checkpoints count; it is replaced in one stroke
after their folders are complete. Whatever else lies in ``checkpoints/`` is left over from a kill, and goes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from avsgn_pyg.config import Config, load_config, save_config
from avsgn_pyg.engine.files import CONFIG, META, MODEL, read_json, read_meta, replace_text
from avsgn_pyg.errors import CheckpointError, RunError

#: What a run, and the tools that draw it, write into its folder; overwriting removes these and nothing else.
PARTS: Final = (
    "config.yaml",
    "environment.json",
    "journal.jsonl",
    "tensorboard",
    "checkpoints",
    "summary-*.json",
    "evaluation-*",
    "pictures",
    "seed-*",
)
#: Settings that do not change what is trained: where files lie (the data are compared by themselves) and what
#: is evaluated afterwards. ``evaluate.tau`` is none of them: it decodes the selecting split.
FREE: Final = frozenset({"run_dir", "data.root", "evaluate.split", "evaluate.bootstrap"})

RunState = Literal["new", "started", "finished"]


@dataclass(frozen=True)
class Index:
    """The checkpoints that count: names of folders in ``checkpoints/``.

    Attributes:
        last: the newest, from which training continues.
        selected: the one that stands for the run.
        finished: why training ended (``epochs``, ``early stop``), ``None`` while it has not.
    """

    last: str
    selected: str
    finished: str | None = None


class RunFolder:
    """One run of one seed; knows its files, creates nothing until :meth:`begin`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.journal = path / "journal.jsonl"

    @property
    def index(self) -> Index | None:
        """What counts, or ``None`` before the first checkpoint."""
        path = self.checkpoints / "index.json"
        if not path.is_file():
            return None
        try:
            return Index(**read_json(path))
        except TypeError:
            raise CheckpointError(f"{path}: not an index of checkpoints of this version") from None

    @property
    def last(self) -> Path | None:
        """The checkpoint from which training continues."""
        return None if self.index is None else self.checkpoints / self.index.last

    def state(self, config: Config) -> RunState:
        """What the folder holds, compared with what is asked. Writes nothing.

        Raises:
            RunError: it holds something else than a run, or a run of another config.
        """
        if is_empty(self.path):
            return "new"
        check_same_run(self.path, config)
        index = self.index
        if index is None:
            return "new" if not self.journal.exists() else "started"
        return "finished" if index.finished else "started"

    def begin(self, config: Config) -> None:
        """Make the folder, write the config, and drop what a kill left half-done."""
        if not (self.path / CONFIG).exists():
            write_config(config, self.path)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._keep_only(self.index)

    def commit(self, index: Index) -> None:
        """Let `index` count from now on, then remove the checkpoints that no longer do."""
        replace_text(self.checkpoints / "index.json", json.dumps(asdict(index), indent=2) + "\n")
        self._keep_only(index)

    def _keep_only(self, index: Index | None) -> None:
        kept = set() if index is None else {index.last, index.selected}
        for entry in self.checkpoints.iterdir():
            if entry.is_dir() and entry.name not in kept:
                shutil.rmtree(entry)
        # Only what training may still continue from keeps its (large) state.
        for name in kept - (set() if index is None or index.finished else {index.last}):
            shutil.rmtree(self.checkpoints / name / "resume", ignore_errors=True)


def write_config(config: Config, folder: Path) -> None:
    """Write ``config.yaml``, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{CONFIG}.partial"
    save_config(config, partial)
    partial.replace(folder / CONFIG)


def read_run_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """The config of the run in `folder`, with dotted settings on top; RunError where there is no run."""
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: no {CONFIG} there, so there is no run to continue")
    for meta in sorted(folder.glob(f"**/checkpoints/[!.]*/{META}")):  # another format is told before its settings are
        read_meta(meta.parent)
    return load_config(folder / CONFIG, overrides)


def how_to_continue(tool: str, folder: Path | None) -> str:
    """What to say of a training that was interrupted: the command that continues it, if anything was written."""
    if folder is None or not (folder / CONFIG).is_file():
        return "stopped before anything was written; start the same command again"
    python = os.path.relpath(sys.executable)
    return f"stopped; continue with: {sys.executable if python.startswith('..') else python} {tool} --resume {folder}"


def run_folder(config: Config) -> Path:
    """Where a config's run lives."""
    return config.run_dir / config.name


def is_empty(folder: Path) -> bool:
    """Whether there is no folder, or nothing in it (hidden files, as a kill may leave, do not count).

    Raises:
        RunError: a file stands where the folder, or one above it, would be.
    """
    there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if there is not None and not there.is_dir():
        raise RunError(f"{there}: is a file, so {folder} cannot be a run's folder; choose another run_dir= or name=")
    return not folder.exists() or all(entry.name.startswith(".") for entry in folder.iterdir())


def check_same_run(folder: Path, config: Config, free: frozenset[str] = FREE) -> None:
    """Refuse a folder that is no run's, or a run's of another config.

    Args:
        free: dotted keys that may differ.

    Raises:
        RunError: lists the keys that differ, and the ways out.
    """
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"{folder}: holds files but no {CONFIG}, so it is no run's; choose another name= or run_dir="
        )
    found = differences(load_config(folder / CONFIG), config, free)
    if found:
        raise RunError(
            f"{folder}: holds a run of another config. It differs in\n  " + "\n  ".join(found) + "\n"
            f"Nothing was written. Give this one another name=..., continue that one with --resume {folder}, "
            "or replace it with --overwrite."
        )


def differences(saved: Config, asked: Config, free: frozenset[str] = FREE) -> list[str]:
    """One line for every setting that differs, as ``train.ema: 0.99 in the run, 0.0 asked for``."""
    ours, theirs = _flat(saved.model_dump(mode="json")), _flat(asked.model_dump(mode="json"))
    return [
        f"{key}: {ours.get(key)!r} in the run, {theirs.get(key)!r} asked for"
        for key in dict.fromkeys((*ours, *theirs))
        if key not in free and ours.get(key) != theirs.get(key)
    ]


def clear(folder: Path) -> None:
    """Remove a run's own files, and nothing else that may lie beside them.

    Raises:
        RunError: the folder is no run's.
    """
    if is_empty(folder):
        return
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"{folder}: holds files but no {CONFIG}, so it is no run's folder; nothing was removed"
        )
    for pattern in PARTS:
        for entry in folder.glob(pattern):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def find_checkpoint(path: Path) -> Path:
    """The checkpoint folder meant by `path`: itself, or the selected one of a run.

    Raises:
        CheckpointError: there is none; the message says what is there.
    """
    if (path / MODEL).is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such folder; give a run's folder or one of its checkpoints")
    index = RunFolder(path).index
    if index is not None:
        return path / "checkpoints" / index.selected
    seeds = seed_folders(path)
    if seeds:
        raise CheckpointError(
            f"{path}: a run of several seeds; choose one of {', '.join(p.name for p in seeds)}"
        )
    if (path / CONFIG).is_file():
        raise CheckpointError(f"{path}: this run has no checkpoint yet")
    raise CheckpointError(f"{path}: neither a run's folder nor a checkpoint (no {CONFIG}, no {MODEL})")


def seed_folders(path: Path) -> list[Path]:
    """The folders ``seed-<n>`` of a run of several seeds, in the order of the seeds."""
    found = [p for p in path.glob("seed-*") if p.name.removeprefix("seed-").lstrip("-").isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix("seed-")))


def _flat(tree: dict[str, Any], at: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and key != "conv_options":
            leaves |= _flat(value, f"{at}{key}.")
        else:
            leaves[f"{at}{key}"] = value
    return leaves
