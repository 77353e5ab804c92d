"""The small files of a checkpoint: their names, ``meta.json``, and reading them; needs neither torch nor PyG."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from avsgn_pyg.common.config import Config, load_config
from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.engine.foreign import describe

T = TypeVar("T", bound=BaseModel)

#: Version of the files of a checkpoint and of the names of its weights; 0.1.0 wrote 1.
FORMAT: Final = 2
#: The way out of any other format.
OTHER_VERSION: Final = "another version of avsgn_pyg wrote it: use that version, or train again"
MODEL: Final = "model.safetensors"
CONFIG: Final = "config.yaml"
META: Final = "meta.json"
LIBRARY: Final = "avsgn_pyg"
#: Name of the settings in a folder of ``save_pretrained``.
SAVED_CONFIG: Final = "config.json"


class Meta(BaseModel):
    """Metadata of a checkpoint.

    Attributes:
        format: version of this layout.
        categories: class names in the order of the class logits.
        audio_width, visual_width, segments: feature widths, and segments of the longest video, of the training data.
        rate: segments a second.
        dataset, synthetic, provenance: name of the training data, whether they are synthetic, and how their features
            were computed.
        epoch, step: finished epochs and optimizer steps behind these weights.
        seed: of the run.
        selected_on: the split that chose among the epochs, or ``last``.
        selection_score: segment accuracy on that split (of parsers segment-level Type@AV), percent; ``None`` under
            ``last``.
        versions: package -> version at the time of writing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    categories: tuple[str, ...]
    audio_width: int
    visual_width: int
    segments: int
    rate: int = 1
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
    """Read ``meta.json`` of a checkpoint; CheckpointError if it is missing or of another format."""
    path = folder / META
    values = read_json(path)
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{path}: format {found!r}, this version reads format {FORMAT}; {OTHER_VERSION}")
    return validated(Meta, values, path)


def validated(kind: type[T], values: Any, path: Path) -> T:
    """Return a pydantic model of the values read from `path`; CheckpointError if they are not valid."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise CheckpointError(f"{path}: {problems}") from None


def read_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """Read ``config.yaml`` of a checkpoint, with dotted settings on top.

    Raises:
        CheckpointError: no such file.
        ConfigError: it, or `overrides`, has a setting that this version does not have.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder / CONFIG}: no such file, so the model cannot be rebuilt")
    return load_config(folder / CONFIG, overrides, saved=True)


def check_files(folder: Path) -> None:
    """Raise CheckpointError for a checkpoint whose weights or meta are missing, or whose meta cannot be used."""
    read_meta(folder)
    if not (folder / MODEL).is_file():
        raise CheckpointError(f"{folder / MODEL}: no such file")


def is_saved(path: Path) -> bool:
    """Return whether the folder was written by ``save_pretrained`` and not by a training run."""
    return (path / SAVED_CONFIG).is_file() and (path / MODEL).is_file()


def read_saved(folder: Path) -> dict[str, Any]:
    """Read ``config.json`` of ``save_pretrained``; CheckpointError for another library's or another format."""
    path = folder / SAVED_CONFIG
    values = read_json(path)
    if not isinstance(values, dict) or values.get("library_name") != LIBRARY:
        raise CheckpointError(f"{path}: not a model of {LIBRARY}, but {describe(folder) or 'of an unknown library'}")
    if values.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {values.get('format')!r}, this version reads format {FORMAT}; "
                              f"{OTHER_VERSION}")
    return values


def read_json(path: Path) -> Any:
    """Read a JSON file; CheckpointError if it is missing or cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read, it is cut short or not JSON ({error})") from None
