"""The folder of a saved model in the Hugging Face convention: ``config.json`` and safetensors.

Encoders are records in it (name, options, revision), never weights: those have their own owners and licenses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path, PureWindowsPath
from typing import Any, Final

from torch import Tensor

from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.engine.checkpoint import OWN, Checkpoint
from avsgn_pyg.engine.files import FORMAT, LIBRARY, SAVED_CONFIG, is_saved, read_json

#: Scores of an evaluation that are saved with the model.
SCORES: Final = ("segment_accuracy", "class_accuracy", "background_f1", "relevance_auc")
#: Suffixes of the files that settings and encoders name.
SUFFIXES: Final = frozenset((".h5", ".hdf5", ".npy", ".txt", ".csv", ".pt", ".pth", ".bin", ".ckpt", ".safetensors"))


def is_repository(where: str | Path, revision: str | None = None) -> bool:
    """Return whether `where` is ``owner/name`` of the hub, rather than a folder here; CheckpointError for neither."""
    if Path(where).is_dir():
        if revision is not None:
            raise CheckpointError(f"{where}: a folder has no revision {revision!r}; leave it out")
        return False
    if isinstance(where, Path) or not re.fullmatch(r"[\w.-]+/[\w.-]+", where):
        raise CheckpointError(f"{where}: no such folder; give one, or a repository of the hub as owner/name")
    return True


def join_weights(checkpoints: Sequence[Checkpoint]) -> dict[str, Tensor]:
    """Return the weights of one model, or of all seeds under the names of :class:`.localization.Ensemble`."""
    if len(checkpoints) == 1:
        return checkpoints[0].weights
    return {f"members.{number}.{name}": tensor for number, checkpoint in enumerate(checkpoints)
            for name, tensor in checkpoint.weights.items()}


def saved_config(checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    """Return the content of ``config.json``: settings, meta and scores, without paths of this machine."""
    checkpoint = checkpoints[0]
    members = [{name: getattr(each.meta, name) for name in OWN} for each in checkpoints]
    config, meta = checkpoint.config.model_dump(mode="json"), checkpoint.meta.model_dump(mode="json")
    del config["run_dir"]
    config["data"] = _without_folders(config["data"]) | {"root": None}
    for record in (meta["provenance"].get("features") or {}).values():
        if isinstance(record, dict) and isinstance(record.get("options"), dict):
            record["options"] = _without_folders(record["options"])
    return {"library_name": LIBRARY, "model_type": checkpoint.config.model.name, "format": FORMAT, "config": config,
            "meta": meta, "members": members if len(checkpoints) > 1 else [],
            "evaluations": evaluations_of(checkpoints)}


def evaluations_of(checkpoints: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    """Return the scores of these checkpoints in their run's evaluations, or in the folder that they were saved in."""
    folder = checkpoints[0].path
    if is_saved(folder):
        return read_json(folder / SAVED_CONFIG).get("evaluations", [])
    run = folder.parent.parent if len(checkpoints) == 1 else Path(commonpath([each.path for each in checkpoints]))
    found, own = [], [each.meta.model_dump(mode="json") for each in checkpoints]
    for path in sorted(run.glob("evaluation-*/metrics.json")):
        values = read_json(path)
        if values.get("ensemble", [values.get("trained")]) == own:
            kept = {key: values.get(key) for key in ("dataset", "synthetic", "split", "tau", "marks")}
            kept["settings"] = [part for part in values.get("settings", ()) if not part.startswith("seeds=")]
            found.append(kept | {"scores": {name: values["scores"].get(name) for name in SCORES}})
    return found


def _without_folders(settings: dict[str, Any]) -> dict[str, Any]:
    """Replace each path by its file name; the user who loads the model passes its path."""
    return {key: PureWindowsPath(value).name if _is_path(value) else value for key, value in settings.items()}


def _is_path(value: Any) -> bool:
    """Return whether a value with a slash is a path, rather than the name of a data set or of a model."""
    if not isinstance(value, str) or not ("/" in value or "\\" in value):
        return False
    path = PureWindowsPath(value)  # reads both kinds of slash
    return bool(path.anchor) or path.parts[0] in ("..", "~", ".") or path.suffix in SUFFIXES
