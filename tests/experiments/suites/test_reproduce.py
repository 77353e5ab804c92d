"""A suite from its first run to its tables: what is done once, what is done again, and what is never lost."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import threading
from pathlib import Path

import pytest
import torch

from avsgn_pyg import recipes
from avsgn_pyg.engine.run_folder import RunError, RunFolder
from avsgn_pyg.experiments.suites import load_suite, reproduce
from avsgn_pyg.experiments.suites.jobs import plan, unfinished
from avsgn_pyg.experiments.suites.locks import held


def again(written: Path, folder: Path, seeds=(0, 1), overrides=(), **options):
    suite = load_suite(written, overrides, supervisions=["full"])
    return reproduce(suite, seeds=seeds, out=folder, processes=0, progress=False, **options)


@pytest.fixture
def copied(out: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(out, tmp_path / "out"))


def starts(folder: Path) -> dict[str, int]:
    """How often each run below `folder` was started."""
    return {str(path.parent.relative_to(folder)): len(json.loads(path.read_text()))
            for path in sorted(folder.rglob("environment.json"))}


def test_rows_times_seeds_are_runs_like_any_other(out: Path):
    assert list(starts(out)) == ["full/no_av/seed-0", "full/no_av/seed-1", "full/ours/seed-0", "full/ours/seed-1"]
    found = recipes.evaluate_run(out / "full" / "ours", progress=False, device="cpu")
    assert found.summary is not None and found.summary.seeds == (0, 1)


def test_what_is_finished_is_not_done_again(written: Path, copied: Path, monkeypatch: pytest.MonkeyPatch):
    before = starts(copied)
    monkeypatch.setattr(recipes, "train", lambda *_, **__: pytest.fail("trained again"))
    found = again(written, copied)
    assert (found.done, found.left, found.total, starts(copied)) == (0, 0, 4, before)


def test_more_seeds_are_the_only_ones_that_run(written: Path, copied: Path):
    found = again(written, copied, seeds=(0, 1, 2))
    assert (found.done, found.left, found.total) == (2, 0, 6)
    assert set(starts(copied).values()) == {1} and len(starts(copied)) == 6


def test_every_run_has_a_line_of_its_own_whose_mean_is_the_rows(written: Path, copied: Path):
    found = again(written, copied)
    runs, rows = (list(csv.DictReader(path.open(newline=""))) for path in (found.paths[3], found.paths[1]))
    assert [(run["row"], run["seed"]) for run in runs] == [(name, seed) for name in ("ours", "no_av") for seed in "01"]
    for row in (row for row in rows if row["kind"] == "trained"):
        for score in ("segment_accuracy", "event_f1@0.7"):
            values = [float(run[score]) for run in runs if run["row"] == row["row"]]
            assert statistics.mean(values) == pytest.approx(float(row[score]))
            assert statistics.stdev(values) == pytest.approx(float(row[f"{score}_std"]))


def test_tables_of_what_is_finished_run_nothing(written: Path, copied: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recipes, "train", lambda *_, **__: pytest.fail("trained"))
    found = again(written, copied, seeds=(0, 1, 2), train=False)
    assert (found.done, found.left, found.total) == (0, 2, 6)
    assert "2/3" in found.paths[0].read_text()


def test_tables_of_what_is_finished_have_every_seed_there(written: Path, copied: Path):
    found = again(written, copied, seeds=None, train=False)
    assert (found.done, found.left, found.total) == (0, 0, 4)
    assert again(written, copied.parent / "absent", seeds=None, train=False).total == 2


def test_tables_that_share_a_folder_are_written_in_turn(written: Path, copied: Path):
    pytest.importorskip("fcntl")
    steps = []
    with held(copied, "table-pair", wait=True):
        other = threading.Thread(target=lambda: steps.append(again(written, copied, train=False).total))
        other.start()
        other.join(1)
        steps.append("released")
    other.join()
    assert steps == ["released", 4]


@pytest.mark.slow
def test_a_stopped_run_goes_on_from_its_checkpoint(
    written: Path, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
):
    commit, stops = RunFolder.commit, []

    def stopping(self, index):
        commit(self, index)
        if not stops and self.path.parts[-2:] == ("no_av", "seed-0"):
            stops.append(self.path)
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "commit", stopping)
    with pytest.raises(KeyboardInterrupt):
        again(written, tmp_path)
    # ours/seed-0 is done, no_av/seed-0 has one of its two epochs, the other two are not begun.
    assert list(starts(tmp_path)) == ["full/no_av/seed-0", "full/ours/seed-0"]
    found = again(written, tmp_path)
    assert (found.done, found.left) == (3, 0)
    assert starts(tmp_path) == {"full/no_av/seed-0": 2, "full/no_av/seed-1": 1,
                                "full/ours/seed-0": 1, "full/ours/seed-1": 1}
    journal = (tmp_path / "full" / "no_av" / "seed-0" / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in journal] == [1, 2]
    for suffix in ("md", "tex", "csv"):
        assert (tmp_path / f"pair.{suffix}").read_text() == (out / f"pair.{suffix}").read_text()


def test_a_row_that_fails_is_told_and_the_others_go_on(written: Path, tmp_path: Path):
    for path in written.parent.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    text = (tmp_path / "pair.yaml").read_text()
    (tmp_path / "pair.yaml").write_text(text.replace("published:", "- {name: bad, change: {model.cmgi.conv: none}}\n"
                                                                   "published:"))
    found = again(tmp_path / "pair.yaml", tmp_path / "out", seeds=(0,))
    assert [failure.job.name for failure in found.failures] == ["full/bad/seed-0"]
    assert (found.done, found.left) == (2, 1)
    said = found.report()
    assert "failed: full/bad/seed-0\n  model: conv='none' is not in the table" in said
    assert "2 of 3 runs finished" in said and "0 of 1 seeds" in said
    assert "is not in the table" in found.failures[0].job.log.read_text()


def test_a_recipe_that_changed_is_refused_before_anything_runs(written: Path, copied: Path):
    before = starts(copied)
    with pytest.raises(RunError, match=r"train.epochs: 2 in the run, 3 asked for[\s\S]*another --out"):
        again(written, copied, overrides=["train.epochs=3"])
    assert starts(copied) == before


def test_another_shard_s_row_of_another_recipe_is_refused_before_anything_runs(written: Path, copied: Path):
    shutil.rmtree(copied / "full" / "ours")
    with pytest.raises(RunError, match="another --out"):
        again(written, copied, seeds=(0,), overrides=["train.epochs=3"], shard=(1, 2))
    assert not (copied / "full" / "ours").exists()


def test_another_split_is_scored_without_training(written: Path, copied: Path):
    before = starts(copied)
    found = again(written, copied, overrides=["evaluate.split=val"])
    assert found.done == 4 and starts(copied) == before
    assert [table.title for table in found.tables] == ["Two & two: full supervision, val"]
    assert again(written, copied).done == 0


@pytest.mark.slow
def test_several_splits_have_a_table_each(written: Path, copied: Path, tmp_path: Path):
    for path in written.parent.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "pair.yaml").write_text((tmp_path / "pair.yaml").read_text() + "splits: [val, test]\n")
    found = again(tmp_path / "pair.yaml", copied)
    assert [table.title.split(", ")[-1] for table in found.tables] == ["val", "test"] and found.left == 0
    assert again(tmp_path / "pair.yaml", copied).done == 0


def test_scores_that_somebody_made_at_another_tau_are_made_again(written: Path, copied: Path):
    recipes.evaluate_run(copied / "full" / "ours" / "seed-0", tau=0.01, progress=False, device="cpu")
    assert again(written, copied).done == 1
    table = next(csv.DictReader((copied / "pair.csv").open()))
    assert table["kind"] == "published"


def test_shards_do_every_run_once_between_them(written: Path, tmp_path: Path):
    first = again(written, tmp_path, seeds=(0,), shard=(1, 2))
    assert (first.done, first.left) == (1, 1) and list(starts(tmp_path)) == ["full/ours/seed-0"]
    second = again(written, tmp_path, seeds=(0,), shard=(2, 2))
    assert (second.done, second.left) == (1, 0) and set(starts(tmp_path).values()) == {1}


def test_all_rows_of_the_first_seed_run_before_the_second(written: Path, tmp_path: Path):
    jobs = plan(load_suite(written), (5, 3), tmp_path)
    assert [job.name for job in jobs[:4]] == [f"{how}/{row}/seed-5" for how in ("full", "weak")
                                              for row in ("ours", "no_av")]
    assert {job.seed for job in jobs[4:]} == {3} and unfinished(jobs) == jobs


def test_a_run_is_the_one_that_training_alone_gives(written: Path, out: Path, tmp_path: Path):
    config = load_suite(written, supervisions=["full"]).cells[1].config
    recipe = config.train.model_copy(update={"seed": 1})
    alone = recipes.train(config.model_copy(update={"run_dir": tmp_path, "train": recipe}), progress=False)
    theirs = json.loads((out / "full" / "no_av" / "seed-1" / "evaluation-test" / "metrics.json").read_text())
    assert alone.evaluations[0].as_dict()["scores"] == theirs["scores"]
    assert torch.is_tensor(alone.evaluations[0].correct_per_video)
