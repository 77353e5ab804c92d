"""Steps that training, evaluation and pictures share: open the data, check that everything fits, rebuild a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from torch import nn

from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.common.errors import CheckpointError, DataError
from avsgn_pyg.common.settings import AVSGN
from avsgn_pyg.data.dataset import Dataset, Videos, load_dataset
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoint
from avsgn_pyg.engine.files import Meta, read_config, read_meta
from avsgn_pyg.engine.recipes.checks import check_config, check_run

#: Settings that are not named: split and tau are anyway, data that moved are the same by their provenance, and
#: validation during training changes no score.
UNNAMED: Final = ("data.root", "evaluate.split", "evaluate.tau", "evaluate.every")


class Opened(NamedTuple):
    """A run's selected checkpoint, a split of its data, and its model in evaluation mode on the CPU."""

    checkpoint: Checkpoint
    config: Config
    dataset: Dataset
    split: str
    videos: Videos
    model: nn.Module


def open_run(run: Path, *, split: str | None, overrides: Sequence[str], use: str) -> Opened:
    """Open a run's selected checkpoint and a split of its data.

    Args:
        run: a run's folder or a checkpoint's.
        split: ``None`` takes the config's ``evaluate.split``.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.
        use: the purpose, for error messages: ``a picture``.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting or the data cannot be used.
    """
    [path] = check_run(run, overrides, use)
    checkpoint, config = load_checkpoint(path), read_config(path, overrides)
    if config.events is not None:
        raise ConfigError(f"{path}: finds several events a video, and {use} of rows shows one; tools with --video take "
                          "a clip")
    dataset, split = open_dataset(config), split or config.evaluate.split
    check_fits(checkpoint, dataset)
    videos = split_of(dataset, split, "split")
    return Opened(checkpoint, config, dataset, split, videos, zoo.load_model(checkpoint, shape_of(dataset)))


def open_dataset(config: Config) -> Dataset:
    """Load the config's data set, with the text nodes and edges that its model needs.

    Raises:
        ConfigError: data for parsing; maps for a model of vectors; videos of mixed lengths under a setting that
            needs one length.
        DataError: the data cannot be used.
    """
    check_config(config)
    if config.data.regions == "keep":
        zoo.refuse_maps(config.model.name)
    dataset = load_dataset(config.data)
    _refuse_mixed_lengths(config, dataset)
    return with_graph(config, dataset)


def with_graph(config: Config, dataset: Dataset) -> Dataset:
    """Return the data set with the text nodes and edges that the config's model needs."""
    return dataset.with_graph(zoo.text_nodes(config.model, shape_of(dataset)), zoo.topology(config.model))


def _refuse_mixed_lengths(config: Config, dataset: Dataset) -> None:
    shortest, longest = dataset.span
    if shortest == longest or config.events is not None:
        return
    found, slots = f"{dataset.name} has videos of {shortest} to {longest} seconds", config.model.text.slots
    if config.model.name != AVSGN:
        raise ConfigError(f"model.name={config.model.name} takes videos of one length, as it was published, and "
                          f"{found}; use model.name={AVSGN} with model.text.slots=per_class")
    if slots != "per_class":
        raise ConfigError(f"model.text.slots={slots} makes a text row for each second of one length, and {found}; use "
                          "model.text.slots=per_class")


def shape_of(dataset: Dataset) -> zoo.Shape:
    """Return the widths and counts that decide the shape of a model's weights."""
    audio, visual, maps = dataset.train.audio, dataset.train.visual, dataset.train.maps
    return zoo.Shape(audio.shape[-1], visual.shape[-1], dataset.span[1], len(dataset.categories),
                     regions=1 if maps is None else maps.regions, rate=dataset.train.rate)


def meta_of(dataset: Dataset) -> Meta:
    """Return a checkpoint's metadata on the data it was trained on."""
    shape = shape_of(dataset)
    return Meta(categories=dataset.categories, audio_width=shape.audio_width, visual_width=shape.visual_width,
                segments=shape.segments, rate=shape.rate, dataset=dataset.name, synthetic=dataset.synthetic,
                provenance=dataset.provenance)


def split_of(dataset: Dataset, name: str, setting: str) -> Videos:
    """Return a split; ConfigError, which names `setting`, if the data have none of that name."""
    try:
        return dataset.split(name)
    except DataError as error:
        raise ConfigError(f"{setting}={name}: {error}") from None


def scored_splits(config: Config, dataset: Dataset) -> dict[str, Videos]:
    """Return the splits that are scored during training: the one that ``train.select`` names, and val if there is one.

    Raises:
        ConfigError: the data have no split that ``train.select`` names.
    """
    select = config.train.select
    chosen = {} if select == "last" else {select: split_of(dataset, select, "train.select")}
    watched = {} if dataset.val is None or not config.evaluate.every else {"val": dataset.val}
    return chosen | watched


def check_fits(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Refuse data of other classes or widths than the checkpoint's, or of a length its model cannot take."""
    model = checkpoint.config.model
    trained, opened = checkpoint.config.data.regions, "pool" if dataset.train.maps is None else "keep"
    if trained != opened:
        raise CheckpointError(f"{checkpoint.path}: trained with data.regions={trained}, the data were opened with "
                              f"{opened}")
    any_length = model.text.slots == "per_class" and model.time_encoding != "learned"
    length = () if any_length else ("segments",)
    _compare(checkpoint.path, dataset, "categories", "audio_width", "visual_width", "rate", *length)


def check_same_data(checkpoint: Path, dataset: Dataset) -> None:
    """Refuse to continue a run on other data than those it began with."""
    _compare(checkpoint, dataset, "categories", "audio_width", "visual_width", "segments", "provenance")


def _compare(checkpoint: Path, dataset: Dataset, *names: str) -> None:
    saved, given = (meta.model_dump(mode="json") for meta in (read_meta(checkpoint), meta_of(dataset)))
    found = [f"{name}: {saved[name]} in the checkpoint, {given[name]} in the data"
             for name in names if saved[name] != given[name]]
    if found:
        raise CheckpointError(f"{checkpoint}: does not fit {dataset.name}: " + "; ".join(found))


def other_settings(config: Config, checkpoint: Checkpoint, dataset: Dataset) -> Iterator[str]:
    """Yield the settings that differ from the run's and change what is scored, and a digest of data that do."""
    for section in ("data", "evaluate"):
        old, new = (getattr(each, section).model_dump(mode="json") for each in (checkpoint.config, config))
        yield from (f"{section}.{key}={value if isinstance(value, str) else json.dumps(value)}"
                    for key, value in new.items() if value != old[key] and f"{section}.{key}" not in UNNAMED)
    trained, opened = (meta.model_dump(mode="json")["provenance"] for meta in (checkpoint.meta, meta_of(dataset)))
    if opened != trained:
        yield f"data={hashlib.sha256(json.dumps(opened, sort_keys=True).encode()).hexdigest()[:8]}"
