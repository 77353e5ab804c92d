"""Fig. 5: t-SNE of the features of a split's event seconds after each stage of a run's model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from avsgn_pyg import metrics
from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.evaluator import stage_features
from avsgn_pyg.engine.recipes.parts import open_run
from avsgn_pyg.visualize.theme import Figure, save_figure
from avsgn_pyg.visualize.tsne import SEEDS, make_panel, tsne_figure

#: The paper's names of the stages.
STAGES: Final = {"encoder": "after encoder", "cmsa": "after CMSA", "cmgi": "after CMGI"}


@dataclass(frozen=True, eq=False)
class Embedding:
    """Features of a split's event seconds.

    Attributes:
        split: of the data.
        title: data, split, number of seconds.
        stages: stage -> modality -> [M, width] features, stages in the model's order.
        labels: class of each second.
        names: of the classes.
    """

    split: str
    title: str
    stages: dict[str, dict[str, Float[np.ndarray, "M d"]]]
    labels: Int[np.ndarray, "M"]
    names: tuple[str, ...]


def embed_run(
    run: Path, *, split: str | None = None, overrides: Sequence[str] = (), most: int = 2000, seed: int = 0,
    device: str = "auto",
) -> Embedding:
    """Run a checkpoint on a split and return the features of its event seconds; background has no class.

    Args:
        run: a run's folder or a checkpoint's.
        split: ``None`` takes the config's ``evaluate.split``.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.
        most: number of seconds, drawn at random by `seed` if there are more.
        device: as ``train.device``.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting, the seed or the data cannot be used, or the model has no stages of both
            modalities.
    """
    if most < 2:
        raise ConfigError(f"most={most} is too few points for a picture; give 2 or more")
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"seed={seed}: t-SNE takes seeds from 0 to {SEEDS - 1}")
    checkpoint, config, dataset, split, videos, model = open_run(run, split=split, overrides=overrides, use="a picture")
    where = make_accelerator(TrainConfig(device=device)).device
    events = metrics.zero_padding(videos.relevance.cpu(), videos.mask) > 0
    labels = videos.category.cpu()[:, None].expand_as(events)[events].numpy()
    kept = np.sort(np.random.default_rng(seed).permutation(len(labels))[:most])
    found = stage_features(model.to(where), videos, events, device=where, batch_size=config.train.batch_size)
    stages = {stage: {modality: rows.numpy()[kept] for modality, rows in streams.items()}
              for stage, streams in found.items()}
    if not stages:
        raise ConfigError(f"{checkpoint.path}: model.name={config.model.name} has no stage with features of both "
                          "modalities, so there is nothing to draw")
    name = dataset.name + (" (synthetic)" if dataset.synthetic else "")
    count = f"{len(kept)}" + (f" of {len(labels)}" if len(kept) < len(labels) else "")
    title = f"{name}, {split}: t-SNE of {count} event seconds"
    return Embedding(split, title, stages, labels[kept], dataset.categories)


def write_tsne(
    embedding: Embedding, folder: Path, formats: Sequence[str] = ("png",), *, perplexity: float = 30.0, seed: int = 0
) -> list[Path]:
    """Write ``tsne.<format>`` in `folder`: one row per modality, one column per stage.

    Raises:
        PictureError: scikit-learn is not installed, the perplexity cannot be used, or there are too few seconds or
            classes.
    """
    figure = draw_tsne(embedding, perplexity=perplexity, seed=seed)
    return [save_figure(figure, folder / f"tsne.{suffix}") for suffix in formats]


def draw_tsne(embedding: Embedding, *, perplexity: float = 30.0, seed: int = 0) -> Figure:
    """Draw the figure of :func:`write_tsne`, which has the same errors."""
    panels: dict[str, dict[str, Any]] = {}
    for stage, streams in embedding.stages.items():
        for modality, rows in streams.items():
            panel = make_panel(rows, embedding.labels, perplexity=perplexity, seed=seed)
            panels.setdefault(modality, {})[STAGES.get(stage, f"after {stage}")] = panel
    return tsne_figure(title=embedding.title, panels=panels, labels=embedding.labels, names=embedding.names)
