"""A run of a suite: its folder, its lock, and when it counts as finished."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from avsgn_pyg.config import save_config
from avsgn_pyg.data.dataset import DataError
from avsgn_pyg.engine.checkpoint import CheckpointError
from avsgn_pyg.engine.run_folder import RunError, RunFolder
from avsgn_pyg.experiments.suites import load_suite
from avsgn_pyg.experiments.suites.jobs import (
    Job,
    plan,
    read_scores,
    refuse_other_data,
    seeds_there,
    share,
    train,
)


@pytest.fixture
def job(written: Path, out: Path, tmp_path: Path) -> Job:
    """A finished one."""
    folder = Path(shutil.copytree(out, tmp_path / "out"))
    return plan(load_suite(written, supervisions=["full"]), (0,), folder)[0]


def test_a_finished_run_is_trained_and_scored(job: Job):
    assert job.is_done() and job.epochs == 2
    assert (job.name, job.folder) == ("full/ours/seed-0", job.out / "full" / "ours" / "seed-0")


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv"])
def test_a_run_without_its_scores_is_not_done(job: Job, name: str):
    (job.folder / "evaluation-test" / name).unlink()
    assert not job.is_done() and read_scores(job, "test") is None


def test_scores_of_another_checkpoint_do_not_count(job: Job):
    path = job.folder / "evaluation-test" / "metrics.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"checkpoint": "elsewhere/epoch-0099"}))
    assert not job.is_done()


def test_scores_that_are_none_are_refused_by_name(job: Job):
    (job.folder / "evaluation-test" / "metrics.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"metrics.json: not an evaluation .* remove it"):
        job.is_done()


def test_two_processes_never_train_one_run(job: Job):
    fcntl = pytest.importorskip("fcntl")
    path = job.out / ".locks" / "full-ours-seed-0"
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is training it"):
            train(job)


def test_shares_are_even_and_whole(job: Job):
    jobs = [dataclasses.replace(job, splits=(str(number),)) for number in range(7)]
    shares = [share(jobs, (number, 3)) for number in (1, 2, 3)]
    assert [len(part) for part in shares] == [3, 2, 2]
    assert sorted(job.splits[0] for part in shares for job in part) == [str(number) for number in range(7)]


def moved(written: Path, job: Job, root: Path) -> list[Job]:
    """The same runs, asked for with data in `root`."""
    return plan(load_suite(written, [f"data.root={root}"], supervisions=["full"]), (0, 1), job.out)


def test_the_same_data_may_lie_elsewhere(written: Path, job: Job, tmp_path: Path):
    refuse_other_data(moved(written, job, tmp_path), [])


def test_runs_of_other_data_are_refused(written: Path, job: Job, tmp_path: Path):
    meta = RunFolder(job.folder).last / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"provenance": {"made by": "somebody else"}}))
    with pytest.raises(RunError, match=r"provenance: .*somebody else[\s\S]*another --out.*one data"):
        refuse_other_data(moved(written, job, tmp_path), [])


def test_data_replaced_where_they_lie_are_noticed_before_more_is_trained(written: Path, job: Job, tmp_path: Path):
    jobs = moved(written, job, tmp_path)
    save_config(jobs[0].config, job.folder / "config.yaml")
    meta = RunFolder(job.folder).last / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"provenance": {"made by": "somebody else"}}))
    refuse_other_data(jobs, [])  # the tables of what is finished read no data
    with pytest.raises(RunError, match="somebody else"):
        refuse_other_data(jobs, [one for one in jobs if one.seed == 1])


def test_data_that_are_gone_are_told_by_the_run_that_needs_them(written: Path, job: Job, tmp_path: Path):
    jobs = [one for one in moved(written, job, tmp_path) if one.cell.row.name == "ours"]
    absent = [dataclasses.replace(one, config=one.config.model_copy(update={"data": one.config.data.model_copy(
        update={"kind": "ave"})})) for one in jobs]
    for one in absent:
        save_config(one.config, one.folder / "config.yaml")
    refuse_other_data(absent, absent)
    with pytest.raises(DataError, match="no such file"):
        refuse_other_data(plan(load_suite(written, [f"data.root={tmp_path / 'elsewhere'}", "data.kind=ave"],
                                          supervisions=["full"]), (0,), job.out), [])


def test_every_seed_that_a_row_has_is_found(written: Path, job: Job):
    cells = load_suite(written).cells
    (job.out / "weak" / "no_av" / "seed-7").mkdir(parents=True)
    assert seeds_there(cells, job.out) == (0, 1, 7) and seeds_there(cells, job.out / "absent") == ()
