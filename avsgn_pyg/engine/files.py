"""The small files of runs and checkpoints: their names, what ``meta.json`` says, reading them, replacing them.

Needs neither torch nor PyG, so that a run or a checkpoint that is missing is reported before either is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from avsgn_pyg.config import Config, load_config
from avsgn_pyg.errors import CheckpointError

#: Version of the files of a checkpoint and of the names of its weights; 0.1.0 wrote 1.
FORMAT: Final = 2
#: What to do about any other.
OTHER_VERSION: Final = "another version of avsgn_pyg wrote it: use that version, or train again"
MODEL: Final = "model.safetensors"
CONFIG: Final = "config.yaml"
META: Final = "meta.json"


class Meta(BaseModel):
    """Metadata of a checkpoint.

    Attributes:
        format: version of this layout.
        categories: class names in the order of the class logits.
        audio_width, visual_width, segments: what the data set decided about the model; segments of its longest video.
        dataset, synthetic, provenance: whose videos it was trained on, and where their features come from.
        epoch: finished epochs of training behind these weights.
        step: optimizer steps behind them.
        seed: of the run.
        selected_on: the split that chose among the epochs, ``last`` where none did.
        selection_score: segment accuracy on that split, of parsers segment-level Type@AV; percent, ``None`` under
            ``last``.
        versions: package -> version at the time of writing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    categories: tuple[str, ...]
    audio_width: int
    visual_width: int
    segments: int
    dataset: str
    synthetic: bool
    provenance: dict[str, Any] = {}
    epoch: int = 0
    step: int = 0
    seed: int = 0
    selected_on: Literal["val", "test", "last"] = "last"
    selection_score: float | None = None
    versions: dict[str, str] = {}


def read_meta(folder: Path) -> Meta:
    """``meta.json`` of a checkpoint; CheckpointError where it is missing or of another format."""
    path = folder / META
    values = read_json(path)
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{path}: format {found!r}, this version reads format {FORMAT}; {OTHER_VERSION}")
    try:
        return Meta.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise CheckpointError(f"{path}: {problems}") from None


def read_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """``config.yaml`` of a checkpoint, with dotted settings on top.

    Raises:
        CheckpointError: no such file.
        ConfigError: it, or `overrides`, holds a setting that this version does not know.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder / CONFIG}: no such file, so the model cannot be rebuilt")
    return load_config(folder / CONFIG, overrides)


def check_files(folder: Path) -> None:
    """CheckpointError for a checkpoint whose weights or meta are missing, or whose meta cannot be used."""
    read_meta(folder)
    if not (folder / MODEL).is_file():
        raise CheckpointError(f"{folder / MODEL}: no such file")


def read_json(path: Path) -> Any:
    """A JSON file's content; :class:`CheckpointError` where it is missing or cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read, it is cut short or no JSON ({error})") from None


def replace_text(path: Path, text: str) -> None:
    """Write a file such that a reader, or a kill, sees the old text or the new, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    flush([partial])
    partial.replace(path)
    flush([path.parent])


def flush(paths: Iterable[Path]) -> None:
    """Ask the system to put files (and, where it can, folders) onto the disk now."""
    for path in paths:
        if path.is_dir() and os.name == "nt":
            continue
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
