from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg import recipes
from avsgn_pyg.config import Config, ConfigError
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.checkpoint import CheckpointError, load_checkpoint
from avsgn_pyg.engine.journal import read_journal
from avsgn_pyg.engine.run_folder import RunError, RunFolder, find_checkpoint
from avsgn_pyg.recipes import parts

Make = Callable[..., Config]


@pytest.fixture
def make_config(tmp_path: Path) -> Make:
    """A run of seconds; keyword arguments replace ``train`` settings."""

    def make(
        *,
        name: str = "r",
        select: str = "val",
        evaluate: dict[str, Any] | None = None,
        dim: int = 16,
        **train: Any,
    ) -> Config:
        return Config.model_validate(
            {
                "name": name,
                "run_dir": tmp_path,
                "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
                "model": {"dim": dim},
                "train": {"epochs": 2, "batch_size": 8, "device": "cpu", "select": select, **train},
                "evaluate": {"bootstrap": 50, **(evaluate or {})},
            }
        )

    return make


def train(config: Config, **named: Any) -> recipes.Result:
    return recipes.train(config, progress=False, **named)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reopen(folder: Path) -> RunFolder:
    """Make a finished run look as if it had been stopped after its last checkpoint."""
    run = RunFolder(folder)
    index = json.loads((run.checkpoints / "index.json").read_text()) | {"finished": None}
    (run.checkpoints / "index.json").write_text(json.dumps(index))
    return run


@pytest.fixture
def without_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    load = parts.load_dataset

    def partial(*arguments: Any) -> Dataset:
        return dataclasses.replace(load(*arguments), test=None)

    monkeypatch.setattr(parts, "load_dataset", partial)


def test_a_run_leaves_what_docs_runs_promises(make_config: Make, tmp_path: Path) -> None:
    result = train(make_config())
    files = {str(path.relative_to(tmp_path / "r")) for path in (tmp_path / "r").rglob("*") if path.is_file()}
    assert files >= {
        "config.yaml",
        "environment.json",
        "journal.jsonl",
        "checkpoints/index.json",
        "evaluation-test/metrics.json",
        "evaluation-test/predictions.csv",
        "evaluation-test/confusion.png",
        "evaluation-test/confusion.svg",
    }
    assert any(name.startswith("tensorboard/events") for name in files)
    assert not any(name.endswith((".pt", ".pth", ".bin", ".pkl", ".partial")) for name in files)
    assert not result.summarised
    assert "(synthetic) | test: 6 videos" in result.table()


def test_every_loss_of_the_objective_is_in_the_journal(make_config: Make, tmp_path: Path) -> None:
    train(make_config())
    losses = read_journal(tmp_path / "r" / "journal.jsonl")[0]["loss"]
    assert set(losses) == {"relevance", "category", "gate", "consistency", "total"}


def test_a_finished_run_is_evaluated_and_not_trained_again(make_config: Make, tmp_path: Path) -> None:
    first = train(make_config())
    journal = (tmp_path / "r" / "journal.jsonl").read_bytes()
    second = train(make_config())
    assert (tmp_path / "r" / "journal.jsonl").read_bytes() == journal
    assert second.as_dict() == first.as_dict()


def test_a_saved_config_and_its_seed_reproduce_the_weights(make_config: Make, tmp_path: Path) -> None:
    train(make_config())
    weights = load_checkpoint(find_checkpoint(tmp_path / "r")).weights
    from avsgn_pyg.config import load_config

    train(load_config(tmp_path / "r" / "config.yaml", ["name=again"]))
    again = load_checkpoint(find_checkpoint(tmp_path / "again")).weights
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_another_config_under_the_same_name_is_refused_and_nothing_is_written(
    make_config: Make, tmp_path: Path
) -> None:
    train(make_config())
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match=r"model\.dim: 16 in the run, 32 asked for"):
        train(make_config(dim=32))
    assert snapshot(tmp_path) == before


def test_overwriting_replaces_the_run(make_config: Make, tmp_path: Path) -> None:
    train(make_config())
    train(make_config(dim=32, epochs=1), overwrite=True)
    assert load_checkpoint(find_checkpoint(tmp_path / "r")).config.model.dim == 32
    assert len(read_journal(tmp_path / "r" / "journal.jsonl")) == 1


def test_overwriting_with_a_config_that_cannot_run_keeps_the_old_run(
    make_config: Make, tmp_path: Path
) -> None:
    train(make_config())
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError, match="early_stop"):
        train(make_config(select="last", early_stop=2), overwrite=True)
    assert snapshot(tmp_path) == before


def test_restart_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no config\.yaml there"):
        recipes.restart(tmp_path / "absent")


def test_restart_refuses_overrides_that_change_the_training(make_config: Make, tmp_path: Path) -> None:
    train(make_config())
    with pytest.raises(RunError, match=r"train\.epochs: 2 in the run, 9 asked for"):
        recipes.restart(tmp_path / "r", ["train.epochs=9"], progress=False)


def test_seeds_give_a_folder_each_and_a_summary(make_config: Make, tmp_path: Path) -> None:
    result = train(make_config(seeds=[0, 3]))
    scores = [evaluation.report.segment_accuracy for evaluation in result.evaluations]
    summary = json.loads((tmp_path / "r" / "summary-test.json").read_text())
    assert summary["seeds"] == [0, 3]
    assert summary["scores"]["segment_accuracy"]["mean"] == pytest.approx(statistics.mean(scores))
    assert summary["scores"]["segment_accuracy"]["std"] == pytest.approx(statistics.stdev(scores))
    lo, hi = summary["interval"]
    assert lo <= statistics.mean(scores) <= hi
    assert "2 seeds" in result.table()
    assert (summary["dataset"], summary["synthetic"], summary["split"]) == ("synthetic AVE", True, "test")
    assert (summary["tau"], summary["tau_from"], summary["selected_on"]) == ([0.6, 0.6], None, "val")
    one, other = (load_checkpoint(find_checkpoint(tmp_path / "r" / f"seed-{s}")) for s in (0, 3))
    assert (one.config.train.seed, other.config.train.seed) == (0, 3)
    assert any(not torch.equal(one.weights[name], value) for name, value in other.weights.items())


def test_a_seed_of_several_trains_as_it_would_alone(make_config: Make, tmp_path: Path) -> None:
    train(make_config(seeds=[0, 3]))
    train(make_config(name="alone", seed=3))
    many = load_checkpoint(find_checkpoint(tmp_path / "r" / "seed-3")).weights
    alone = load_checkpoint(find_checkpoint(tmp_path / "alone")).weights
    assert all(torch.equal(many[name], value) for name, value in alone.items())


def test_more_seeds_join_and_the_finished_ones_are_kept(make_config: Make, tmp_path: Path) -> None:
    train(make_config(seeds=[0]))
    journal = tmp_path / "r" / "seed-0" / "journal.jsonl"
    before = journal.stat().st_mtime_ns
    result = train(make_config(seeds=[0, 1]))
    assert journal.stat().st_mtime_ns == before
    assert result.summarised
    assert result.seeds == (0, 1)
    assert len(recipes.evaluate_run(tmp_path / "r", device="cpu", progress=False).evaluations) == 2


def test_seeds_do_not_join_a_run_of_one(make_config: Make) -> None:
    train(make_config())
    with pytest.raises(RunError, match=r"train\.seeds: None in the run, \[0, 1\] asked for"):
        train(make_config(seeds=[0, 1]))


def test_selecting_on_test_warns_and_marks_every_row(make_config: Make, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"train\.select=test"):
        result = train(make_config(select="test"))
    rows = result.table().splitlines()[3:]
    assert rows
    assert all("selected on test" in row for row in rows)
    assert json.loads((tmp_path / "r" / "evaluation-test" / "metrics.json").read_text())["marks"] == [
        "selected on test"
    ]


@pytest.mark.usefixtures("without_test_split")
def test_a_split_that_is_not_there_is_named_before_training(make_config: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.split=test: .* no split 'test'; it has train, val"):
        train(make_config())
    assert not list(tmp_path.iterdir())
    assert train(make_config(evaluate={"split": "val"})).marks == ("selected on val",)


def test_a_frozen_label_bank_needs_labels(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    load = parts.load_dataset
    monkeypatch.setattr(parts, "load_dataset", lambda *a: dataclasses.replace(load(*a), label_text=None))
    with pytest.raises(ConfigError, match=r"model\.text\.bank=frozen needs label embeddings"):
        train(make_config())


def test_evaluating_a_run_repeats_its_own_evaluation(make_config: Make, tmp_path: Path) -> None:
    trained = train(make_config())
    again = recipes.evaluate_run(tmp_path / "r", device="cpu", progress=False)
    assert again.as_dict() == trained.as_dict()


def test_tau_from_val_is_the_best_tau_of_val(make_config: Make, tmp_path: Path) -> None:
    train(make_config())

    def accuracy(**named: Any) -> float:
        found = recipes.evaluate_run(tmp_path / "r", split="val", device="cpu", progress=False, **named)
        return found.evaluations[0].report.segment_accuracy

    best = accuracy(tau_from="val")
    assert all(best >= accuracy(tau=tau) for tau in (0.3, 0.6, 0.8))
    values = json.loads((tmp_path / "r" / "evaluation-val" / "metrics.json").read_text())
    assert values["tau"] == 0.8
    tuned = recipes.evaluate_run(tmp_path / "r", tau_from="val", device="cpu", progress=False)
    assert (tuned.split, tuned.tau_from, tuned.marks) == ("test", "val", ())


def test_tau_and_tau_from_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        recipes.evaluate_run(tmp_path, tau=0.5, tau_from="val")


def test_an_evaluation_cannot_change_the_model(make_config: Make, tmp_path: Path) -> None:
    train(make_config())
    with pytest.raises(
        ConfigError, match=r"model\.dim=32: an evaluation can change data\.\* and evaluate\.\*"
    ):
        recipes.evaluate_run(tmp_path / "r", overrides=["model.dim=32"])


def test_data_of_other_classes_do_not_fit_the_checkpoint(make_config: Make, tmp_path: Path) -> None:
    train(make_config())
    with pytest.raises(CheckpointError, match="does not fit synthetic AVE: categories"):
        recipes.evaluate_run(
            tmp_path / "r", overrides=["data.synthetic.classes=4"], device="cpu", progress=False
        )


def test_a_truncated_checkpoint_is_named_before_training_goes_on(make_config: Make, tmp_path: Path) -> None:
    config = make_config(epochs=1)
    train(config)
    path = reopen(tmp_path / "r").last / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    before = snapshot(tmp_path)
    with pytest.raises(CheckpointError):
        train(config)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read, it is cut short"):
        recipes.evaluate_run(tmp_path / "r", device="cpu", progress=False)
    assert snapshot(tmp_path) == before


def test_a_run_goes_on_only_with_the_data_it_began_with(
    make_config: Make, tmp_path: Path, monkeypatch: Any
) -> None:
    config = make_config(epochs=1)
    train(config)
    reopen(tmp_path / "r")
    load = parts.load_dataset
    changed = lambda *a: dataclasses.replace(load(*a), provenance={"features": "others"})  # noqa: E731
    monkeypatch.setattr(parts, "load_dataset", changed)
    before = snapshot(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"provenance: .* in the checkpoint, {'features': 'others'} in the data"
    ):
        train(config)
    assert snapshot(tmp_path) == before


def test_weak_supervision_trains_through_the_same_door(make_config: Make, tmp_path: Path) -> None:
    weak = make_config().model_copy(update={"objective": Config(objective={"supervision": "weak"}).objective})
    train(weak)
    assert set(read_journal(tmp_path / "r" / "journal.jsonl")[0]["loss"]) == {"mil", "gate", "total"}


@pytest.mark.parametrize("hidden", ["scrambled", "nan"])
def test_weak_training_never_reads_a_segment_label(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    def weights(name: str, supervision: str) -> dict[str, torch.Tensor]:
        augment = {"recombine": 0.7, "boundary": 0.7, "time_flip": 0.5}
        config = make_config(name=name, select="last", epochs=1, augment=augment)
        config = config.model_copy(update={"objective": Config(objective={"supervision": supervision}).objective})
        train(config)
        return load_checkpoint(find_checkpoint(tmp_path / name)).weights

    load = parts.load_dataset
    truth = {supervision: weights(supervision, supervision) for supervision in ("weak", "full")}

    def without_labels(*arguments: Any) -> Dataset:
        dataset = load(*arguments)
        relevance = dataset.train.relevance
        changed = 1 - relevance if hidden == "scrambled" else torch.full_like(relevance, torch.nan)
        return dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, relevance=changed))

    monkeypatch.setattr(parts, "load_dataset", without_labels)
    blind = weights("weak-blind", "weak")
    assert all(torch.equal(blind[name], value) for name, value in truth["weak"].items())
    if hidden == "scrambled":
        seeing = weights("full-blind", "full")
        assert any(not torch.equal(seeing[name], value) for name, value in truth["full"].items())


def test_another_split_keeps_the_summary_of_the_first(make_config: Make, tmp_path: Path) -> None:
    train(make_config(seeds=[0, 1], epochs=1))
    before = (tmp_path / "r" / "summary-test.json").read_bytes()
    recipes.evaluate_run(tmp_path / "r", split="val", device="cpu", progress=False)
    assert (tmp_path / "r" / "summary-test.json").read_bytes() == before
    assert json.loads((tmp_path / "r" / "summary-val.json").read_text())["split"] == "val"


@pytest.mark.parametrize("tau", [2.0, 1.0, -0.1, float("nan")])
def test_a_tau_out_of_range_is_refused_before_anything_is_read(tmp_path: Path, tau: float) -> None:
    with pytest.raises(ConfigError, match=r"tau=.* give one in \[0, 1\)"):
        recipes.evaluate_run(tmp_path / "absent", tau=tau)


def test_a_run_dir_that_is_a_file_is_named(make_config: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    config = make_config().model_copy(update={"run_dir": tmp_path / "file"})
    for overwrite in (False, True):
        with pytest.raises(RunError, match="file: is a file"):
            train(config, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("text", "time", "fits"),
    [
        ("per_class", "none", True),
        ("per_class", "relative", True),
        ("per_class", "learned", False),
        ("segments", "none", False),
    ],
)
def test_a_model_without_a_length_of_its_own_is_scored_on_any(
    make_config: Make, tmp_path: Path, text: str, time: str, fits: bool
) -> None:
    config = make_config(epochs=1)
    slots = config.model.text.model_copy(update={"slots": text})
    model = config.model.model_copy(update={"text": slots, "time_encoding": time})
    train(config.model_copy(update={"model": model}))

    def score() -> recipes.Result:
        return recipes.evaluate_run(
            tmp_path / "r", overrides=["data.synthetic.segments=12"], device="cpu", progress=False
        )

    if fits:
        assert score().evaluations[0].predictions.relevance.shape == (6, 12)
    else:
        with pytest.raises(CheckpointError, match="segments: 10 in the checkpoint, 12 in the data"):
            score()


def test_scores_of_every_segment_have_no_tau_to_look_for(make_config: Make, tmp_path: Path) -> None:
    config = make_config(epochs=1).model_dump()
    config["model"]["head"]["segment_scores"] = True
    config["objective"]["losses"] = ["segment", "category"]
    train(Config.model_validate(config))
    with pytest.raises(ConfigError, match=r"tau_from=val: .* decoded without tau"):
        recipes.evaluate_run(tmp_path / "r", tau_from="val", device="cpu", progress=False)


def test_a_run_goes_on_with_other_settings_of_what_comes_after_training(
    make_config: Make, tmp_path: Path
) -> None:
    train(make_config(epochs=1))
    journal = (tmp_path / "r" / "journal.jsonl").read_bytes()
    overrides = ["evaluate.split=val", "evaluate.bootstrap=0", f"data.root={tmp_path}"]
    found = recipes.restart(tmp_path / "r", overrides, progress=False)
    assert found.split == "val"
    assert found.evaluations[0].report.segment_accuracy_interval is None
    assert (tmp_path / "r" / "journal.jsonl").read_bytes() == journal


def test_a_finished_run_is_not_scored_on_data_it_was_not_made_with(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(make_config(epochs=1))
    load = parts.load_dataset
    changed = lambda *a: dataclasses.replace(load(*a), provenance={"features": "others"})  # noqa: E731
    monkeypatch.setattr(parts, "load_dataset", changed)
    with pytest.raises(CheckpointError, match="provenance"):
        recipes.restart(tmp_path / "r", progress=False)


def test_one_text_row_a_label_needs_no_other_code(make_config: Make) -> None:
    config = make_config(epochs=1)
    model = config.model.model_copy(
        update={"text": config.model.text.model_copy(update={"slots": "per_class"})}
    )
    assert train(config.model_copy(update={"model": model})).videos.text_nodes == 6
