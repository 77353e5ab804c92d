"""A run of a suite: when it is finished, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import CheckpointError, DataError, RunError
from avsgn_pyg.common.files import lock
from avsgn_pyg.engine.run_folder import RunFolder, write_config
from avsgn_pyg.experiments.suites import load_suite
from avsgn_pyg.experiments.suites.runs import Run, find_seeds, plan, refuse_other_data, train, unfinished


def runs(written: Path, out: Path, *overrides: str, seeds=(0, 1)) -> list[Run]:
    return plan(load_suite(written, overrides, supervisions=["full"]), seeds, out)


@pytest.fixture
def run(written: Path, copied: Path) -> Run:
    """A finished one."""
    return runs(written, copied)[0]


def test_all_rows_of_the_first_seed_run_first(written: Path, tmp_path: Path):
    found = plan(load_suite(written), (5, 3), tmp_path)
    assert [run.name for run in found[:4]] == [f"{supervision}/{row}/seed-5" for supervision in ("full", "weak")
                                               for row in ("ours", "no_av")]
    assert {run.seed for run in found[4:]} == {3} and unfinished(found) == found


def test_a_run_is_finished_when_its_selected_checkpoint_is_scored(run: Run, edit: Callable):
    assert run.is_done() and run.epochs == 2
    edit(run.scores_folder("test") / "metrics.json", lambda record: record.update(checkpoint="elsewhere/epoch-0099"))
    assert not run.is_done()


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv"])
def test_a_run_without_its_scores_is_not_finished(run: Run, name: str):
    (run.scores_folder("test") / name).unlink()
    assert not run.is_done() and run.read_scores("test") is None


def test_damaged_scores_are_refused(run: Run, edit: Callable):
    edit(run.scores_folder("test") / "metrics.json", dict.clear)
    with pytest.raises(CheckpointError, match=r"metrics.json: not an evaluation"):
        run.is_done()


def test_two_processes_never_train_one_run(run: Run):
    with lock(run.out / ".locks" / "full-ours-seed-0"), pytest.raises(RunError, match="another process"):
        train(run)


@pytest.fixture
def replace_data(run: Run, edit: Callable) -> Callable[[], None]:
    meta = RunFolder(run.folder).last / "meta.json"
    return lambda: edit(meta, lambda found: found.update(provenance={"made by": "somebody else"}))


def test_runs_of_other_data_are_refused(written: Path, run: Run, tmp_path: Path, replace_data: Callable):
    moved = runs(written, run.out, f"data.root={tmp_path}")
    refuse_other_data(moved, [])
    replace_data()
    with pytest.raises(RunError, match=r"somebody else[\s\S]*another --out"):
        refuse_other_data(moved, [])


def test_data_replaced_in_place_are_refused_before_more_is_trained(
    written: Path, run: Run, tmp_path: Path, replace_data: Callable
):
    found = runs(written, run.out, f"data.root={tmp_path}")
    write_config(found[0].config, run.folder)
    replace_data()
    refuse_other_data(found, [])  # the tables of what is finished read no data
    with pytest.raises(RunError, match="somebody else"):
        refuse_other_data(found, found[1:])


def test_missing_data_are_reported_by_the_run_that_needs_them(written: Path, run: Run, tmp_path: Path):
    data = run.config.data.model_copy(update={"kind": "ave", "root": tmp_path})
    absent = [dataclasses.replace(run, config=run.config.model_copy(update={"data": data}))]
    write_config(absent[0].config, run.folder)
    refuse_other_data(absent, absent)
    with pytest.raises(DataError, match="no such file"):
        refuse_other_data(runs(written, run.out, f"data.root={tmp_path / 'elsewhere'}", "data.kind=ave"), [])


def test_every_seed_of_a_row_is_found(written: Path, copied: Path):
    cells = load_suite(written).cells
    (copied / "weak" / "no_av" / "seed-7").mkdir(parents=True)
    assert find_seeds(cells, copied) == (0, 1, 7) and find_seeds(cells, copied / "absent") == ()
