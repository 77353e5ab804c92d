"""From an annotation file and a store to scores: a dense model learns, is stopped, and resumes exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.config import Config, ConfigError, load_config
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.recipes.dense import detect
from avsgn_pyg.engine.recipes.task import TaskResult
from avsgn_pyg.engine.zoo import load_model
from avsgn_pyg.model.dense import AVSGNDense


@pytest.fixture(scope="module")
def config(dense_root: Path) -> Callable[..., Config]:
    def make(run_dir: Path, *settings: str) -> Config:
        return load_config(None, [
            "data.kind=dense", "data.name=made", f"data.root={dense_root}", "data.features=features.h5",
            "data.annotations=annotations.json", "name=small", f"run_dir={run_dir}", "model.dim=16",
            "model.text.slots=per_class", "model.time_encoding=relative", "train.epochs=5", "train.batch_size=8",
            "train.learning_rate=1e-2", "train.schedule=constant", "train.device=cpu", "train.trackers=[]",
            "dense.limit=10", "evaluate.bootstrap=20", *settings])

    return make


@pytest.fixture(scope="module")
def whole(config: Callable, tmp_path_factory: pytest.TempPathFactory) -> TaskResult:
    """An uninterrupted run."""
    return recipes.train(config(tmp_path_factory.mktemp("runs")), progress=False)


def test_a_run_learns_and_ends_in_a_table_and_a_file(whole: TaskResult):
    assert whole.split == "test" and whole.videos == 16
    assert json.loads((whole.place / "metrics.json").read_text()) == whole.as_dict()
    assert "made, test: 16 videos" in whole.table()
    lines = [json.loads(line) for line in (whole.folder / "journal.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"]["total"] < 0.7 * lines[0]["loss"]["total"]
    assert whole.scores["scores"]["mean_map"] > 25, whole.table()
    assert whole.epoch == max(lines, key=lambda line: next(iter(line["val"].values())))["epoch"]


def test_a_checkpoint_rebuilds_its_model_and_is_scored_again(whole: TaskResult):
    checkpoint = load_checkpoint(whole.checkpoint)
    model = load_model(checkpoint)
    assert isinstance(model, AVSGNDense) and model.head.rate == checkpoint.meta.rate == 2
    assert recipes.evaluate_run(whole.folder, device="cpu").scores == whole.scores
    other = recipes.evaluate_run(whole.folder, split="val", device="cpu")
    assert other.place.name == "evaluation-val" and other.place.is_dir()
    with pytest.raises(ConfigError, match="--tau"):
        recipes.evaluate_run(whole.folder, tau=0.4, device="cpu")


def test_figures_of_rows_of_one_event_are_refused(whole: TaskResult):
    for draw in (recipes.pictures.open_row, recipes.pictures.explain_row, recipes.embedding.embed_run):
        with pytest.raises(ConfigError, match="several events a video"):
            draw(whole.folder)


def test_there_is_no_figure_of_reliability_of_several_events(whole: TaskResult, tmp_path: Path):
    with pytest.raises(ConfigError, match="several events"):
        recipes.reliability.draw_result(whole, tmp_path / "a.png")


def test_decoding_is_a_setting_and_detections_are_written(whole: TaskResult, config: Callable, dense_root: Path):
    written = json.loads((whole.place / "detections.json").read_text())["results"]
    dataset, model = load_dataset(config(dense_root).data).with_graph(6), load_model(load_checkpoint(whole.checkpoint))
    videos = dataset.test
    assert list(written) == list(videos.video_ids)
    found = {}
    for setting in ("limit=10", "limit=2", "threshold=0.3", "sigma=0.1"):
        given = config(dense_root, f"dense.{setting}")
        found[setting] = detect(model, videos, config=given, device=torch.device("cpu"))
    plain = found["limit=10"]
    segments = [[[one["segment"], one["score"]] for one in events] for events in written.values()]
    assert segments == [[[[one.start, one.end], one.score] for one in events] for events in plain]
    assert found["limit=2"] == [events[:2] for events in plain]
    lowest = min(one.score for events in found["threshold=0.3"] for one in events)
    assert lowest > 0.3 >= min(one.score for events in plain for one in events)
    assert found["sigma=0.1"] != plain
    assert all(one.end <= seconds / 2 for events, seconds in zip(plain, videos.seconds, strict=True) for one in events)


@pytest.mark.slow
def test_a_stopped_run_resumes_exactly(whole: TaskResult, config: Callable, tmp_path: Path,
                                       interrupt_training: Callable):
    interrupt_training(lambda: recipes.train(config(tmp_path), progress=False), 3)
    resumed = recipes.restart(tmp_path / "small", progress=False)
    assert resumed.scores == whole.scores and resumed.epoch == whole.epoch
    one, two = (load_checkpoint(result.checkpoint).weights for result in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("setting", [
    "model.head.gates=vector", "evaluate.tau=0.4", "objective.margin=2", "train.augment.time_flip=0.5",
    "train.seeds=[0,1]", "data.audio_labels=x.npy"])
def test_settings_that_would_be_ignored_are_refused_before_a_file_is_written(config: Callable, tmp_path: Path,
                                                                            setting: str):
    key = ".".join(setting.partition("=")[0].split(".")[:2]).replace("objective.margin", "objective")
    with pytest.raises(ConfigError, match=key):
        recipes.train(config(tmp_path, setting), progress=False)
    assert not list(tmp_path.iterdir())
