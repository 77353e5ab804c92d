"""Runs on processes, on Ray, and on several machines: a failure ends one run alone, and nothing runs twice."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import ConfigError, DataError, RunError
from avsgn_pyg.common.pool import ProcessDiedError
from avsgn_pyg.experiments.suites import execution, load_suite, reproduce, run_on_processes, run_on_ray
from avsgn_pyg.experiments.suites.cluster import check_resources
from avsgn_pyg.experiments.suites.execution import visible_devices
from avsgn_pyg.experiments.suites.runs import Run, plan

HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.fixture
def runs(written: Path, tmp_path: Path) -> list[Run]:
    return plan(load_suite(written, ["train.epochs=1", "evaluate.bootstrap=0"], supervisions=["full"]), (0, 1),
                tmp_path / "out")


def with_a_defect(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def work(run: Run) -> None:
        if run == runs[1]:
            raise ZeroDivisionError("a defect")

    monkeypatch.setattr(execution, "train", work)


def test_in_this_process_a_failure_ends_one_run(runs: list[Run], monkeypatch: pytest.MonkeyPatch):
    with_a_defect(runs, monkeypatch)
    assert list(run_on_processes(runs, processes=0)) == [
        (run, "ZeroDivisionError: a defect" if run == runs[1] else None) for run in runs]
    assert "Traceback" in runs[1].log.read_text()


class TwoProcesses:
    """In place of a pool: the second task ends first, and the first one with its process."""

    devices: list[str]

    def __init__(self, function: object, processes: int, **_: object) -> None:
        assert processes == 2

    def __enter__(self) -> TwoProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, tasks: Iterator[execution.Task]) -> Iterator[tuple[execution.Task, Exception | None]]:
        first, second = next(tasks), next(tasks)
        yield second, None
        third = next(tasks)
        yield first, ProcessDiedError("its process died")
        fourth = next(tasks)
        yield from ((third, None), (fourth, None))
        TwoProcesses.devices = [task.device["CUDA_VISIBLE_DEVICES"] for task in (first, second, third, fourth)]


def test_every_run_takes_a_free_device_and_a_death_ends_one_run(runs: list[Run], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(execution, "Pool", TwoProcesses)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    outcomes = list(run_on_processes(runs, processes=2))
    assert [reason for _, reason in outcomes] == [None, "its process died", None, None]
    assert TwoProcesses.devices == ["0", "1", "1", "0"]


@pytest.mark.parametrize(("there", "device", "seen"), [
    (None, "cuda:1", "1"), ("2,5", "cuda:1", "5"), ("2,5", "cpu", ""), ("2,5", "auto", None),
])
def test_the_n_th_device_is_the_n_th_that_this_process_sees(
    monkeypatch: pytest.MonkeyPatch, there: str | None, device: str, seen: str | None
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if there is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", there)
    assert visible_devices(device).get("CUDA_VISIBLE_DEVICES") == seen


@pytest.mark.parametrize(("processes", "device"), [(0, "cpu"), (None, "cuda:99"), (1, "gpu")])
def test_a_device_that_cannot_be_used_is_refused(runs: list[Run], processes: int | None, device: str):
    with pytest.raises(ConfigError, match=f"devices {device}"):
        list(run_on_processes(runs, processes, [device]))


# --- Several machines ----------------------------------------------------------------------------


def test_progress_names_the_runs_that_train(runs: list[Run]):
    runs[0].log.parent.mkdir(parents=True)
    for run, age in zip(runs, (0.0, 3600.0, 0.0, 0.0), strict=True):
        run.log.touch()
        os.utime(run.log, (time.time() - age,) * 2)
    named = execution.name_training(runs, time.time() - 60)
    assert named == f"{runs[0].name}, {runs[2].name} and 1 more"
    assert execution.name_training(runs[1:2], time.time() - 60) == ""


def mark_of(out: Path, machine: str, age: float = 0.0) -> Path:
    out.mkdir(exist_ok=True)
    mark = out / f".used-by-{machine}"
    mark.touch()
    os.utime(mark, (time.time() - age,) * 2)
    return mark


@pytest.mark.parametrize(("machine", "age"), [(platform.node(), 0.0), ("killed", 3600.0)])
def test_this_machine_and_a_killed_one_do_not_block_a_folder(tmp_path: Path, machine: str, age: float):
    mark_of(tmp_path, machine, age)
    with execution.use_alone(tmp_path):
        assert (tmp_path / f".used-by-{platform.node()}").exists()
    assert not (tmp_path / f".used-by-{platform.node()}").exists()


def test_a_mark_that_is_a_link_is_refused_and_its_target_kept(tmp_path: Path):
    (tmp_path / f".used-by-{platform.node()}").symlink_to(tmp_path / "victim")
    with pytest.raises(DataError, match="symbolic link"), execution.use_alone(tmp_path):
        pass
    assert not (tmp_path / "victim").exists()


def test_another_machine_needs_a_shard_of_its_own(written: Path, tmp_path: Path):
    mark_of(tmp_path, "other")
    suite = load_suite(written, ["model.cmgi.conv=none"], supervisions=["full"])
    with pytest.raises(RunError, match=r"other.*--shard.*--engine ray"):
        reproduce(suite, out=tmp_path, processes=0)
    assert len(reproduce(suite, out=tmp_path, processes=0, shard=(1, 2)).failures) == 1
    assert reproduce(suite, out=tmp_path, train=False).done == 0


@pytest.mark.parametrize(("cpus", "gpus", "says"), [
    (9, 0.0, "9 CPUs"), (1, 2.0, "2 GPUs"), (8, 1.0, "8 CPUs"), (1, 1.5, "gpus=1.5"),
])
def test_more_than_a_machine_of_the_cluster_has_is_refused(cpus: int, gpus: float, says: str):
    machines = [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 1.0}]
    check_resources(8, 0.0, machines), check_resources(4, 0.5, machines)
    with pytest.raises(ConfigError, match=says):
        check_resources(cpus, gpus, machines)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="needs the extra: pip install -e .[cluster]")
def test_ray_trains_what_one_process_trains(written: Path, out: Path, tmp_path: Path):
    suite = load_suite(written, supervisions=["full"])
    done = reproduce(suite, seeds=(0, 1), out=tmp_path, engine=run_on_ray, progress=False)
    assert (done.done, done.left, done.failures) == (4, 0, ())
    assert (tmp_path / "pair.csv").read_text() == (out / "pair.csv").read_text()
