from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg.common.config import Config, ConfigError, load_config
from avsgn_pyg.common.errors import CheckpointError, RunError
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.recipes import parts
from avsgn_pyg.engine.recipes.result import Result
from avsgn_pyg.engine.run_folder import RunFolder, find_checkpoint

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
Make = Callable[..., Config]


def train(config: Config, **options: Any) -> Result:
    return recipes.train(config, progress=False, **options)


def evaluate(folder: Path, *overrides: str, **options: Any) -> Result:
    return recipes.evaluate_run(folder, overrides=overrides, device="cpu", progress=False, **options)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(config_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(config_of(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def seeds(config_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run of the seeds 0 and 3."""
    return train(config_of(tmp_path_factory.mktemp("runs"), seeds=[0, 3]))


@pytest.fixture
def run(trained: Result, tmp_path: Path) -> Path:
    """A copy of the trained run, to be changed."""
    return shutil.copytree(trained.folder, tmp_path / "r")


@pytest.fixture
def change_data(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace fields of every data set that is opened."""
    load = parts.load_dataset

    def change(**fields: Any) -> None:
        monkeypatch.setattr(parts, "load_dataset", lambda *given: dataclasses.replace(load(*given), **fields))

    return change


def test_a_run_has_the_files_that_docs_runs_lists(trained: Result) -> None:
    files = set(snapshot(trained.folder))
    assert files >= {"config.yaml", "environment.json", "journal.jsonl", "checkpoints/index.json",
                     "evaluation-test/metrics.json", "evaluation-test/predictions.csv"}
    assert any(name.startswith("tensorboard/events") for name in files)
    assert not any(name.endswith((".pt", ".pth", ".bin", ".pkl", ".partial")) for name in files)
    assert "(synthetic) | test: 6 videos" in trained.table() and trained.as_dict()["summary"] is None


def test_what_is_odd_about_the_data_is_warned_of_and_in_the_folder(
    make_config: Make, change_data: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    change_data(warnings=("row 2 is longer than its clip",))
    folder = train(make_config(epochs=1)).folder
    assert any(record.levelname == "WARNING" and "row 2" in record.message for record in caplog.records)
    [started] = json.loads((folder / "environment.json").read_text())
    assert started["data_notes"][0] == "row 2 is longer than its clip" and len(started["data_notes"]) > 1


def test_a_finished_run_is_evaluated_and_not_trained_again(run: Path, make_config: Make, trained: Result) -> None:
    before = (run / "journal.jsonl").read_bytes()
    again = train(make_config()).as_dict()["evaluations"][0]
    assert again["scores"] == trained.as_dict()["evaluations"][0]["scores"]
    found = recipes.restart(run, ["evaluate.split=val", "evaluate.bootstrap=0", f"data.root={run}"], progress=False)
    assert found.split == "val" and found.marks == ("selected on val",)
    assert found.evaluations[0].report.segment_accuracy_interval is None
    assert (run / "journal.jsonl").read_bytes() == before


def test_a_saved_config_reproduces_the_weights(trained: Result, weights: Callable, tmp_path: Path) -> None:
    train(load_config(trained.folder / "config.yaml", ["name=again", f"run_dir={tmp_path}"]))
    assert same(weights(tmp_path / "again"), weights(trained.folder))


def test_another_config_is_refused_or_overwrites(run: Path, make_config: Make, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match=r"model\.dim: 8 in the run, 16 asked for"):
        train(make_config(model={"dim": 16}))
    with pytest.raises(RunError, match=r"train\.epochs: 1 in the run, 9 asked for"):
        train(make_config(epochs=9))
    with pytest.raises(RunError, match=r"train\.seeds: None in the run, \[0, 1\] asked for"):
        train(make_config(seeds=[0, 1]))
    assert snapshot(tmp_path) == before
    train(make_config(model={"dim": 16}), overwrite=True)
    assert load_checkpoint(find_checkpoint(run)).config.model.dim == 16


def test_seeds_have_a_folder_each_and_a_summary_and_train_as_they_would_alone(
    seeds: Result, make_config: Make, weights: Callable
) -> None:
    scores = [one.report.segment_accuracy for one in seeds.evaluations]
    summary = json.loads((seeds.folder / "summary-test.json").read_text())
    assert summary["seeds"] == [0, 3]
    assert summary["scores"]["segment_accuracy"]["mean"] == pytest.approx(statistics.mean(scores))
    one, other = (weights(seeds.folder / f"seed-{seed}") for seed in (0, 3))
    assert not same(one, other) and same(weights(train(make_config(seed=3)).folder), other)


@pytest.mark.slow
def test_seeds_may_be_added_and_finished_ones_are_kept(seeds: Result, make_config: Make, tmp_path: Path) -> None:
    run = shutil.copytree(seeds.folder, tmp_path / "r")
    before = snapshot(run)
    assert train(make_config(seeds=[0, 3, 1])).seeds == (0, 3, 1)
    assert all((run / path).read_bytes() == content for path, content in before.items() if "journal" in path)
    before = (run / "summary-test.json").read_bytes()
    assert evaluate(run, split="val").seeds == (0, 1, 3)
    assert (run / "summary-test.json").read_bytes() == before
    assert json.loads((run / "summary-val.json").read_text())["split"] == "val"


@pytest.mark.slow
def test_seeds_are_lengthened_by_a_resume_with_more_epochs(
    seeds: Result, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = shutil.copytree(seeds.folder, tmp_path / "r")
    with caplog.at_level("INFO"):
        result = recipes.restart(run, ["train.epochs=2", "train.trackers=[]"], progress=False)
    assert [one.meta.seed for one in result.evaluations] == [0, 3]
    for folder in (run, run / "seed-0", run / "seed-3"):
        assert load_config(folder / "config.yaml").train.epochs == 2
    [*_, started] = json.loads((run / "seed-3" / "environment.json").read_text())
    assert started["after_epoch"] == 1 and started["data_notes"][-1].startswith("lengthened from 1 to 2 epochs")
    assert any("its milestones stay" in record.message for record in caplog.records)


def test_seeds_are_not_lengthened_if_one_of_them_stopped_early(seeds: Result, tmp_path: Path) -> None:
    run = shutil.copytree(seeds.folder, tmp_path / "r")
    index = run / "seed-3" / "checkpoints" / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"finished": "early stop"}))
    before = snapshot(run)
    with pytest.raises(RunError, match=r"seed-3(.|\n)*train\.epochs"):
        recipes.restart(run, ["train.epochs=2"], progress=False)
    assert snapshot(run) == before


@pytest.mark.slow
def test_a_run_starts_from_the_weights_of_another_with_new_heads_for_other_classes(
    trained: Result, make_config: Make, weights: Callable, tmp_path: Path
) -> None:
    source = shutil.copytree(trained.folder, tmp_path / "source")
    settings = {"data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 4, "width": 16}},
                "init": str(source), "epochs": 1, "freeze": ["cmsa"]}
    with pytest.raises(CheckpointError, match="other classes"):
        train(make_config("tuned", **settings))
    assert not (tmp_path / "tuned").exists()
    folder = train(make_config("tuned", **settings, init_strict=False)).folder
    before, after = weights(source), weights(folder)
    assert {name.partition(".")[0] for name in before if torch.equal(before[name], after.get(name))} == {"cmsa"}
    assert all(torch.equal(value, after[name]) for name, value in before.items() if name.startswith("cmsa."))
    [started] = json.loads((folder / "environment.json").read_text())
    assert "trained anew: " in started["data_notes"][-1] and "head." in started["data_notes"][-1]
    shutil.rmtree(source)  # a run that has begun does not need it
    recipes.restart(folder, ["train.epochs=2"], progress=False)
    assert RunFolder(folder).index.last == "epoch-0002"


def test_selecting_on_test_warns_and_marks_every_row(make_config: Make, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"train\.select=test"):
        rows = train(make_config(select="test")).table().splitlines()[3:]
    assert rows and all("selected on test" in row for row in rows)
    values = json.loads((tmp_path / "r" / "evaluation-test" / "metrics.json").read_text())
    assert values["marks"] == ["selected on test"]


@pytest.mark.parametrize(("fields", "message"), [
    ({"test": None}, r"evaluate\.split=test: .*train, val"), ({"label_text": None}, r"model\.text\.bank=frozen")])
def test_data_that_a_setting_lacks_are_named_before_training(
    make_config: Make, change_data: Callable[..., None], tmp_path: Path, fields: dict, message: str
) -> None:
    change_data(**fields)
    with pytest.raises(ConfigError, match=message):
        train(make_config())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("options", "message"), [
    ({"tau": 0.5, "tau_from": "val"}, "give one of them"),
    ({"tau": 1.0}, "tau="), ({"tau": float("nan")}, "tau="),
    ({"overrides": ["model.dim=32"]}, r"model\.dim=32"),
])
def test_an_evaluation_with_wrong_options_is_refused_before_anything_is_read(
    tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.evaluate_run(tmp_path / "absent", **options)


@pytest.mark.slow
def test_scores_of_every_segment_have_no_tau_to_tune(make_config: Make, tmp_path: Path) -> None:
    train(make_config(model={"head": {"segment_scores": True}}, objective={"losses": ["segment", "category"]}))
    with pytest.raises(ConfigError, match=r"tau_from=val"):
        evaluate(tmp_path / "r", tau_from="val")


@pytest.mark.slow
@pytest.mark.parametrize(("text", "time", "fits"), [
    ("per_class", "relative", True), ("per_class", "learned", False), ("segments", "none", False)])
def test_a_model_without_a_length_of_its_own_is_scored_on_any(
    make_config: Make, tmp_path: Path, text: str, time: str, fits: bool
) -> None:
    result = train(make_config(model={"text": {"slots": text}, "time_encoding": time}))
    assert result.videos.text_nodes == (6 if text == "per_class" else 10)
    if fits:
        longer = evaluate(tmp_path / "r", "data.synthetic.segments=12")
        assert longer.evaluations[0].predictions.relevance.shape == (6, 12)
    else:
        with pytest.raises(CheckpointError, match="segments: 10 in the checkpoint, 12 in the data"):
            evaluate(tmp_path / "r", "data.synthetic.segments=12")


def test_a_damaged_checkpoint_is_named_and_nothing_is_written(run: Path, make_config: Make) -> None:
    path = RunFolder(run).last / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    before = snapshot(run)
    for use in (lambda: train(make_config()), lambda: evaluate(run)):
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            use()
    assert snapshot(run) == before


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_continues_only_with_the_data_it_began_with(
    run: Path, make_config: Make, change_data: Callable[..., None], finished: bool
) -> None:
    if not finished:
        index = run / "checkpoints" / "index.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | {"finished": None}))
    before = snapshot(run)
    change_data(provenance={"features": "others"})
    with pytest.raises(CheckpointError, match=r"provenance: .*others"):
        train(make_config())
    assert snapshot(run) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["avsgn_weak", "avsgn_weak_plus", "avsgn_printed_weak", "avsgn_full"])
def test_other_segment_labels_change_no_weight_of_a_weak_config(
    name: str, tmp_path: Path, weights: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(CONFIGS / f"{name}.yaml", (
        f"run_dir={tmp_path}", "data.kind=synthetic", "data.synthetic.videos=40", "data.synthetic.classes=3",
        "data.synthetic.width=16", "model.width=8", "model.dim=8", "train.epochs=1", "train.batch_size=16",
        "train.augment.boundary=0.9", "train.augment.recombine=0.9", "train.augment.time_flip=0.5", "train.device=cpu",
        "train.select=last", "evaluate.split=val", "evaluate.bootstrap=0"))
    load, found = parts.load_dataset, {}
    for how in ("true", "permuted", "random"):
        def with_labels(*given: Any, how: str = how) -> Dataset:
            dataset, draw = load(*given), torch.Generator().manual_seed(1)
            labels = dataset.train.relevance
            labels = {"true": labels, "permuted": labels[torch.randperm(len(labels), generator=draw)],
                      "random": torch.randint(2, labels.shape, generator=draw).to(labels)}[how]
            return dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, relevance=labels))

        monkeypatch.setattr(parts, "load_dataset", with_labels)
        found[how] = weights(train(config.model_copy(update={"name": how})).folder)
    weak = config.objective.supervision == "weak"
    assert same(found["permuted"], found["true"]) is same(found["random"], found["true"]) is weak
