"""Reliability of a localization: padding and videos without an event do not count."""

from __future__ import annotations

from pathlib import Path

import torch

from avsgn_pyg.common.settings import DataConfig, SyntheticConfig
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.engine.recipes import reliability
from avsgn_pyg.engine.recipes.reliability import class_reliability, write_reliability
from avsgn_pyg.graph.localization import Localization

VIDEOS = load_dataset(DataConfig(kind="synthetic", synthetic=SyntheticConfig(videos=60, segments=(3, 7), width=16))).val


def test_the_figure_counts_seconds_without_padding_and_videos_with_an_event(tmp_path: Path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(reliability, "reliability_figure", lambda title, panels: drawn.update(panels))
    monkeypatch.setattr(reliability, "save_figure", lambda figure, path: path)
    sure = torch.nn.functional.one_hot(VIDEOS.category.clamp(min=0), 28) * 30.0
    relevance = torch.where(VIDEOS.relevance > 0, 0.85, 0.15).logit()
    found = Localization(sure, torch.where(VIDEOS.mask, relevance, torch.nan), mask=VIDEOS.mask)
    write_reliability(tmp_path / "reliability.png", found, VIDEOS, "")
    classes, seconds = drawn.values()
    assert classes.count.sum() == (VIDEOS.category >= 0).sum() and classes.error < 1e-3
    assert seconds.count.sum() == VIDEOS.mask.sum() and abs(seconds.error - 15) < 1e-3


def test_a_wrong_class_is_observed():
    wrong = torch.nn.functional.one_hot((VIDEOS.category + 1) % 28, 28) * 30.0
    assert class_reliability(Localization(wrong, VIDEOS.relevance), VIDEOS).error > 99
