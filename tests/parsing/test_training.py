"""From csv files and a store to F-scores: a parser learns what is made to be learnt, stops, and continues exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg import recipes
from avsgn_pyg.config import ConfigError, load_config
from avsgn_pyg.data.feature_store import read_store, write_store
from avsgn_pyg.engine import trainer
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.run_folder import RunError
from avsgn_pyg.errors import DataError
from avsgn_pyg.parsing.checks import EVAL_FILES, WEAK_FILES
from avsgn_pyg.parsing.llp import CATEGORIES, read_llp
from avsgn_pyg.parsing.synthetic import made_features
from avsgn_pyg.parsing.training import evaluate_run, restart, train

#: Settings of localization's data and scores.
UNREAD = [
    ("evaluate.tau", "0.5"), ("evaluate.bootstrap", "20"), ("data.annotations", "a.txt"), ("data.splits", "txt"),
    ("data.audio_features", "a.h5"), ("data.visual_features", "v.h5"), ("data.audio_labels", "a.npy"),
    ("data.visual_labels", "v.npy"), ("data.drop_leaking", "True"),
]
SIZES = {"train": 96, "val": 24, "test": 24}


def write_llp(root: Path) -> None:
    """Csv files of made videos with one event of three classes, in val and test heard first and seen last."""
    lines = {name: ["filename\tonset\toffset\tevent_labels"] for name in EVAL_FILES}
    for split, count in SIZES.items():
        rows = [(f"{split}_{number}_0_10", CATEGORIES[number % 3]) for number in range(count)]
        (root / WEAK_FILES[split]).write_text("\n".join(["filename\tevent_labels", *map("\t".join, rows), ""]))
        for name, event in rows if split != "train" else ():
            lines["audio"].append(f"{name}\t0\t6\t{event}")
            lines["visual"].append(f"{name}\t4\t10\t{event}")
    for name, file in EVAL_FILES.items():
        (root / file).write_text("\n".join([*lines[name], ""]))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llp")
    write_llp(folder)
    write_store(folder / "made.h5", made_features(read_llp(folder), width=16))
    return folder


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Callable:
    def make(*settings: str):
        return load_config(None, [
            "data.kind=llp", "data.name=LLP", f"data.root={root}", "data.features=made.h5", "name=small",
            f"run_dir={tmp_path}", "model.dim=16", "train.epochs=3", "train.batch_size=16", "train.learning_rate=3e-3",
            "train.device=cpu", "evaluate.split=test", *settings])

    return make


def test_a_run_ends_in_a_table_and_a_file(config, tmp_path: Path):
    result = train(config("train.epochs=8"), progress=False)
    assert result.split == "test" and result.report.videos == 24 and result.synthetic
    assert result.report.segment.audio > 50, result.table()
    assert "LLP (made features), test: 24 videos" in result.table()
    written = json.loads((tmp_path / "small" / "evaluation-test" / "parsing.json").read_text())
    assert written["segment"]["type_av"] == result.report.segment.type_av and written["event"]
    lines = [json.loads(line) for line in (tmp_path / "small" / "journal.jsonl").read_text().splitlines()]
    assert set(lines[0]["loss"]) == {"video", "audio", "visual", "total"}
    best = max(lines, key=lambda line: line["val"]["segment_type_av"])
    assert result.epoch == best["epoch"] and next(iter(best["val"])) == "segment_type_av"


def test_a_run_that_was_stopped_continues_exactly(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = train(config("name=whole", "train.ema=0.5"), progress=False)
    write = trainer.Journal.write

    def stop(self, record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt
        write(self, record)

    monkeypatch.setattr(trainer.Journal, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        train(config("train.ema=0.5"), progress=False)
    monkeypatch.setattr(trainer.Journal, "write", write)
    resumed = restart(tmp_path / "small", progress=False)
    assert resumed.report == whole.report and resumed.epoch == whole.epoch
    one, two = (load_checkpoint(result.checkpoint).weights for result in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert train(config("train.ema=0.5"), progress=False).report == whole.report  # finished: only scored


def test_a_checkpoint_is_scored_on_another_split(config, tmp_path: Path):
    trained = train(config(), progress=False)
    again = evaluate_run(tmp_path / "small", device="cpu")
    assert again.report == trained.report
    other = evaluate_run(tmp_path / "small", split="val", device="cpu")
    assert other.split == "val" and (tmp_path / "small" / "evaluation-val" / "parsing.json").is_file()
    with pytest.raises(DataError, match="no segment labels to score against"):
        evaluate_run(tmp_path / "small", split="train", device="cpu")
    with pytest.raises(ConfigError, match=r"can change data\.\*"):
        evaluate_run(tmp_path / "small", overrides=["train.epochs=9"], device="cpu")


def test_other_data_than_the_run_began_with_are_refused(config, root: Path, tmp_path: Path):
    train(config("train.epochs=1"), progress=False)
    write_store(root / "other.h5", made_features(read_llp(root), width=16, seed=3))
    with pytest.raises(RunError, match="features"):
        train(config("train.epochs=1", "data.features=other.h5"), progress=False)


@pytest.mark.parametrize(("settings", "words"), [
    (["train.seeds=[0,1]"], "a parsing run has one seed"),
    (["objective.label_smoothing=0.1"], "parsing's losses are set under parsing"),
    (["train.augment.boundary=0.5"], "need one class a video"),
    (["evaluate.split=train"], "segment labels in val and test"),
    (["train.select=last", "train.early_stop=2"], "needs a split to watch"),
    (["model.head.gates=vector"], "a head of its own"),
    (["data.synthetic.classes=3"], r"data\.synthetic=.* does not read it"),
    *((["=".join(pair)], rf"{re.escape(pair[0])}={pair[1]}.*: parsing .* does not read it") for pair in UNREAD),
])
def test_what_parsing_would_ignore_is_refused_before_a_file_is_touched(config, tmp_path: Path, settings, words):
    with pytest.raises(ConfigError, match=words):
        train(config(*settings), progress=False)
    assert not list(tmp_path.iterdir())


def test_a_store_without_label_text_asks_for_a_learned_bank(config, root: Path, tmp_path: Path):
    store = read_store(root / "made.h5")
    plain = {name: getattr(store, name) for name in ("audio", "visual", "video_ids", "provenance")}
    write_store(root / "plain.h5", type(store)(**plain))
    with pytest.raises(ConfigError, match=r"model\.text\.bank=learned"):
        train(config("data.features=plain.h5"), progress=False)
    learned = config("data.features=plain.h5", "model.text.bank=learned", "train.epochs=1")
    assert train(learned, progress=False).epoch == 1


def test_each_recipe_sends_the_other_s_data_to_its_tool(config):
    with pytest.raises(ConfigError, match="tools/train_parsing"):
        recipes.train(config(), progress=False)
    with pytest.raises(ConfigError, match="tools/train"):
        train(load_config(None, ["data.kind=synthetic"]), progress=False)


def test_a_localizer_s_checkpoint_is_not_scored_as_a_parser(tmp_path: Path):
    small = ["data.kind=synthetic", "data.synthetic.videos=24", "data.synthetic.width=16", "model.dim=16",
             f"run_dir={tmp_path}", "name=other", "train.epochs=1", "evaluate.bootstrap=0", "train.device=cpu"]
    recipes.train(load_config(None, small), progress=False)
    with pytest.raises(ConfigError, match=r"parsing needs data\.kind=llp"):
        evaluate_run(tmp_path / "other", device="cpu")
