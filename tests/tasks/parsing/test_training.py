"""From csv files and a store to F-scores: a parser learns, is stopped, and resumes exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.config import ConfigError, load_config
from avsgn_pyg.common.errors import DataError, RunError
from avsgn_pyg.data.feature_store import Features, read_store, write_store
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.recipes.task import TaskResult
from avsgn_pyg.tasks import parsing
from avsgn_pyg.tasks.parsing.llp import read_llp
from avsgn_pyg.tasks.parsing.synthetic import make_features


@pytest.fixture(scope="module")
def config(root: Path) -> Callable:
    def make(run_dir: Path, *settings: str):
        return load_config(None, [
            "data.kind=llp", "data.name=LLP", f"data.root={root}", "data.features=made.h5", "name=small",
            f"run_dir={run_dir}", "model.dim=16", "train.epochs=4", "train.batch_size=8", "train.learning_rate=1e-2",
            "train.ema=0.5", "train.device=cpu", "evaluate.split=test", *settings])

    return make


@pytest.fixture(scope="module")
def whole(config: Callable, tmp_path_factory: pytest.TempPathFactory) -> TaskResult:
    """An uninterrupted run."""
    return parsing.train(config(tmp_path_factory.mktemp("runs")), progress=False)


def test_a_run_ends_in_a_table_and_a_file(whole: TaskResult):
    assert whole.split == "test" and whole.videos == 24 and whole.synthetic
    assert whole.scores["segment"]["audio"] > 50, whole.table()
    assert "LLP (synthetic features), test: 24 videos" in whole.table()
    written = json.loads((whole.folder / "evaluation-test" / "parsing.json").read_text())
    assert written == whole.as_dict() and (written["videos"], written["iou"]) == (24, 0.5)
    lines = [json.loads(line) for line in (whole.folder / "journal.jsonl").read_text().splitlines()]
    assert set(lines[0]["loss"]) == {"video", "audio", "visual", "total"}
    best = max(lines, key=lambda line: line["val"]["segment_type_av"])
    assert whole.epoch == best["epoch"] and next(iter(best["val"])) == "segment_type_av" and len(best["val"]) == 10


@pytest.mark.slow
def test_a_stopped_run_resumes_exactly(whole, config, tmp_path: Path, interrupt_training):
    interrupt_training(lambda: parsing.train(config(tmp_path), progress=False), 3)
    resumed = parsing.restart(tmp_path / "small", progress=False)
    assert resumed.scores == whole.scores and resumed.epoch == whole.epoch
    one, two = (load_checkpoint(result.checkpoint).weights for result in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert parsing.train(config(tmp_path), progress=False).scores == whole.scores  # finished: only scored


@pytest.mark.slow
def test_a_checkpoint_is_scored_on_another_split(whole):
    assert parsing.evaluate_run(whole.folder, device="cpu").scores == whole.scores
    other = parsing.evaluate_run(whole.folder, split="val", device="cpu")
    assert other.videos == 12 and (whole.folder / "evaluation-val" / "parsing.json").is_file()
    named = parsing.evaluate_run(whole.folder, overrides=["data.name=other"], device="cpu")
    written = json.loads((whole.folder / "evaluation-test-data.name=other" / "parsing.json").read_text())
    assert written == named.as_dict()
    assert named.settings == ("data.name=other",)
    with pytest.raises(DataError, match="no segment labels"):
        parsing.evaluate_run(whole.folder, split="train", device="cpu")
    with pytest.raises(ConfigError, match=r"data\.\*"):
        parsing.evaluate_run(whole.folder, overrides=["train.epochs=9"], device="cpu")


def test_other_data_than_the_run_began_with_are_refused(whole, config, root: Path):
    write_store(root / "other.h5", make_features(read_llp(root), width=16, seed=3))
    with pytest.raises(RunError, match="features"):
        parsing.train(config(whole.folder.parent, "data.features=other.h5"), progress=False)


@pytest.mark.parametrize("settings", [
    ["train.seeds=[0,1]"], ["objective.label_smoothing=0.1"], ["train.augment.boundary=0.5"], ["evaluate.split=train"],
    ["evaluate.tau=0.5"], ["evaluate.bootstrap=20"], ["data.annotations=x"], ["data.splits=txt"],
    ["data.audio_features=x.h5"], ["data.visual_features=x.h5"], ["data.audio_labels=x.npy"],
    ["data.visual_labels=x.npy"], ["data.drop_leaking=true"], ["data.synthetic={classes: 3}"],
], ids=str)
def test_settings_that_parsing_would_ignore_are_refused_before_a_file_is_written(config, tmp_path: Path, settings):
    name = settings[-1].partition("=")[0].removesuffix(".label_smoothing").removesuffix(".boundary")
    with pytest.raises(ConfigError, match=name):
        parsing.train(config(tmp_path, *settings), progress=False)
    assert not list(tmp_path.iterdir())


def test_a_store_without_label_text_needs_a_learned_bank(config, root: Path, tmp_path: Path):
    store = read_store(root / "made.h5")
    write_store(root / "plain.h5", Features(store.audio, store.visual, store.video_ids))
    with pytest.raises(ConfigError, match=r"model\.text\.bank=learned"):
        parsing.train(config(tmp_path, "data.features=plain.h5"), progress=False)


def test_each_recipe_names_the_tool_for_the_other_s_data(config, tmp_path: Path):
    with pytest.raises(ConfigError, match="tools/train_parsing"):
        recipes.train(config(tmp_path), progress=False)
    with pytest.raises(ConfigError, match="tools/train"):
        parsing.train(load_config(None, ["data.kind=synthetic"]), progress=False)


def test_a_localizer_s_checkpoint_is_not_scored_as_a_parser(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("data: {kind: synthetic}\n")
    (tmp_path / "meta.json").write_text('{"format": 2, "categories": ["a", "b"], "audio_width": 8, "visual_width": 8, '
                                        '"segments": 10, "dataset": "made", "synthetic": true}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match=r"data\.kind=llp"):
        parsing.evaluate_run(tmp_path, device="cpu")
