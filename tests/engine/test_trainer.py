from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg.engine.checkpoint import CheckpointError, load_checkpoint
from avsgn_pyg.engine.journal import Journal, read_journal
from avsgn_pyg.engine.losses import TrainingError
from avsgn_pyg.engine.run_folder import RunFolder, find_checkpoint
from avsgn_pyg.engine.trainer import Trainer

Make = Callable[..., Any]

#: Everything that has a state of its own is on.
EVERYTHING = {
    "epochs": 6,
    "ema": 0.8,
    "augment": {"time_flip": 0.5, "noise": 0.1},
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "accumulate": 2,
    "weight_decay": 0.01,
    "batch_size": 5,
}


class Killed(Exception):
    """Stands for the power going out."""


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    run = RunFolder(folder)
    assert run.index is not None
    assert run.index.finished
    return load_checkpoint(run.checkpoints / run.index.last).weights


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def kill_at(trainer: Trainer, step: int) -> None:
    """Let the trainer die in front of its `step`-th step (from 1)."""
    taken, go = [0], trainer._step

    def die(*arguments: Any) -> None:
        taken[0] += 1
        if taken[0] == step:
            raise Killed
        go(*arguments)

    trainer._step = die  # type: ignore[method-assign]


def test_training_finds_what_is_in_the_features(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    make_trainer(make_config(epochs=25), tmp_path / "r", dropout=0.0).fit()
    lines = read_journal(tmp_path / "r" / "journal.jsonl")
    assert len(lines) == 25
    assert lines[-1]["loss"]["total"] < 0.5 * lines[0]["loss"]["total"]
    assert max(line["val"]["segment_accuracy"] for line in lines) > 80


def test_the_journal_names_every_loss_and_their_weighted_sum(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    make_trainer(make_config(epochs=1), tmp_path / "r").fit()
    (line,) = read_journal(tmp_path / "r" / "journal.jsonl")
    losses = line["loss"]
    assert list(losses) == ["category", "relevance", "total"]
    assert losses["total"] == pytest.approx(losses["category"] + 0.5 * losses["relevance"], rel=1e-5)
    assert line["step"] == 3
    assert line["learning_rate"] == 0.02
    assert line["gradient_norm"] > 0


def test_the_same_config_and_seed_give_the_same_weights(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        make_trainer(make_config(**EVERYTHING), tmp_path / name).fit()
    make_trainer(make_config(**EVERYTHING, seed=1), tmp_path / "c").fit()
    assert_same(final_weights(tmp_path / "a"), final_weights(tmp_path / "b"))
    with pytest.raises(AssertionError):
        assert_same(final_weights(tmp_path / "a"), final_weights(tmp_path / "c"))


@pytest.mark.parametrize("step", [1, 8, 13, 29])
@pytest.mark.parametrize("every", [1, 2])
def test_a_run_killed_in_an_epoch_ends_with_the_weights_of_one_that_was_not(
    make_config: Make, make_trainer: Make, tmp_path: Path, step: int, every: int
) -> None:
    config = make_config(**EVERYTHING, checkpoint_every=every)
    make_trainer(config, tmp_path / "whole").fit()
    trainer = make_trainer(config, tmp_path / "killed")
    kill_at(trainer, step)
    with pytest.raises(Killed):
        trainer.fit()
    torch.rand(17)
    make_trainer(config, tmp_path / "killed").fit()
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    assert killed.index == whole.index
    assert_same(final_weights(tmp_path / "killed"), final_weights(tmp_path / "whole"))
    assert_same(
        load_checkpoint(find_checkpoint(killed.path)).weights,
        load_checkpoint(find_checkpoint(whole.path)).weights,
    )
    timeless = [
        [{k: v for k, v in line.items() if "seconds" not in k} for line in read_journal(run.journal)]
        for run in (whole, killed)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("dies", ["save_checkpoint", "commit"])
def test_a_run_killed_while_saving_goes_on_from_the_checkpoint_before(
    make_config: Make, make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    config = make_config(**EVERYTHING)
    make_trainer(config, tmp_path / "whole").fit()
    trainer = make_trainer(config, tmp_path / "killed")
    with monkeypatch.context() as patch:
        if dies == "commit":
            go, target = RunFolder.commit, (RunFolder, "commit")
        else:
            from avsgn_pyg.engine import trainer as module

            go, target = module.save_checkpoint, (module, "save_checkpoint")
        calls = [0]

        def die(*arguments: Any, **named: Any) -> None:
            calls[0] += 1
            if calls[0] == 3:
                raise Killed
            go(*arguments, **named)

        patch.setattr(*target, die)
        with pytest.raises(Killed):
            trainer.fit()
    make_trainer(config, tmp_path / "killed").fit()
    assert_same(final_weights(tmp_path / "killed"), final_weights(tmp_path / "whole"))


def test_accumulated_halves_are_the_whole_batch(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    # The normalisation layer's statistics do depend on the batch, so it answers as in evaluation.
    for name, recipe in {"whole": {"batch_size": 8}, "halves": {"batch_size": 4, "accumulate": 2}}.items():
        trainer = make_trainer(make_config(**recipe, select="last"), tmp_path / name, dropout=0.0)
        trainer.parts.model.norm.train = lambda mode=True: None
        trainer.parts.model.norm.training = False
        assert trainer.fit().step == 12
    whole, halves = final_weights(tmp_path / "whole"), final_weights(tmp_path / "halves")
    for name, value in whole.items():
        torch.testing.assert_close(halves[name], value, rtol=1e-4, atol=1e-5)
    # Adam does not feel the gradient's scale, so the weights alone would not show a missing division.
    norms = [
        [line["gradient_norm"] for line in read_journal(tmp_path / name / "journal.jsonl")]
        for name in ("whole", "halves")
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_every_epoch_sees_every_video_once_in_an_order_of_its_own(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    trainer = make_trainer(make_config(epochs=3), tmp_path / "r")
    rows: list[int] = []
    trainer.parts.model.register_forward_pre_hook(lambda _, batch: rows.extend(batch[0].row.tolist()))
    trainer.fit()
    epochs = [rows[start : start + 24] for start in (0, 24, 48)]
    assert all(sorted(epoch) == list(range(100, 124)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_clipping_bounds_the_gradient(make_config: Make, make_trainer: Make, tmp_path: Path) -> None:
    norms = []
    trainer = make_trainer(make_config(epochs=1, clip_norm=0.01), tmp_path / "r")
    trainer.parts.optimizer.register_step_pre_hook(
        lambda optimizer, *_: norms.append(
            torch.cat([p.grad.flatten() for p in optimizer.param_groups[0]["params"] if p.grad is not None])
            .norm()
            .item()
        )
    )
    trainer.fit()
    assert len(norms) == 3
    assert norms == pytest.approx([0.01] * 3, rel=1e-3)
    assert read_journal(tmp_path / "r" / "journal.jsonl")[0]["gradient_norm"] > 0.02


def test_without_clipping_no_gradient_norm_is_reported(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    make_trainer(make_config(epochs=1, clip_norm=None), tmp_path / "r").fit()
    assert read_journal(tmp_path / "r" / "journal.jsonl")[0]["gradient_norm"] is None


def test_bf16_trains_and_evaluates_in_float32(make_config: Make, make_trainer: Make, tmp_path: Path) -> None:
    for name, precision in {"full": "no", "half": "bf16"}.items():
        make_trainer(make_config(precision=precision), tmp_path / name, dropout=0.0).fit()
    full, half = final_weights(tmp_path / "full"), final_weights(tmp_path / "half")
    assert all(value.dtype == full[name].dtype for name, value in half.items())
    assert not torch.equal(full["mix.weight"], half["mix.weight"])
    torch.testing.assert_close(full["mix.weight"], half["mix.weight"], atol=0.1, rtol=0.1)
    lines = [
        read_journal(tmp_path / name / "journal.jsonl")[-1]["loss"]["total"] for name in ("full", "half")
    ]
    assert lines[0] == pytest.approx(lines[1], rel=0.1)


def test_the_moving_average_is_what_is_saved(make_config: Make, make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer(make_config(ema=0.9, select="last"), tmp_path / "r")
    trainer.fit()
    saved = final_weights(tmp_path / "r")
    assert_same(saved, trainer.parts.average.module.state_dict())
    assert not torch.equal(saved["mix.weight"], trainer.parts.model.mix.weight)


def test_selection_keeps_the_best_epoch_on_the_selecting_split(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    progress = make_trainer(make_config(epochs=8, checkpoint_every=3), tmp_path / "r").fit()
    scores = [line["val"]["segment_accuracy"] for line in read_journal(tmp_path / "r" / "journal.jsonl")]
    meta = load_checkpoint(find_checkpoint(tmp_path / "r")).meta
    assert (meta.epoch, meta.selection_score) == (1 + scores.index(max(scores)), max(scores))
    assert (progress.best_epoch, meta.selected_on) == (meta.epoch, "val")


def test_without_selection_the_last_epoch_stands_for_the_run(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    make_trainer(make_config(select="last"), tmp_path / "r").fit()
    meta = load_checkpoint(find_checkpoint(tmp_path / "r")).meta
    assert (meta.epoch, meta.selected_on, meta.selection_score) == (4, "last", None)
    assert "val" not in read_journal(tmp_path / "r" / "journal.jsonl")[0]


def test_selecting_does_not_change_the_training(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    for select in ("val", "last"):
        make_trainer(make_config(select=select), tmp_path / select).fit()
    assert_same(final_weights(tmp_path / "val"), final_weights(tmp_path / "last"))


def test_an_objective_that_is_scheduled_hears_how_far_training_is(
    make_config: Make, make_trainer: Make, tiny_objective: type, tmp_path: Path
) -> None:
    objective, heard = tiny_objective(), []
    objective.begin = heard.append
    config = make_config(checkpoint_every=2)
    stop_after(make_trainer(config, tmp_path / "r", objective=objective), 2)
    assert heard == [0.0, 0.25, 0.5]
    make_trainer(config, tmp_path / "r", objective=objective).fit()
    assert heard[3:] == [0.5, 0.75]


def test_early_stop_counts_epochs_without_a_better_score(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    progress = make_trainer(make_config(epochs=200, early_stop=3), tmp_path / "r").fit()
    index = RunFolder(tmp_path / "r").index
    assert index is not None
    assert index.finished == "early stop"
    assert progress.epoch == progress.best_epoch + 3 < 200


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    make_config: Make, make_trainer: Make, tiny_objective: type, tmp_path: Path
) -> None:
    trainer = make_trainer(make_config(), tmp_path / "r", objective=tiny_objective(poison=8))
    with pytest.raises(TrainingError, match="epoch 3, step 2: category=inf"):
        trainer.fit()
    run = RunFolder(tmp_path / "r")
    assert run.index is not None
    assert run.index.last == "epoch-0002"
    assert all(
        value.isfinite().all() for value in load_checkpoint(find_checkpoint(run.path)).weights.values()
    )


@pytest.mark.parametrize(
    "name", ["raw.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"]
)
def test_a_damaged_training_state_is_named_before_anything_is_written(
    make_config: Make, make_trainer: Make, tmp_path: Path, name: str
) -> None:
    config = make_config()
    stop_after(make_trainer(config, tmp_path / "r"), 2)
    damaged = RunFolder(tmp_path / "r").last / "resume" / name
    damaged.write_bytes(damaged.read_bytes()[:20])
    before = snapshot(tmp_path / "r")
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        make_trainer(config, tmp_path / "r").fit()
    assert snapshot(tmp_path / "r") == before


def test_a_checkpoint_of_another_config_is_refused(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    stop_after(make_trainer(make_config(), tmp_path / "r"), 2)
    other = make_config(learning_rate=0.5)
    (tmp_path / "r" / "config.yaml").unlink()
    RunFolder(tmp_path / "r").begin(other)
    before = snapshot(tmp_path / "r")
    with pytest.raises(
        CheckpointError, match=r"another config.*\n  train\.learning_rate: 0\.02 in the run, 0\.5 asked"
    ):
        make_trainer(other, tmp_path / "r").fit()
    assert snapshot(tmp_path / "r") == before


def test_another_number_of_processes_cannot_continue(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    stop_after(make_trainer(make_config(), tmp_path / "r"), 2)
    path = RunFolder(tmp_path / "r").last / "resume" / "random.safetensors"
    from safetensors.torch import load_file, save_file

    save_file({**load_file(path), "1/cpu": torch.get_rng_state()}, path)
    with pytest.raises(CheckpointError, match="the run has 2 processes, but 1 would continue it"):
        make_trainer(make_config(), tmp_path / "r").fit()


def test_losses_are_read_far_less_often_than_steps_are_taken(
    make_config: Make, make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = [0]
    go = torch.Tensor.item

    def count(tensor: torch.Tensor) -> object:
        waits[0] += 1
        return go(tensor)

    trainer = make_trainer(make_config(epochs=1, batch_size=1, select="last"), tmp_path / "r", count=60)
    monkeypatch.setattr(torch.Tensor, "item", count)
    trainer.fit()
    assert trainer.progress.step == 60
    assert waits[0] < 30


def stop_after(trainer: Trainer, epochs: int) -> None:
    """Train `epochs` epochs, then die in the next."""
    kill_at(trainer, 3 * epochs + 2)
    with pytest.raises(Killed):
        trainer.fit()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_journal_ahead_of_its_checkpoint_is_cut(
    make_config: Make, make_trainer: Make, tmp_path: Path
) -> None:
    config = make_config(checkpoint_every=3)
    stop_after(make_trainer(config, tmp_path / "r"), 2)
    assert len(read_journal(tmp_path / "r" / "journal.jsonl")) == 2
    make_trainer(config, tmp_path / "r").fit()
    assert [line["epoch"] for line in read_journal(tmp_path / "r" / "journal.jsonl")] == [1, 2, 3, 4]


def test_the_journal_is_closed_when_training_dies(
    make_config: Make, make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    leave = Journal.__exit__
    monkeypatch.setattr(Journal, "__exit__", lambda *a: (closed.append(1), leave(*a))[1])
    stop_after(make_trainer(make_config(), tmp_path / "r"), 1)
    assert closed == [1]


@pytest.mark.parametrize(
    ("clip", "says"),
    [(0.5, r"the gradient norm is not finite in epoch 2, step 3: nan"), (None, r"after epoch 2, .* not finite")],
)
def test_a_gradient_that_is_no_number_in_the_last_step_leaves_no_checkpoint_of_it(
    make_config: Make, make_trainer: Make, tmp_path: Path, clip: float | None, says: str
) -> None:
    trainer = make_trainer(make_config(clip_norm=clip), tmp_path / "r")
    calls = [0]

    def poison(gradient: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return gradient * float("nan") if calls[0] == 6 else gradient

    trainer.parts.model.mix.weight.register_hook(poison)
    with pytest.raises(TrainingError, match=says):
        trainer.fit()
    run = RunFolder(tmp_path / "r")
    assert run.index is not None
    assert run.index.last == "epoch-0001"
    weights = load_checkpoint(find_checkpoint(run.path)).weights
    assert all(value.isfinite().all() for value in weights.values())


def test_scores_of_synthetic_data_are_logged_as_synthetic(
    make_config: Make, make_trainer: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        make_trainer(make_config(epochs=1), tmp_path / "r").fit()
    (line,) = [record.message for record in caplog.records if record.message.startswith("epoch ")]
    assert line.startswith("epoch 1/1 (synthetic): category ")
    assert line.endswith("% (synthetic)")
