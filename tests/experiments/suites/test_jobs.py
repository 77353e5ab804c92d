"""A run of a suite: its folder, its lock, and when it counts as finished."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from avsgn_pyg.engine.checkpoint import CheckpointError
from avsgn_pyg.engine.run_folder import RunError
from avsgn_pyg.experiments.suites import load_suite
from avsgn_pyg.experiments.suites.jobs import Job, plan, read_scores, share, train


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
