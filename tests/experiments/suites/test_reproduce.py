"""A suite from its first run to its tables: what runs once, what runs again, and what is never lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import RunError
from avsgn_pyg.engine import recipes
from avsgn_pyg.experiments.suites import Reproduction, load_suite, reproduce

pytestmark = pytest.mark.slow


def again(written: Path, folder: Path, seeds=(0, 1), overrides=(), **options) -> Reproduction:
    suite = load_suite(written, overrides, supervisions=["full"])
    return reproduce(suite, seeds=seeds, out=folder, processes=0, progress=False, **options)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "train", lambda *_, **__: pytest.fail("trained"))


def starts(folder: Path) -> dict[str, int]:
    """How often each run below `folder` was started."""
    return {str(path.parent.relative_to(folder / "full")): len(json.loads(path.read_text()))
            for path in sorted(folder.rglob("environment.json"))}


@pytest.mark.usefixtures("untrained")
def test_finished_runs_are_kept(written: Path, copied: Path):
    before = starts(copied)
    found = again(written, copied)
    assert (found.done, found.left, found.total, starts(copied)) == (0, 0, 4, before)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(("seeds", "left", "total"), [((0, 1, 2), 2, 6), (None, 0, 4)])
def test_tables_of_what_is_finished_run_nothing(written: Path, copied: Path, seeds, left: int, total: int):
    found = again(written, copied, seeds=seeds, train=False)
    assert (found.done, found.left, found.total) == (0, left, total)
    assert ("2/3" in found.paths[0].read_text()) == (left > 0)


def test_a_row_that_fails_does_not_stop_the_others(rewritten: Callable, copied: Path):
    path = rewritten("published:", "- {name: bad, change: {model.cmgi.conv: none}}\npublished:")
    found = again(path, copied, seeds=(0,))
    assert [failure.run.name for failure in found.failures] == ["full/bad/seed-0"]
    assert (found.done, found.left) == (0, 1)
    report = found.report()
    assert "failed: full/bad/seed-0\n  model: conv='none'" in report
    assert "2 of 3 runs finished" in report and "0 of 1 seeds" in report
    assert "conv='none'" in found.failures[0].run.log.read_text()


@pytest.mark.usefixtures("untrained")
def test_a_partial_call_keeps_the_other_rows_and_seeds_in_the_table(written: Path, copied: Path):
    suite = load_suite(written, supervisions=["full"], rows=["ours"])
    found = reproduce(suite, seeds=(0,), out=copied, processes=0, progress=False)
    assert (found.done, found.left, found.total) == (0, 0, 1)
    [table] = found.tables
    assert [(line["row"], line["seeds"]) for line in table.records if line["kind"] == "trained"] == [
        ("ours", "0 1"), ("no_av", "0 1")]


def test_a_row_of_another_recipe_does_not_enter_the_table_of_a_partial_call(written: Path, copied: Path):
    shutil.rmtree(copied / "full" / "ours")
    suite = load_suite(written, ["train.epochs=3"], supervisions=["full"], rows=["ours"])
    with pytest.raises(RunError, match=r"train.epochs: 2 in the run, 3 asked for[\s\S]*another --out"):
        reproduce(suite, seeds=(0,), out=copied, processes=0, progress=False)


def test_a_config_that_changes_while_its_suite_runs_changes_nothing(rewritten: Callable, copied: Path):
    path = rewritten("reference: ours", "reference: ours")

    def spoil(runs):
        (path.parent / "tiny.yaml").write_text("nonsense: 1")
        return (_ for _ in ())

    suite = load_suite(path, supervisions=["full"], rows=["ours"])
    found = reproduce(suite, seeds=(0,), out=copied, engine=spoil, progress=False)
    assert [line["row"] for line in found.tables[0].records if line["kind"] == "trained"] == ["ours", "no_av"]


def test_another_recipe_is_refused_before_anything_runs(written: Path, copied: Path):
    shutil.rmtree(copied / "full" / "ours")
    with pytest.raises(RunError, match=r"train.epochs: 2 in the run, 3 asked for[\s\S]*another --out"):
        again(written, copied, seeds=(0,), overrides=["train.epochs=3"], shard=(1, 2))
    assert not (copied / "full" / "ours").exists()


def test_other_splits_are_scored_without_training_and_have_a_table_each(rewritten: Callable, copied: Path):
    before, path = starts(copied), rewritten("reference: ours", "splits: [val, test]\nreference: ours")
    found = again(path, copied, seeds=(0,))
    assert (found.done, found.left, starts(copied)) == (2, 0, before)
    assert [table.title.split(", ")[-1] for table in found.tables] == ["val", "test"]
    assert again(path, copied, seeds=(0,)).done == 0


def test_recomposed_splits_are_scored_too(rewritten: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("avsgn_pyg.visualize.theme.save_figure", lambda *_: None)
    path = rewritten("reference: ours", "splits: [val, val-runs]\nreference: ours")
    suite = load_suite(path, ["data.synthetic.videos=120", "train.epochs=1"], rows=["ours"], supervisions=["full"])
    found = reproduce(suite, out=tmp_path / "out", processes=0, progress=False)
    plain, recomposed = (table.records[-1] for table in found.tables)
    assert found.left == 0 and recomposed["split"] == "val-runs"
    assert recomposed["dataset"] == f"{plain['dataset']}, background recomposed (runs)"


def test_evaluating_at_another_tau_leaves_the_table_and_old_scores_at_one_are_computed_again(
    written: Path, copied: Path, edit: Callable
):
    run = copied / "full" / "ours" / "seed-0"
    recipes.evaluate_run(run, tau=0.01, progress=False, device="cpu")
    assert again(written, copied).done == 0
    edit(run / "evaluation-test" / "metrics.json", lambda record: record.update(tau=0.01))  # as 0.2.0 left them
    assert again(written, copied).done == 1


def test_shards_and_new_seeds_run_everything_once(written: Path, copied: Path):
    first = again(written, copied, seeds=(0, 2), shard=(1, 2))
    assert (first.done, first.left) == (1, 1) and len(starts(copied)) == 5
    second = again(written, copied, seeds=(0, 2), shard=(2, 2))
    assert (second.done, second.left) == (1, 0) and set(starts(copied).values()) == {1}


def test_a_run_is_the_one_that_training_alone_gives(written: Path, out: Path, tmp_path: Path):
    config = load_suite(written, supervisions=["full"]).cells[1].config
    recipe = config.train.model_copy(update={"seed": 1})
    config = config.model_copy(update={"run_dir": tmp_path, "name": "alone", "train": recipe})
    recipes.train(config, progress=False)
    one, two = (json.loads((run / "evaluation-test" / "metrics.json").read_text())
                for run in (tmp_path / "alone", out / "full" / "no_av" / "seed-1"))
    assert one["scores"] == two["scores"]
