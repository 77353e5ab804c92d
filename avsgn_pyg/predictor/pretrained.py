"""A model to pass on, in the Hugging Face convention: safetensors, ``config.json``, and a model card.

Reading it executes no code and unpickles nothing. Encoders stand in it as records (which, with which weights' digest),
never as weights: those have owners and licenses of their own.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any, Final

from pydantic import ValidationError
from safetensors.torch import save_file

from avsgn_pyg.config import Config
from avsgn_pyg.engine.checkpoint import MODEL, Checkpoint, CheckpointError, Meta, on_cpu, read_json, read_tensors
from avsgn_pyg.engine.files import FORMAT, OTHER_VERSION
from avsgn_pyg.predictor.card import model_card
from avsgn_pyg.predictor.inputs import SAVED_CONFIG as CONFIG
from avsgn_pyg.predictor.inputs import is_saved

CARD: Final = "README.md"
LIBRARY: Final = "avsgn_pyg"
#: Scores that go into a model card, out of an evaluation's.
SCORES: Final = ("segment_accuracy", "class_accuracy", "background_f1", "relevance_auc")
#: Ends of the files that settings and encoders name.
FILES: Final = frozenset((".h5", ".hdf5", ".npy", ".txt", ".csv", ".pt", ".pth", ".bin", ".ckpt", ".safetensors"))
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def save(checkpoint: Checkpoint, folder: Path, *, license: str) -> Path:
    """Write the folder, which appears whole or not at all.

    Raises:
        CheckpointError: it holds something already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder}: holds something already; give a new folder")
    partial = folder.with_name(f".{folder.name}.partial")
    evaluations = scores_of(checkpoint)
    meta = _without_paths(checkpoint.meta)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(on_cpu(checkpoint.weights), partial / MODEL, metadata={"format": "pt"})
        settings = {"library_name": LIBRARY, "model_type": checkpoint.config.model.name, "format": FORMAT,
                    "config": _settings(checkpoint.config), "meta": meta.model_dump(mode="json"),
                    "evaluations": evaluations}
        _write(partial / CONFIG, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        _write(partial / CARD, model_card(replace(checkpoint, meta=meta), evaluations, license=license))
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return folder


def push(checkpoint: Checkpoint, repo_id: str, *, license: str, private: bool | None, token: str | None) -> str:
    """Upload what :func:`save` writes; CheckpointError where the hub refuses."""
    import huggingface_hub  # loads an HTTP client, which a model on this machine does not need
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = huggingface_hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as scratch:
        folder = save(checkpoint, Path(scratch) / "model", license=license)
        try:
            address = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=address.repo_id, folder_path=folder, commit_message="Upload model")
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise CheckpointError(f"{repo_id}: the hub did not take it ({_first_line(error)})") from None
    return str(address)


def fetch(where: str | Path, revision: str | None) -> Path:
    """The folder itself, or a repository's two files in the hub's cache.

    Raises:
        CheckpointError: neither a folder nor a repository that can be had; or a revision of a folder.
    """
    path = Path(where)
    if path.is_dir():
        if revision is not None:
            raise CheckpointError(f"{where}: is a folder, which has no revision {revision!r}; leave it out")
        return path
    if isinstance(where, Path) or not REPOSITORY.fullmatch(where):
        raise CheckpointError(f"{where}: no such folder; give one, or a repository of the hub as owner/name")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(where, revision=revision, allow_patterns=[CONFIG, MODEL]))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"{where}: no such folder here, and the hub did not give such a repository ({_first_line(error)})"
        ) from None


def load(folder: Path) -> Checkpoint:
    """Read a folder of :func:`save`.

    Raises:
        CheckpointError: a file is missing, damaged, of another library or of another format.
    """
    path = folder / CONFIG
    values = read_json(path)
    if not isinstance(values, dict) or values.get("library_name") != LIBRARY:
        raise CheckpointError(f"{path}: not a model of {LIBRARY}")
    if values.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {values.get('format')!r}, this version reads format {FORMAT}; "
                              f"{OTHER_VERSION}")
    try:
        config, meta = Config.model_validate(values.get("config")), Meta.model_validate(values.get("meta"))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise CheckpointError(f"{path}: {problems}") from None
    return Checkpoint(folder, config, meta, read_tensors(folder / MODEL))


def scores_of(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What is known of this checkpoint's scores: from its run's evaluations, or from the folder it was saved in."""
    if is_saved(checkpoint.path):
        return read_json(checkpoint.path / CONFIG).get("evaluations", [])
    found = []
    for path in sorted(checkpoint.path.parent.parent.glob("evaluation-*/metrics.json")):
        values = read_json(path)
        if values.get("trained") == checkpoint.meta.model_dump(mode="json"):
            kept = {key: values[key] for key in ("dataset", "synthetic", "split", "tau", "marks")}
            found.append(kept | {"scores": {name: values["scores"].get(name) for name in SCORES}})
    return found


def _settings(config: Config) -> dict[str, Any]:
    """Every setting but where things lay on the machine that trained it."""
    settings = config.model_dump(mode="json")
    settings.pop("run_dir")
    settings["data"] = {key: _named(value) for key, value in settings["data"].items()} | {"root": None}
    return settings


def _without_paths(meta: Meta) -> Meta:
    """With the names of weight files in place of where they lay."""
    values = meta.model_dump(mode="json")
    for record in (values["provenance"].get("features") or {}).values():
        if isinstance(record, dict) and isinstance(record.get("options"), dict):
            record["options"] = {key: _named(value) for key, value in record["options"].items()}
    return Meta.model_validate(values)


def _named(value: Any) -> Any:
    """A path as the file's name; whoever loads the model says where that file lies there.

    A name of a data set or of a model may hold a slash too: it is a path if it is absolute, leads out of its
    folder, or ends as a file does.
    """
    if not isinstance(value, str) or not ("/" in value or "\\" in value):
        return value
    path = PureWindowsPath(value)  # reads both kinds of slash
    rooted = bool(path.anchor) or path.parts[0] in ("..", "~", ".")
    return path.name if rooted or path.suffix in FILES else value


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
