"""Training-free rules scored on a split: no annotation is read but for the scores, and padding has no influence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.common.settings import DataConfig, SyntheticConfig
from avsgn_pyg.data.dataset import Dataset, load_dataset
from avsgn_pyg.engine.recipes.training_free import measure_training_free
from avsgn_pyg.graph.localization import decode
from avsgn_pyg.graph.training_free import likelihood_ratio, similarity

DATA = DataConfig(kind="synthetic", synthetic=SyntheticConfig(videos=120, classes=6, width=16))
LOAD = "avsgn_pyg.engine.recipes.open_vocabulary.load_dataset"


def replaced(change: Callable[[Dataset], Dataset]) -> Callable[[DataConfig], Dataset]:
    return lambda config: change(load_dataset(config))


def test_each_clip_alone_is_scored_as_by_hand():
    rows = measure_training_free(DATA, bootstrap=0).values["rows"]
    dataset = load_dataset(DATA)
    videos, text, right = dataset.val, dataset.label_text, []
    clips = zip(videos.audio, videos.visual, videos.category, videos.relevance, strict=True)
    for audio, visual, category, event in clips:
        output = likelihood_ratio(similarity(audio[None], visual[None], text.audio, text.visual))
        truth = torch.where(event > 0, category, len(dataset.categories))
        right.append(decode(output.category, output.relevance, 0.5)[0] == truth)
    assert rows["each clip alone"]["segment_accuracy"] == pytest.approx(100 * torch.stack(right).float().mean().item())


def test_annotations_change_no_answer(monkeypatch: pytest.MonkeyPatch):
    def shuffled(dataset: Dataset) -> Dataset:
        train = dataset.train
        order = torch.randperm(len(train))
        return dataclasses.replace(dataset, train=dataclasses.replace(
            train, category=train.category[order], relevance=train.relevance[order]))

    before = measure_training_free(DATA, bootstrap=0).values
    monkeypatch.setattr(LOAD, replaced(shuffled))
    assert measure_training_free(DATA, bootstrap=0).values == before


def test_padding_has_no_influence(monkeypatch: pytest.MonkeyPatch):
    def poisoned(dataset: Dataset) -> Dataset:
        for videos in dataset.splits.values():
            videos.audio[~videos.mask], videos.visual[~videos.mask] = torch.nan, torch.nan
        return dataset

    mixed = DataConfig(kind="synthetic", synthetic=SyntheticConfig(videos=60, classes=6, width=16, segments=(3, 7)))
    before = measure_training_free(mixed, bootstrap=0).values
    monkeypatch.setattr(LOAD, replaced(poisoned))
    assert measure_training_free(mixed, bootstrap=0).values == before


def test_videos_with_several_events_are_refused():
    for kind in ("llp", "dense"):
        with pytest.raises(ConfigError, match=kind):
            measure_training_free(DataConfig(kind=kind, name="x", features="f.h5", root="nowhere"))
