"""What training, evaluation and pictures all ask: the data a config names, whether everything fits, a run's model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from avsgn_pyg import zoo
from avsgn_pyg.config import AVSGN, Config, ConfigError, load_config
from avsgn_pyg.data.dataset import DataError, Dataset, Videos, load_dataset
from avsgn_pyg.engine.checkpoint import (
    CONFIG,
    MODEL,
    Checkpoint,
    CheckpointError,
    Meta,
    load_checkpoint,
    load_weights,
    read_meta,
)
from avsgn_pyg.recipes.checks import check_config, check_run

logger = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A run's selected checkpoint, the split of its data that is asked for, and its model, on the CPU."""

    checkpoint: Checkpoint
    config: Config
    dataset: Dataset
    split: str
    videos: Videos
    model: nn.Module


def open_run(run: Path, *, split: str | None, overrides: Sequence[str], use: str) -> Opened:
    """Everything that it takes to let a run answer a split.

    Args:
        run: a run's folder or a checkpoint's.
        split: ``None`` takes the config's ``evaluate.split``.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.
        use: what for, as an error says it: ``a picture``.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting or the data cannot be used.
    """
    [path] = check_run(run, overrides, use)
    checkpoint = load_checkpoint(path)
    config = load_config(checkpoint.path / CONFIG, overrides)
    dataset = open_dataset(config)
    check_fits(checkpoint, dataset)
    split = split or config.evaluate.split
    videos = split_of(dataset, split, "split")
    model = zoo.build_model(config.model, shape_of(dataset), dataset.label_text, config.objective.supervision)
    load_weights(model, checkpoint.weights, checkpoint.path / MODEL)
    return Opened(checkpoint, config, dataset, split, videos, model.eval())


def open_dataset(config: Config) -> Dataset:
    """The config's data set, with the text nodes and edges that its model needs.

    Raises:
        ConfigError: videos to parse; maps for a model of vectors; videos of mixed lengths under a setting that takes
            one length.
    """
    check_config(config)
    if config.data.regions == "keep":
        zoo.refuse_maps(config.model.name)
    dataset = load_dataset(config.data)
    _refuse_mixed_lengths(config, dataset)
    return dataset.with_graph(zoo.text_nodes(config.model, shape_of(dataset)), zoo.topology(config.model))


def _refuse_mixed_lengths(config: Config, dataset: Dataset) -> None:
    shortest, longest = dataset.span
    if shortest == longest:
        return
    came = f"{dataset.name} has videos of {shortest} to {longest} seconds"
    if config.model.name != AVSGN:
        raise ConfigError(f"model.name={config.model.name} takes videos of one length, as it was published, and "
                          f"{came}; use model.name={AVSGN} with model.text.slots=per_class")
    if config.model.text.slots != "per_class":
        raise ConfigError(f"model.text.slots={config.model.text.slots} makes a text row for each second of one length, "
                          f"and {came}; use model.text.slots=per_class")


def shape_of(dataset: Dataset) -> zoo.Shape:
    audio, visual, maps = dataset.train.audio, dataset.train.visual, dataset.train.maps
    return zoo.Shape(audio.shape[-1], visual.shape[-1], dataset.span[1], len(dataset.categories),
                     regions=1 if maps is None else maps.regions)


def meta_of(dataset: Dataset) -> Meta:
    shape = shape_of(dataset)
    return Meta(
        categories=dataset.categories,
        audio_width=shape.audio_width,
        visual_width=shape.visual_width,
        segments=shape.segments,
        dataset=dataset.name,
        synthetic=dataset.synthetic,
        provenance=dataset.provenance,
    )


def split_of(dataset: Dataset, name: str, setting: str) -> Videos:
    try:
        return dataset.split(name)
    except DataError as error:
        raise ConfigError(f"{setting}={name}: {error}") from None


def selecting_split(config: Config, dataset: Dataset) -> Videos | None:
    select = config.train.select
    return None if select == "last" else split_of(dataset, select, "train.select")


def check_recipe(config: Config, dataset: Dataset) -> None:
    """Everything that can be refused before a file is touched."""
    select, patience = config.train.select, config.train.early_stop
    split_of(dataset, config.evaluate.split, "evaluate.split")
    if patience is not None and select == "last":
        raise ConfigError(f"train.early_stop={patience} needs a split to watch; train.select=last has none")
    if select == "test":
        text = "train.select=test chooses the epoch on the test split; the numbers flatter, every row says so"
        warnings.warn(text, stacklevel=4)
        logger.warning(text)
    selecting_split(config, dataset)
    model = zoo.build_model(config.model, shape_of(dataset), dataset.label_text, config.objective.supervision)
    zoo.build_objective(config.objective, config.model.name)
    if hasattr(model, "label_text") and dataset.label_text is None and config.model.text.bank == "frozen":
        raise ConfigError(
            f"model.text.bank=frozen needs label embeddings, and {dataset.name} brings none: give "
            "data.audio_labels and data.visual_labels, or learn the bank with model.text.bank=learned"
        )


def check_fits(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Refuse data of other classes or widths than the checkpoint's, or of a length its model cannot take."""
    model = checkpoint.config.model
    there, here = checkpoint.config.data.regions, "pool" if dataset.train.maps is None else "keep"
    if there != here:
        raise CheckpointError(f"{checkpoint.path}: trained with data.regions={there}, the data were opened with {here}")
    any_length = model.text.slots == "per_class" and model.time_encoding != "learned"
    length = () if any_length else ("segments",)
    _compare(checkpoint.path, dataset, ("categories", "audio_width", "visual_width", *length))


def check_same_data(checkpoint: Path, dataset: Dataset) -> None:
    """Refuse to continue on other data than those a run began with."""
    _compare(checkpoint, dataset, ("categories", "audio_width", "visual_width", "segments", "provenance"))


def _compare(checkpoint: Path, dataset: Dataset, names: tuple[str, ...]) -> None:
    there, here = (meta.model_dump(mode="json") for meta in (read_meta(checkpoint), meta_of(dataset)))
    found = [
        f"{name}: {there[name]} in the checkpoint, {here[name]} in the data"
        for name in names
        if there[name] != here[name]
    ]
    if found:
        raise CheckpointError(f"{checkpoint}: does not fit {dataset.name}: " + "; ".join(found))
