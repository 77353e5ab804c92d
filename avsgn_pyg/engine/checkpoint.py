"""Checkpoints: folders of safetensors, YAML and JSON that are written whole or not at all.

    epoch-0012/  model.safetensors   weights as they are evaluated (the moving average's, if there is one)
                 config.yaml         every setting of the run
                 meta.json           what rebuilds the model besides the config; the origin of the weights
                 resume/             what continues training exactly (:mod:`avsgn_pyg.engine.resume`)

Nothing is unpickled, so reading a checkpoint executes no code from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from avsgn_pyg.common.config import Config, dump_config, without_former
from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.common.files import atomic
from avsgn_pyg.engine.files import (
    CONFIG,
    META,
    MODEL,
    SAVED_CONFIG,
    Meta,
    read_config,
    read_meta,
    read_saved,
    validated,
)

#: Fields of `Meta` in which the seeds of one run may differ.
OWN: Final = ("seed", "epoch", "step", "selection_score", "versions")
#: How many differing keys an error lists; it counts the others.
LISTED: Final = 6


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory: weights on the CPU, and what rebuilds their model."""

    path: Path
    config: Config
    meta: Meta
    weights: dict[str, Tensor]

    def load_into(self, model: nn.Module) -> None:
        """Load the weights into a model; CheckpointError if they do not fit."""
        load_weights(model, self.weights, self.path / MODEL)


def save_checkpoint(
    folder: Path, weights: Mapping[str, Tensor], config: Config, meta: Meta,
    resume: Mapping[str, Mapping[str, Tensor] | str] | None = None,
) -> None:
    """Write a checkpoint; `folder` must not exist yet.

    Args:
        weights: name -> tensor of the model.
        resume: file name -> tensors (safetensors) or text, written under ``resume/``.

    Raises:
        FileExistsError: `folder` exists; nothing is overwritten.
    """
    with atomic(folder, folder=True) as partial:
        save_file(on_cpu(weights), partial / MODEL)
        (partial / CONFIG).write_text(dump_config(config), encoding="utf-8")
        (partial / META).write_text(meta.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if resume is not None:
            (partial / "resume").mkdir()
            for name, content in resume.items():
                if isinstance(content, str):
                    (partial / "resume" / name).write_text(content, encoding="utf-8")
                else:
                    save_file(on_cpu(content), partial / "resume" / name)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint's weights (to the CPU), config and meta.

    Raises:
        CheckpointError: a file is missing, cut short or not of this format.
        ConfigError: the config has a setting that this version does not have.
    """
    meta = read_meta(folder)
    return Checkpoint(folder, read_config(folder), meta, read_tensors(folder / MODEL))


def load_checkpoints(folders: Sequence[Path]) -> list[Checkpoint]:
    """Read the checkpoints of the seeds of one run.

    Raises:
        CheckpointError: also for models or classes that differ, or that were trained on different features.
        ConfigError: as for :func:`load_checkpoint`.
    """
    first, *others = found = [load_checkpoint(folder) for folder in folders]
    for other in others:
        fields = ("categories", "audio_width", "visual_width", "segments", "provenance")
        differing = [name for name in fields if getattr(other.meta, name) != getattr(first.meta, name)]
        differing += ["model"] if other.config.model != first.config.model else []
        if differing:
            raise CheckpointError(f"{other.path} and {first.path}: differ in {', '.join(differing)}, so they are not "
                                  "seeds of one run, and cannot answer together")
    return found


def read_folder(folder: Path) -> list[Checkpoint]:
    """Read a folder of ``save_pretrained``, of one model or of the seeds of an ensemble.

    Raises:
        CheckpointError: a file is missing, damaged or of another format.
    """
    path, values = folder / SAVED_CONFIG, read_saved(folder)
    config = validated(Config, without_former(values.get("config") or {}, saved=True), path)
    meta = validated(Meta, values.get("meta"), path)
    weights, members = read_tensors(folder / MODEL), values.get("members", ())
    if not members:
        return [Checkpoint(folder, config, meta, weights)]
    parts = ({name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
             for prefix in map("members.{}.".format, range(len(members))))
    return [Checkpoint(folder, config, meta.model_copy(update={name: member[name] for name in OWN}), own)
            for member, own in zip(members, parts, strict=True)]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a safetensors file to the CPU; CheckpointError if it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read, it is cut short or not safetensors ({error})") from None


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Load `weights`, read from `source`, into `module`; every name and every shape must fit.

    Raises:
        CheckpointError: lists what is missing, unexpected or of another shape; the module is not changed.
    """
    problems = fit_problems(module.state_dict(), weights)
    if problems:
        raise CheckpointError(
            f"{source}: these weights belong to another model than its config builds: {'; '.join(problems)}")
    module.load_state_dict(weights)


def fit_problems(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """Return what is missing, unexpected or of another shape in `weights`."""
    shapes = [f"{name} {tuple(weights[name].shape)} instead of {tuple(wanted[name].shape)}"
              for name in wanted.keys() & weights.keys() if weights[name].shape != wanted[name].shape]
    return [*listed("missing", wanted.keys() - weights.keys()),
            *listed("unexpected", weights.keys() - wanted.keys()), *listed("of another shape", shapes)]


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies on the CPU that share no memory, as safetensors requires."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def listed(problem: str, names: Iterable[str]) -> list[str]:
    """Return ``problem: name, name and 3 more``, or nothing without names."""
    found = sorted(names)
    rest = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return [f"{problem}: {', '.join(found[:LISTED])}{rest}"] if found else []
