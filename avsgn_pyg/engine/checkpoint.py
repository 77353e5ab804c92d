"""Checkpoints: folders of safetensors, YAML and JSON, which appear whole or not at all.

    epoch-0012/  model.safetensors   weights as they are evaluated (the moving average's, where there is one)
                 config.yaml         every setting of the run
                 meta.json           what beside the config rebuilds the model; where the weights come from
                 resume/             what continues training exactly (:mod:`avsgn_pyg.engine.resume`)

Reading one executes no code: nothing here unpickles. Writing goes to a hidden sibling, is flushed to the disk
and renamed, so a kill at any moment leaves either no folder of that name or a complete one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from avsgn_pyg.config import Config, load_config, save_config

#: Version of a checkpoint's files and of its weights' names; 0.1.0 wrote 1.
FORMAT: Final = 2
#: What to do about any other.
OTHER_VERSION: Final = "another version of avsgn_pyg wrote it: use that version, or train again"
MODEL: Final = "model.safetensors"
CONFIG: Final = "config.yaml"
META: Final = "meta.json"
#: How many differing keys an error lists before it only counts.
LISTED: Final = 6


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file, what is wrong, and what would work."""


class Meta(BaseModel):
    """What a checkpoint says of itself.

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


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory: weights on the CPU, and what rebuilds their model."""

    path: Path
    config: Config
    meta: Meta
    weights: dict[str, Tensor]


def save_checkpoint(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: Config,
    meta: Meta,
    resume: Mapping[str, Mapping[str, Tensor] | str] | None = None,
) -> None:
    """Write a checkpoint; `folder` must not exist yet.

    Args:
        weights: name -> tensor of the model.
        resume: file name -> tensors (safetensors) or text, written under ``resume/``.

    Raises:
        FileExistsError: `folder` is there already; nothing is written over.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; a checkpoint is never written over")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(on_cpu(weights), partial / MODEL)
    save_config(config, partial / CONFIG)
    (partial / META).write_text(meta.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if resume is not None:
        (partial / "resume").mkdir()
        for name, content in resume.items():
            if isinstance(content, str):
                (partial / "resume" / name).write_text(content, encoding="utf-8")
            else:
                save_file(on_cpu(content), partial / "resume" / name)
    _flush(sorted(partial.rglob("*")))
    partial.rename(folder)
    _flush([folder.parent])


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint's weights (to the CPU), config and meta.

    Raises:
        CheckpointError: a file is missing, cut short or not of this format.
        ConfigError: the config holds a setting that this version does not know.
    """
    meta = read_meta(folder)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder / CONFIG}: no such file, so the model cannot be rebuilt")
    return Checkpoint(folder, load_config(folder / CONFIG), meta, read_tensors(folder / MODEL))


def read_meta(folder: Path) -> Meta:
    """``meta.json`` of a checkpoint; errors are :func:`load_checkpoint`'s."""
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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, on the CPU.

    Raises:
        CheckpointError: missing, cut short or not safetensors.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read, it is cut short or no safetensors file ({error})"
        ) from None


def read_json(path: Path) -> Any:
    """A JSON file's content; :class:`CheckpointError` where it is missing or cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read, it is cut short or no JSON ({error})") from None


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Lay `weights` into `module`; every key and every shape must fit.

    Raises:
        CheckpointError: lists what is missing, unexpected or of another shape; the module is left untouched.
    """
    wanted = module.state_dict()
    problems = [
        *_listed("missing", wanted.keys() - weights.keys()),
        *_listed("unexpected", weights.keys() - wanted.keys()),
        *_listed(
            "of another shape",
            (
                f"{name} {tuple(weights[name].shape)} instead of {tuple(wanted[name].shape)}"
                for name in wanted.keys() & weights.keys()
                if weights[name].shape != wanted[name].shape
            ),
        ),
    ]
    if problems:
        raise CheckpointError(
            f"{source}: these weights belong to another model than its config builds: {'; '.join(problems)}"
        )
    module.load_state_dict(weights)


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU that share no memory, as safetensors wants them."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def replace_text(path: Path, text: str) -> None:
    """Write a file such that a reader, or a kill, sees the old text or the new, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    _flush([partial])
    partial.replace(path)
    _flush([path.parent])


def _listed(what: str, names: Iterable[str]) -> list[str]:
    found = sorted(names)
    if not found:
        return []
    rest = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return [f"{what}: {', '.join(found[:LISTED])}{rest}"]


def _flush(paths: Iterable[Path]) -> None:
    """Ask the system to put files (and, where it can, folders) onto the disk now."""
    for path in paths:
        if path.is_dir() and os.name == "nt":
            continue
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
