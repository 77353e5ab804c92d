"""A run's folder: which config it belongs to, what may be done with it, and which of its checkpoints count.

``checkpoints/index.json`` names the checkpoints that count. It is replaced, in one step, after their folders are
complete. Whatever else lies in ``checkpoints/`` was left by a kill, and is removed.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from avsgn_pyg.common.command_line import python
from avsgn_pyg.common.config import Config, dump_config
from avsgn_pyg.common.errors import CheckpointError, RunError
from avsgn_pyg.common.files import write_json, write_text
from avsgn_pyg.engine.files import CONFIG, META, MODEL, read_config, read_json, read_meta
from avsgn_pyg.engine.foreign import describe

#: What a run, and the tools that draw it, write into its folder; overwriting removes these and nothing else.
PARTS: Final = ("config.yaml", "environment.json", "journal.jsonl", "tensorboard", "wandb", "checkpoints",
                "summary-*.json", "evaluation-*", "pictures", "seed-*")
#: Settings that do not change what is trained: where files lie (the data are compared separately), where numbers are
#: logged, and what is evaluated afterwards. ``evaluate.tau`` is not one of them, since it decodes the selecting split.
FREE: Final = frozenset({"run_dir", "data.root", "evaluate.split", "evaluate.bootstrap", "train.trackers"})


@dataclass(frozen=True)
class Index:
    """The checkpoints that count: names of folders in ``checkpoints/``.

    Attributes:
        last: the newest, from which training continues.
        selected: the one that is evaluated.
        finished: why training ended (``epochs``, ``early stop``), ``None`` while it has not.
    """

    last: str
    selected: str
    finished: str | None = None


class RunFolder:
    """The folder of a run of one seed; creates nothing until :meth:`begin`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.journal = path / "journal.jsonl"

    @property
    def index(self) -> Index | None:
        """The checkpoints that count, or ``None`` before the first."""
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

    def state(self, config: Config, *, lengthen: bool = False) -> Literal["new", "started", "finished"]:
        """Return the state of the folder's run, compared with `config`; writes nothing.

        Args:
            lengthen: whether `config` may have more epochs, with which the run then counts as started.

        Raises:
            RunError: the folder holds something other than a run, or a run of another config.
        """
        if is_empty(self.path):
            return "new"
        index = self.index
        early = index is not None and index.finished == "early stop"
        check_same_run(self.path, config, _free(self.path, config, lengthen and not early), resumed=lengthen)
        if index is None:
            return "started" if self.journal.exists() else "new"
        complete = early or int(index.last.removeprefix("epoch-")) >= config.train.epochs
        return "finished" if index.finished and complete else "started"

    def begin(self, config: Config) -> None:
        """Create the folder, write the config (of a lengthened run again), and remove what a kill left unfinished."""
        if not (self.path / CONFIG).exists() or read_config(self.path).train.epochs != config.train.epochs:
            write_config(config, self.path)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._keep_only(self.index)

    def commit(self, index: Index) -> None:
        """Replace the index, then remove the checkpoints that no longer count."""
        write_json(self.checkpoints / "index.json", asdict(index))
        self._keep_only(index)

    def _keep_only(self, index: Index | None) -> None:
        kept = set() if index is None else {index.last, index.selected}
        for entry in self.checkpoints.iterdir():
            if entry.is_dir() and entry.name not in kept:
                shutil.rmtree(entry)
        # Only the checkpoint from which training may continue, or be lengthened, keeps its (large) state.
        for name in kept - (set() if index is None else {index.last}):
            shutil.rmtree(self.checkpoints / name / "resume", ignore_errors=True)


def write_config(config: Config, folder: Path) -> None:
    """Write ``config.yaml``, whole or not at all."""
    write_text(folder / CONFIG, dump_config(config))


def read_run_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """Return the config of the run in `folder`, with dotted settings on top; RunError if there is no run."""
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: no {CONFIG} there, so there is no run to continue")
    for meta in sorted(folder.glob(f"**/checkpoints/[!.]*/{META}")):  # another format is reported before its settings
        read_meta(meta.parent)
    return read_config(folder, overrides)


def how_to_continue(tool: str, folder: Path | None) -> str:
    """Return the message for an interrupted training: the command that continues it, if anything was written."""
    if folder is None or not (folder / CONFIG).is_file():
        return "stopped before anything was written; start the same command again"
    return f"stopped; continue with: {shlex.join([python(), tool, '--resume', str(folder)])}"


def run_folder(config: Config) -> Path:
    """Return the folder of a config's run."""
    return config.run_dir / config.name


def is_empty(folder: Path) -> bool:
    """Return whether the folder does not exist or is empty; hidden files, which a kill may leave, do not count.

    Raises:
        RunError: the path, or one above it, is a file.
    """
    there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if there is not None and not there.is_dir():
        raise RunError(f"{there}: is a file, so {folder} cannot be a run's folder; choose another run_dir= or name=")
    return not folder.exists() or all(entry.name.startswith(".") for entry in folder.iterdir())


def check_same_run(folder: Path, config: Config, free: frozenset[str] = FREE, *, resumed: bool = False) -> None:
    """Refuse a folder without a run, or with a run of another config.

    Args:
        free: dotted keys that may differ.
        resumed: whether the user named the run to resume, and so does not need to be told how.

    Raises:
        RunError: lists the keys that differ, and the ways out.
    """
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: holds files but no {CONFIG}, so it is not a run's; choose another name= or run_dir=")
    found = differences(read_config(folder), config, free)
    if found:
        raise RunError(
            f"{folder}: holds a run of another config. It differs in\n  " + "\n  ".join(found) + "\n"
            "Nothing was written. " + (
                "A resumed run keeps these settings; train.epochs may only rise, and not after an early stop. For "
                "other settings, train a config under another name=..." if resumed else
                f"Give this one another name=..., continue that one with --resume {folder}, or replace it with "
                "--overwrite."))


def check_seeds(folder: Path, config: Config, *, lengthen: bool = False) -> None:
    """As :func:`check_same_run`, for the folder of several seeds; seeds may be added to a run that has several."""
    if not is_empty(folder):
        several = (folder / CONFIG).is_file() and read_config(folder).train.seeds is not None
        free = _free(folder, config, lengthen) | {"train.seed"} | ({"train.seeds"} if several else set())
        check_same_run(folder, config, free, resumed=lengthen)


def _free(folder: Path, config: Config, lengthen: bool) -> frozenset[str]:
    """:data:`FREE`, and the number of epochs where it may rise and does."""
    rises = lengthen and (folder / CONFIG).is_file() and config.train.epochs > read_config(folder).train.epochs
    return FREE | {"train.epochs"} if rises else FREE


def differences(saved: Config, given: Config, free: frozenset[str] = FREE) -> list[str]:
    """Return a line for every setting that differs, such as ``train.ema: 0.99 in the run, 0.0 asked for``."""
    old, new = flatten(saved.model_dump(mode="json")), flatten(given.model_dump(mode="json"))
    return [f"{key}: {old.get(key)!r} in the run, {new.get(key)!r} asked for" for key in dict.fromkeys((*old, *new))
            if key not in free and old.get(key) != new.get(key)]


def clear(folder: Path) -> None:
    """Remove a run's own files, and no others in its folder.

    Raises:
        RunError: the folder is not a run's.
    """
    if is_empty(folder):
        return
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder}: holds files but no {CONFIG}, so it is not a run's folder; nothing was removed")
    for pattern in PARTS:
        for entry in folder.glob(pattern):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def find_checkpoint(path: Path) -> Path:
    """Return `path` if it is a checkpoint's folder, or the selected checkpoint of the run in it.

    Raises:
        CheckpointError: there is none; the message says what was found.
    """
    if (path / MODEL).is_file() and any((path / name).exists() for name in (META, CONFIG)):
        return path
    if not path.exists():
        raise CheckpointError(f"{path}: no such folder; give a run's folder or one of its checkpoints")
    index = RunFolder(path).index
    if index is not None:
        return path / "checkpoints" / index.selected
    seeds = seed_folders(path)
    if seeds:
        raise CheckpointError(f"{path}: a run of several seeds; choose one of {', '.join(p.name for p in seeds)}")
    if (path / CONFIG).is_file():
        raise CheckpointError(f"{path}: this run has no checkpoint yet")
    other = describe(path)
    if other is not None or path.is_file():
        raise CheckpointError(f"{path}: {other or 'a file'}; a model of avsgn_pyg is a run's folder, one of its "
                              "checkpoints, or a folder of save_pretrained")
    raise CheckpointError(f"{path}: neither a run's folder nor a checkpoint (no {CONFIG}, no {MODEL})")


def find_checkpoints(path: Path, seeds: Sequence[int] | int | None = None) -> dict[Path, Path]:
    """Return folder -> :func:`find_checkpoint`, for `path` or for every seed of the run in it.

    Args:
        seeds: of a run of several; a number takes the first ones, ``None`` all.

    Raises:
        CheckpointError: there is none, the run has no such seed, or it has one seed and `seeds` are given.
    """
    several = {} if RunFolder(path).index else {_seed(folder): folder for folder in seed_folders(path)}
    if not several:
        if seeds is not None:
            find_checkpoint(path)
            raise CheckpointError(f"{path}: not a run of several seeds; leave the choice of seeds out")
        return {path: find_checkpoint(path)}
    wanted = [*several][:seeds] if isinstance(seeds, int) else [*several] if seeds is None else [*seeds]
    missing = [seed for seed in wanted if seed not in several]
    if missing or not wanted or (isinstance(seeds, int) and seeds > len(several)):
        asked = f"the first {seeds}" if isinstance(seeds, int) else ", ".join(map(str, missing)) or "none"
        raise CheckpointError(f"{path}: has the seeds {', '.join(map(str, several))}, not {asked}")
    return {several[seed]: find_checkpoint(several[seed]) for seed in wanted}


def seed_folders(path: Path) -> list[Path]:
    """Return the folders ``seed-<n>`` of a run of several seeds, in the order of the seeds."""
    found = [p for p in path.glob("seed-*") if p.name.removeprefix("seed-").lstrip("-").isdigit()]
    return sorted(found, key=_seed)


def _seed(folder: Path) -> int:
    return int(folder.name.removeprefix("seed-"))


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a config's leaves under their dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and key != "conv_options":
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
