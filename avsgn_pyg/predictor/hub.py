"""Saving, uploading and downloading models by huggingface_hub, whose client loads slowly: import this at first use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData, ModelHubMixin, snapshot_download
from huggingface_hub.errors import HTTPError
from safetensors.torch import save_file

from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.common.files import atomic, write_json
from avsgn_pyg.engine.checkpoint import Checkpoint, on_cpu, read_folder
from avsgn_pyg.engine.files import LIBRARY, MODEL, SAVED_CONFIG
from avsgn_pyg.predictor.pretrained import join_weights, saved_config

TASK = "audio-visual-event-localization"
TEMPLATE = Path(__file__).with_name("model_card.md")


class HubModel(ModelHubMixin):
    """A checkpoint, or those of the seeds of an ensemble, that the mixin saves, uploads and downloads.

    The mixin treats arguments of the constructor as settings; it has none, and :meth:`of` takes its place.
    """

    checkpoints: Sequence[Checkpoint]
    license: str

    def __init__(self) -> None:
        pass

    @classmethod
    def of(cls, checkpoints: Sequence[Checkpoint], license: str = "unknown") -> HubModel:
        model = cls()
        model.checkpoints, model.license = checkpoints, license
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        save_file(on_cpu(join_weights(self.checkpoints)), save_directory / MODEL, metadata={"format": "pt"})
        write_json(save_directory / SAVED_CONFIG, saved_config(self.checkpoints))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **download: Any) -> HubModel:
        folder = snapshot_download(model_id, allow_patterns=[SAVED_CONFIG, MODEL], **download)
        return cls.of(read_folder(Path(folder)))

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        return model_card(self.checkpoints, self.license)


def save(checkpoints: Sequence[Checkpoint], folder: Path, license: str) -> Path:
    """Write weights, ``config.json`` and model card into a new folder; CheckpointError if that fails."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder}: not empty; give a new folder")
    try:
        if folder.exists():
            folder.rmdir()
        with atomic(folder, folder=True) as partial:
            HubModel.of(checkpoints, license).save_pretrained(partial)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return folder


def push(
    checkpoints: Sequence[Checkpoint], repo_id: str, license: str, *, private: bool | None, token: str | None
) -> str:
    """Upload the files of :func:`save`; return the repository's address. CheckpointError if the hub rejects them."""
    with _hub_errors(f"{repo_id}: the hub did not accept the model"):
        model = HubModel.of(checkpoints, license)
        commit = model.push_to_hub(repo_id, private=private, token=token, commit_message="Upload model")
    return str(commit.repo_url)


def download(repo_id: str, revision: str | None) -> Sequence[Checkpoint]:
    """Download weights and ``config.json`` of a repository to the hub's cache; CheckpointError if that fails."""
    with _hub_errors(f"{repo_id}: no such folder here, and the hub did not provide such a repository"):
        return HubModel.from_pretrained(repo_id, revision=revision).checkpoints


def model_card(checkpoints: Sequence[Checkpoint], license: str) -> ModelCard:
    """Return the model card: classes, training, measured scores, encoders, limits, and the license of the weights."""
    name, settings = checkpoints[0].config.name, saved_config(checkpoints)
    tags = [TASK, "video", "audio", "graph-neural-networks", "pytorch-geometric"]
    data = ModelCardData(model_name=name, library_name=LIBRARY, license=license, tags=tags,
                         eval_results=[*_results(settings["evaluations"])] or None)
    return ModelCard.from_template(data, template_path=str(TEMPLATE), name=name, **settings)


def _results(evaluations: list[dict[str, Any]]) -> Iterator[EvalResult]:
    for evaluation in evaluations:
        if evaluation["settings"]:  # the hub has no place for another tau or other settings; the card's table has
            continue
        dataset = evaluation["dataset"]
        slug = "-".join(re.findall(r"[^\W_]+", dataset.lower())) or "data"
        for metric, value in evaluation["scores"].items():
            if value is not None:
                yield EvalResult(
                    task_type=TASK, dataset_type=slug, dataset_name=dataset, dataset_split=evaluation["split"],
                    metric_type=metric, metric_name=metric.replace("_", " "), metric_value=value,
                )


@contextmanager
def _hub_errors(problem: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{problem} ({reason})") from None
