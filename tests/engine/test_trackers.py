from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.engine import trackers
from avsgn_pyg.engine.trackers import Trackers, check_trackers


class Recorder(GeneralTracker):
    """A tracker of a service, which keeps its calls."""

    name, requires_logging_directory, tracker = "recorder", False, None
    calls: ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, project: str) -> None:
        super().__init__()
        self.calls.append(("open", project))

    def store_init_configuration(self, values: dict) -> None:
        self.calls.append(("config", values))

    def log(self, values: dict, step: int | None = None) -> None:
        self.calls.append((values, step))

    def finish(self) -> None:
        self.calls.append(("closed",))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of a tracker ``recorder`` that accelerate knows."""
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "recorder", Recorder)
    monkeypatch.setattr(Recorder, "calls", [])
    return Recorder.calls


def write(folder: Path, epochs: range, *names: str) -> None:
    config = Config(train={"trackers": names or ["tensorboard"], "epochs": 9}, model={"options": {}})
    with Trackers(config, folder) as opened:
        opened.start(epochs[0] - 1)
        for epoch in epochs:
            opened.log({"epoch": epoch, "loss": {"total": float(epoch)}, "val": {"auc": float("nan")}, "norm": None})
        opened.finish("test", {"accuracy": 10.0 * epochs[-1], "auc": None})


def board(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard")).Reload()


def test_tensorboard_has_an_epoch_once_also_after_a_resume(tmp_path: Path) -> None:
    write(tmp_path, range(1, 6))
    write(tmp_path, range(4, 7))
    events = board(tmp_path).Scalars("loss/total")
    assert [(event.step, event.value) for event in events] == [(epoch, epoch) for epoch in range(1, 7)]
    assert "val/auc" not in board(tmp_path).Tags()["scalars"]


def test_tensorboard_has_the_config_as_hparams_and_the_final_scores_beside_them(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    [event] = board(tmp_path).Scalars("final/test/accuracy")
    assert (event.step, event.value) == (3, 30) and board(tmp_path).Scalars("final/epochs")[0].value == 3
    data = board(tmp_path).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    found = HParamsPluginData.FromString(data).session_start_info.hparams
    assert found["train.learning_rate"].number_value == 3e-4 and found["model.cmgi.conv"].string_value == "gcn"
    assert json.loads(found["train.milestones"].string_value) == [10, 20, 30]
    assert "run_dir" not in found and "train.epochs" not in found  # a run can be moved and lengthened


def test_every_tracker_receives_config_epochs_and_final_scores(tmp_path: Path, recorded: list) -> None:
    write(tmp_path, range(2, 4), "recorder")
    (opened, settings, *logged, closed) = recorded
    assert opened == ("open", trackers.PROJECT) and closed == ("closed",)
    assert settings[1]["train.epochs"] == 9 and settings[1]["train.trackers"] == '["recorder"]'
    assert logged == [({"loss/total": 2.0}, 2), ({"loss/total": 3.0}, 3),
                      ({"final/test/accuracy": 30.0, "final/epochs": 3.0}, 3)]


def test_a_run_that_is_not_trained_opens_no_tracker(tmp_path: Path, recorded: list) -> None:
    with Trackers(Config(train={"trackers": ["recorder", "tensorboard"]}), tmp_path) as opened:
        opened.finish("test", {"accuracy": 1.0})
    assert not recorded and not list(tmp_path.iterdir())


def test_an_unknown_or_absent_tracker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"'tensorbord'; choose from .* mean tensorboard"):
        check_trackers(["tensorbord"])
    monkeypatch.setattr(trackers, "get_available_trackers", list)
    with pytest.raises(ConfigError, match="pip install wandb"):
        check_trackers(["wandb"])


def refuse(*_: object, **__: object) -> None:
    raise RuntimeError("no login")


def test_a_tracker_that_cannot_be_opened_is_named(
    tmp_path: Path, recorded: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "start", refuse)
    with pytest.raises(ConfigError, match=r"recorder cannot be started .*no login"):
        write(tmp_path, range(1, 2), "recorder")


@pytest.mark.parametrize(("fails", "calls"), [("log", 2), ("finish", 5)])
def test_a_tracker_that_fails_later_is_warned_of_once_and_the_others_go_on(
    tmp_path: Path, recorded: list, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str,
    calls: int
) -> None:
    monkeypatch.setattr(Recorder, fails, refuse)
    write(tmp_path, range(1, 3), "recorder", "tensorboard")
    [warning] = [record.message for record in caplog.records if record.name == trackers.__name__]
    assert "recorder failed" in warning and "no login" in warning and len(recorded) == calls
    assert len(board(tmp_path).Scalars("loss/total")) == 2
