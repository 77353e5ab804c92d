"""Videos of classes that a run never saw: its relevance, the labels' text, and whose videos they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from avsgn_pyg import metrics, recipes
from avsgn_pyg.config import Config, ConfigError, SyntheticConfig
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.experiments.unseen_classes import measure_unseen
from avsgn_pyg.model.open_vocabulary import label_scores
from avsgn_pyg.recipes.parts import open_run

GONE = (1, 4)


def trained(folder: Path, *, segments: int | tuple[int, int] = 10, held_out: tuple[int, ...] = GONE) -> Path:
    data = {"kind": "synthetic", "synthetic": {"videos": 120, "classes": 6, "width": 16, "segments": segments}}
    config = Config.model_validate({
        "run_dir": folder, "data": data, "model": {"dim": 8, "text": {"slots": "per_class"}},
        "train": {"epochs": 1, "batch_size": 16, "device": "cpu"}, "evaluate": {"bootstrap": 0, "split": "val"}})
    names = load_dataset(config.data).categories
    gone = tuple(names[place] for place in held_out)
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


def test_what_fills_a_short_video_up_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = trained(tmp_path, segments=(4, 9))
    found = measure_unseen(run)
    config = open_run(run, split=None, overrides=[], use="a test").config
    whole = load_dataset(config.data.model_copy(update={"held_out": ()}))
    for videos in whole.splits.values():
        videos.audio[~videos.mask], videos.visual[~videos.mask] = torch.nan, torch.nan
    monkeypatch.setattr("avsgn_pyg.experiments.unseen_classes.load_dataset", lambda _: whole)
    assert measure_unseen(run).as_dict() == found.as_dict()


def test_one_class_is_named_among_all_alone(tmp_path: Path):
    found = measure_unseen(trained(tmp_path, held_out=(2,)))
    assert set(found.reports) == {"all"} and "6 labels, all" in found.table()


def test_longer_videos_than_the_model_s_time_knows_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch):
    def learned(*arguments: object, **more: object):
        opened = open_run(*arguments, **more)
        model = opened.config.model.model_copy(update={"time_encoding": "learned"})
        return opened._replace(config=opened.config.model_copy(update={"model": model}))

    monkeypatch.setattr("avsgn_pyg.experiments.unseen_classes.open_run", learned)
    whole = load_dataset(open_run(run, split=None, overrides=[], use="a test").config.data.model_copy(
        update={"held_out": (), "synthetic": SyntheticConfig(videos=120, classes=6, width=16, segments=12)}))
    monkeypatch.setattr("avsgn_pyg.experiments.unseen_classes.load_dataset", lambda _: whole)
    with pytest.raises(ConfigError, match=r"learned knows 10 seconds, and a video of .* has 12"):
        measure_unseen(run)


def test_a_split_without_a_video_of_them_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch):
    whole = load_dataset(open_run(run, split=None, overrides=[], use="a test").config.data.model_copy(
        update={"held_out": ()}))
    rest = whole.val.take((~torch.isin(whole.val.category, torch.tensor(GONE))).nonzero().flatten())
    monkeypatch.setattr("avsgn_pyg.experiments.unseen_classes.load_dataset",
                        lambda _: dataclasses.replace(whole, val=rest))
    with pytest.raises(DataError, match="the val split has no video of class 1, class 4; take another"):
        measure_unseen(run)


def test_a_run_of_every_class_has_nothing_to_measure(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"trained on every class.*data\.held_out=\[\.\.\.\]"):
        measure_unseen(trained(tmp_path, held_out=()))
