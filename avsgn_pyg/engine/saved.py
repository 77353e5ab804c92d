"""Models as ``save_pretrained`` writes them, read from a folder or from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.engine.checkpoint import Checkpoint, read_tensors
from avsgn_pyg.engine.files import MODEL, SAVED_CONFIG, Meta, read_saved

#: What distinguishes the metas of the seeds of one run.
OWN: Final = ("seed", "epoch", "step", "selection_score", "versions")


def read_folder(folder: Path) -> list[Checkpoint]:
    """Read a saved folder, of one model or of the seeds of an ensemble.

    CheckpointError for a missing or damaged file, or another format.
    """
    path = folder / SAVED_CONFIG
    values = read_saved(folder)
    try:
        config, meta = Config.model_validate(values.get("config")), Meta.model_validate(values.get("meta"))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise CheckpointError(f"{path}: {problems}") from None
    weights, members = read_tensors(folder / MODEL), values.get("members", ())
    if not members:
        return [Checkpoint(folder, config, meta, weights)]
    parts = ({name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
             for prefix in map("members.{}.".format, range(len(members))))
    return [Checkpoint(folder, config, meta.model_copy(update={name: member[name] for name in OWN}), own)
            for member, own in zip(members, parts, strict=True)]
