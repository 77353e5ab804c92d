"""Videos of classes that a run never saw: its relevance, the labels' text, and whose videos they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from avsgn_pyg import metrics, recipes
from avsgn_pyg.config import Config, ConfigError
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.experiments.unseen_classes import measure_unseen
from avsgn_pyg.model.open_vocabulary import label_scores
from avsgn_pyg.recipes.parts import open_run

GONE = (1, 4)


def trained(folder: Path, *, segments: int | tuple[int, int] = 10, held_out: bool = True) -> Path:
    data = {"kind": "synthetic", "synthetic": {"videos": 120, "classes": 6, "width": 16, "segments": segments}}
    config = Config.model_validate({
        "run_dir": folder, "data": data, "model": {"dim": 8, "text": {"slots": "per_class"}},
        "train": {"epochs": 1, "batch_size": 16, "device": "cpu"}, "evaluate": {"bootstrap": 0, "split": "val"}})
    names = load_dataset(config.data).categories
    gone = tuple(names[place] for place in GONE) if held_out else ()
    config = config.model_copy(update={"data": config.data.model_copy(update={"held_out": gone})})
    return recipes.train(config, progress=False).folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"))


def test_seconds_are_the_run_s_and_names_are_the_text_s(run: Path):
    found = measure_unseen(run)
    opened = open_run(run, split=None, overrides=[], use="a test")
    whole = load_dataset(opened.config.data.model_copy(update={"held_out": ()}))
    videos = whole.val.take(torch.isin(whole.val.category, torch.tensor(GONE)).nonzero().flatten())
    videos = dataclasses.replace(videos, text_nodes=opened.videos.text_nodes)
    relevance = opened.model(videos.batch(torch.arange(len(videos)))).relevance
    scores = label_scores(videos.audio, videos.visual, relevance.sigmoid(), *(
        getattr(whole.label_text, name) for name in ("audio", "visual")))
    expected = metrics.evaluate(scores.detach(), relevance.detach(), videos.category, videos.relevance,
                                categories=whole.categories, tau=opened.config.evaluate.tau, bootstrap=0)
    assert found.reports["all"].as_dict() == expected.as_dict()
    among = scores[:, list(GONE)].argmax(-1)
    right = (torch.tensor(GONE)[among] == videos.category).double().mean().item()
    assert found.reports["held out"].class_accuracy == pytest.approx(100 * right)
    assert found.reports["held out"].relevance_auc == expected.relevance_auc


def test_the_table_names_the_classes_and_has_a_line_for_each_list(run: Path):
    found = measure_unseen(run, split="test")
    table = found.table()
    assert "val" not in table.splitlines()[0] and all(name in table.splitlines()[0] for name in found.classes)
    assert "2 labels, held out" in table and "6 labels, all" in table and "event F1 @ 0.5" in table
    assert set(json.loads(json.dumps(found.as_dict()))["named_from"]) == {"held out", "all"}


def test_videos_of_mixed_lengths_are_read_to_their_end(tmp_path: Path):
    found = measure_unseen(trained(tmp_path, segments=(4, 9)))
    report = found.reports["all"]
    assert report.segments < 9 * report.videos


def test_a_run_of_every_class_has_nothing_to_measure(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"trained on every class.*data\.held_out=\[\.\.\.\]"):
        measure_unseen(trained(tmp_path, held_out=False))
