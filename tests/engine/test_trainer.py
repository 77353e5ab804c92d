from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from avsgn_pyg.common.errors import CheckpointError, TrainingError
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.journal import read_journal
from avsgn_pyg.engine.run_folder import RunFolder, find_checkpoint, write_config
from avsgn_pyg.engine.trainer import Trainer

Make = Callable[..., Trainer]
Weights = dict[str, torch.Tensor]

#: Everything that has a state of its own is on.
EVERYTHING = {"epochs": 5, "ema": 0.8, "augment": {"recombine": 0.5, "boundary": 0.5, "time_flip": 0.5, "noise": 0.1},
              "schedule": "cosine", "warmup_epochs": 1.0, "accumulate": 2, "weight_decay": 0.01, "batch_size": 5,
              "checkpoint_every": 2}


class Killed(Exception):
    """A kill of the process."""


def last(folder: Path) -> Weights:
    run = RunFolder(folder)
    assert run.index is not None and run.index.finished
    return load_checkpoint(run.last).weights


def selected(folder: Path) -> Weights:
    return load_checkpoint(find_checkpoint(folder)).weights


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def journal(folder: Path) -> list[dict[str, Any]]:
    """The journal without times."""
    return [{key: value for key, value in line.items() if "seconds" not in key}
            for line in read_journal(folder / "journal.jsonl")]


def stop(trainer: Trainer, step: int) -> None:
    """Train until the `step`-th step, counted from 1, which is not taken."""
    taken, take = [0], trainer._step

    def die(*arguments: Any) -> None:
        taken[0] += 1
        if taken[0] == step:
            raise Killed
        take(*arguments)

    trainer._step = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        trainer.fit()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(make_trainer: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of everything that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "r"
    make_trainer(folder, **EVERYTHING).fit()
    return folder


@pytest.fixture
def started(make_trainer: Make, tmp_path: Path) -> Path:
    """A run that was stopped in its third epoch."""
    stop(make_trainer(tmp_path / "r"), 8)
    return tmp_path / "r"


def test_training_finds_what_is_in_the_features(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(tmp_path, epochs=15, learning_rate=0.05, dropout=0.0).fit()
    lines = journal(tmp_path)
    assert len(lines) == 15 and lines[-1]["loss"]["total"] < 0.5 * lines[0]["loss"]["total"]
    assert max(line["val"]["class_accuracy"] for line in lines) > 80


def test_the_journal_has_every_loss_and_their_weighted_sum_and_the_log_a_line_an_epoch(
    make_trainer: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        make_trainer(tmp_path, epochs=1).fit()
    [line] = journal(tmp_path)
    losses = line["loss"]
    assert list(losses) == ["category", "relevance", "total"]
    assert losses["total"] == pytest.approx(losses["category"] + 0.5 * losses["relevance"], rel=1e-5)
    assert (line["step"], line["learning_rate"]) == (3, 0.02) and line["gradient_norm"] > 0
    [logged] = [record.message for record in caplog.records if record.message.startswith("epoch 1/1")]
    assert "category " in logged and logged.count("(synthetic)") == 1


@pytest.mark.parametrize("step", [1, 13, 23])
def test_a_killed_run_ends_as_one_that_was_not(make_trainer: Make, whole: Path, tmp_path: Path, step: int) -> None:
    stop(make_trainer(tmp_path, **EVERYTHING), step)
    torch.rand(17)
    make_trainer(tmp_path, **EVERYTHING).fit()
    assert RunFolder(tmp_path).index == RunFolder(whole).index
    assert same(last(tmp_path), last(whole)) and same(selected(tmp_path), selected(whole))
    assert journal(tmp_path) == journal(whole)


def test_a_run_killed_while_saving_continues_from_the_checkpoint_before(
    make_trainer: Make, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, calls = RunFolder.commit, [0]

    def die(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise Killed
        commit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "commit", die)
        with pytest.raises(Killed):
            make_trainer(tmp_path, **EVERYTHING).fit()
    make_trainer(tmp_path, **EVERYTHING).fit()
    assert same(last(tmp_path), last(whole))


def test_accumulated_halves_are_the_whole_batch(make_trainer: Make, tmp_path: Path) -> None:
    norms = []
    for name, recipe in {"whole": {"batch_size": 8}, "halves": {"batch_size": 4, "accumulate": 2}}.items():
        trainer = make_trainer(tmp_path / name, select="last", dropout=0.0, **recipe)
        # Statistics of the batch norm do depend on the batch, so it computes as in evaluation.
        trainer.parts.model.norm.train = lambda mode=True: None
        trainer.parts.model.norm.training = False
        assert trainer.fit().step == 12
        norms.append([line["gradient_norm"] for line in journal(tmp_path / name)])
    whole, halves = last(tmp_path / "whole"), last(tmp_path / "halves")
    for name, value in whole.items():
        torch.testing.assert_close(halves[name], value, rtol=1e-4, atol=1e-5)
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)  # Adam's steps do not depend on the gradient's scale


def test_every_epoch_has_every_video_once_in_an_order_of_its_own(make_trainer: Make, tmp_path: Path) -> None:
    trainer, rows = make_trainer(tmp_path, epochs=3), []
    trainer.parts.model.register_forward_pre_hook(lambda _, batch: rows.extend(batch[0].row.tolist()))
    trainer.fit()
    epochs = [rows[start : start + 24] for start in (0, 24, 48)]
    assert all(sorted(epoch) == list(range(100, 124)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_clipping_bounds_the_gradient(make_trainer: Make, tmp_path: Path) -> None:
    norms, trainer = [], make_trainer(tmp_path, epochs=1, clip_norm=0.01)

    def measure(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [p.grad.flatten() for p in optimizer.param_groups[0]["params"] if p.grad is not None]
        norms.append(torch.cat(gradients).norm().item())

    trainer.parts.optimizer.register_step_pre_hook(measure)
    trainer.fit()
    assert journal(tmp_path)[0]["gradient_norm"] > 0.02 and norms == pytest.approx([0.01] * 3, rel=1e-3)


def test_bf16_trains_and_evaluates_in_float32(make_trainer: Make, tmp_path: Path) -> None:
    for precision in ("no", "bf16"):
        make_trainer(tmp_path / precision, epochs=2, precision=precision, dropout=0.0).fit()
    full, half = last(tmp_path / "no"), last(tmp_path / "bf16")
    assert all(value.dtype == full[name].dtype for name, value in half.items()) and not same(full, half)
    torch.testing.assert_close(full["mix.weight"], half["mix.weight"], atol=0.1, rtol=0.1)


def test_selection_keeps_the_best_epoch_and_does_not_change_the_training(make_trainer: Make, tmp_path: Path) -> None:
    for name, settings in {"val": {}, "last": {"select": "last"}, "none": {"select": "last", "every": 0}}.items():
        make_trainer(tmp_path / name, epochs=6, checkpoint_every=4, **settings).fit()
    scores = [line["val"]["class_accuracy"] for line in journal(tmp_path / "val")]
    meta = load_checkpoint(find_checkpoint(tmp_path / "val")).meta
    assert (meta.epoch, meta.selection_score) == (1 + scores.index(max(scores)), max(scores))
    unselected = load_checkpoint(find_checkpoint(tmp_path / "last")).meta
    assert (meta.selected_on, unselected.selected_on) == ("val", "last")
    assert (unselected.epoch, unselected.selection_score) == (6, None)
    assert journal(tmp_path / "last") == journal(tmp_path / "val") and "val" not in journal(tmp_path / "none")[0]
    assert all(same(last(tmp_path / name), last(tmp_path / "last")) for name in ("val", "none"))


def test_only_epochs_that_are_scored_can_be_selected_or_stop_the_training(make_trainer: Make, tmp_path: Path) -> None:
    progress = make_trainer(tmp_path, epochs=200, every=4, early_stop=1, learning_rate=0.05).fit()
    scored = {line["epoch"]: line["val"]["class_accuracy"] for line in journal(tmp_path) if "val" in line}
    assert list(scored) == list(range(4, progress.epoch + 1, 4)) and progress.epoch == progress.best_epoch + 4
    assert RunFolder(tmp_path).index.finished == "early stop"
    assert scored[progress.best_epoch] == max(scored.values()) == load_checkpoint(
        find_checkpoint(tmp_path)).meta.selection_score
    make_trainer(tmp_path / "short", epochs=2, every=4).fit()
    assert [line["epoch"] for line in journal(tmp_path / "short") if "val" in line] == [2]


def test_a_scheduled_objective_receives_the_share_of_finished_epochs(
    make_trainer: Make, tiny_objective: type, tmp_path: Path
) -> None:
    objective, shares = tiny_objective(), []
    objective.begin = shares.append
    stop(make_trainer(tmp_path, checkpoint_every=2, objective=objective), 8)
    make_trainer(tmp_path, checkpoint_every=2, objective=objective).fit()
    assert shares == [0.0, 0.25, 0.5, 0.5, 0.75]


@pytest.mark.parametrize(("schedule", "equal"), [("step", True), ("cosine", False)])
def test_a_lengthened_run_ends_as_one_of_that_length_if_its_schedule_allows(
    make_trainer: Make, tmp_path: Path, schedule: str, equal: bool
) -> None:
    recipe = EVERYTHING | {"schedule": schedule, "milestones": [1, 4]}
    make_trainer(tmp_path / "a", **recipe | {"epochs": 3}).fit()
    assert RunFolder(tmp_path / "a").index.finished == "epochs"
    stop(make_trainer(tmp_path / "a", lengthen=True, **recipe), 1)  # and a kill does not change that
    make_trainer(tmp_path / "a", **recipe).fit()
    make_trainer(tmp_path / "b", **recipe).fit()
    lengthened, whole = (journal(tmp_path / name) for name in "ab")
    assert [line["epoch"] for line in lengthened] == [1, 2, 3, 4, 5]
    assert same(last(tmp_path / "a"), last(tmp_path / "b")) == (lengthened == whole) == equal


def test_a_run_without_its_training_state_cannot_be_lengthened(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(tmp_path, epochs=1).fit()
    shutil.rmtree(RunFolder(tmp_path).last / "resume")
    before = snapshot(tmp_path)
    with pytest.raises(CheckpointError, match=r"resume: no such folder.*train\.init"):
        make_trainer(tmp_path, epochs=2, lengthen=True).fit()
    assert snapshot(tmp_path) == before


def test_a_frozen_part_keeps_its_weights_and_statistics(make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, freeze=["mix", "norm"], ema=0.5)
    before = {name: value.clone() for name, value in trainer.parts.model.state_dict().items()}
    trainer.fit()
    kept = {name for name, value in last(tmp_path).items() if torch.equal(value, before[name])}
    assert kept == {name for name in before if name.startswith(("mix.", "norm.", "unread."))}
    assert not trainer.parts.model.norm.training and trainer.parts.model.dropout.training


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    make_trainer: Make, tiny_objective: type, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="epoch 3, step 2: category=inf"):
        make_trainer(tmp_path, objective=tiny_objective(poison=8)).fit()
    assert RunFolder(tmp_path).index.last == "epoch-0002"


@pytest.mark.parametrize(("clip", "message"), [(0.5, "epoch 2, step 3: nan"), (None, "after epoch 2")])
def test_a_gradient_that_is_not_finite_in_the_last_step_leaves_no_checkpoint_of_it(
    make_trainer: Make, tmp_path: Path, clip: float | None, message: str
) -> None:
    trainer, calls = make_trainer(tmp_path, clip_norm=clip), [0]

    def poison(gradient: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return gradient * float("nan") if calls[0] == 6 else gradient

    trainer.parts.model.mix.weight.register_hook(poison)
    with pytest.raises(TrainingError, match=message):
        trainer.fit()
    assert RunFolder(tmp_path).index.last == "epoch-0001"
    assert all(value.isfinite().all() for value in selected(tmp_path).values())


@pytest.mark.parametrize("name", ["raw.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"])
def test_a_damaged_training_state_is_named_before_anything_is_written(
    make_trainer: Make, started: Path, name: str
) -> None:
    damaged = RunFolder(started).last / "resume" / name
    damaged.write_bytes(damaged.read_bytes()[:20])
    before = snapshot(started)
    with pytest.raises(CheckpointError, match=name):
        make_trainer(started).fit()
    assert snapshot(started) == before


def test_a_checkpoint_of_another_config_is_refused(make_trainer: Make, started: Path) -> None:
    other = make_trainer(started.with_name("other"), learning_rate=0.5).config
    write_config(other, started)
    with pytest.raises(CheckpointError, match=r"train\.learning_rate: 0\.02 in the run, 0\.5"):
        make_trainer(started, learning_rate=0.5).fit()


@pytest.mark.parametrize("found", [{"1/cpu": True}, {"0/elsewhere": False}])
def test_another_number_of_processes_or_kind_of_device_cannot_continue(
    make_trainer: Make, started: Path, found: dict[str, bool]
) -> None:
    path = RunFolder(started).last / "resume" / "random.safetensors"
    [(name, added)] = found.items()
    save_file({**(load_file(path) if added else {}), name: torch.get_rng_state()}, path)
    with pytest.raises(CheckpointError, match="2 processes" if added else "kind of device"):
        make_trainer(started).fit()


def test_losses_are_read_far_less_often_than_steps_are_taken(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = [0], torch.Tensor.item

    def count(tensor: torch.Tensor) -> object:
        reads[0] += 1
        return read(tensor)

    trainer = make_trainer(tmp_path, epochs=1, batch_size=1, select="last", count=60)
    monkeypatch.setattr(torch.Tensor, "item", count)
    assert trainer.fit().step == 60 and reads[0] < 30
