"""Experiment trackers of a run, from accelerate: TensorBoard in the run's folder, services such as Weights & Biases."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from accelerate.utils import LoggerType

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import ConfigError, did_you_mean
from avsgn_pyg.engine.files import read_json
from avsgn_pyg.engine.run_folder import flatten

TENSORBOARD: Final = "tensorboard"
#: The project that services show the runs under.
PROJECT: Final = "avsgn_pyg"

logger = logging.getLogger(__name__)


def check_trackers(names: Sequence[str]) -> None:
    """Refuse names of ``train.trackers`` that accelerate does not know, or whose package is not installed.

    Raises:
        ConfigError: names the tracker, and what would work.
    """
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ConfigError(f"train.trackers: accelerate has no tracker {name!r}; choose from "
                              f"{sorted(LOGGER_TYPE_TO_CLASS)}{did_you_mean(name, LOGGER_TYPE_TO_CLASS)}")
        if name in LoggerType.list() and name not in map(str, get_available_trackers()):
            raise ConfigError(f"train.trackers: {name} is not installed; pip install {name}, or leave it out")


class Trackers:
    """The trackers that ``train.trackers`` names, for one run; a context manager that closes them.

    Nothing is opened before :meth:`start`: a run that is only evaluated, and every process but the first, opens none,
    and the other methods then do nothing. A tracker that raises later is dropped with a warning, and the run goes on.

    Args:
        config: of the run.
        folder: of the run.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, folder
        self._open: dict[str, GeneralTracker] = {}
        self._epoch = 0

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *error: object) -> None:
        self._call_each(lambda tracker: tracker.finish())
        self._open = {}

    def start(self, after: int) -> None:
        """Open the trackers of a run that continues after epoch `after`, and give them the config.

        TensorBoard and Weights & Biases continue their record of a run; others begin a new one at every start.

        Raises:
            ConfigError: a tracker cannot be started, as without a login.
        """
        self._epoch = after
        for name in self.config.train.trackers:
            kind, options = LOGGER_TYPE_TO_CLASS[name], self._options(name, after)
            project = TENSORBOARD if name == TENSORBOARD else PROJECT
            try:
                tracker = kind(project, *([self.folder] if kind.requires_logging_directory else []), **options)
                tracker.start()
                if name != TENSORBOARD:  # would make a folder for them, and gets them with the scores
                    tracker.store_init_configuration(hparams(self.config))
            except Exception as error:  # each service has exceptions of its own
                raise ConfigError(f"train.trackers: {name} cannot be started ({type(error).__name__}: {error}); log in "
                                  "to it, or leave it out and resume") from error
            self._open[name] = tracker

    def log(self, record: Mapping[str, Any]) -> None:
        """Log an epoch's record; nested mappings become ``group/name``, at step ``epoch``."""
        self._epoch = record["epoch"]
        self._call_each(lambda tracker: tracker.log(dict(_scalars(record)), step=self._epoch))

    def finish(self, split: str, scores: Mapping[str, Any]) -> None:
        """Log the scores of the evaluated checkpoint as ``final/<split>/<name>``; in TensorBoard beside the config."""
        values = {f"final/{name}": value for name, value in _scalars({split: scores, "epochs": self._epoch})}

        def log(tracker: GeneralTracker) -> None:
            if tracker.name == TENSORBOARD:
                self._write_hparams(tracker.tracker, values)
            tracker.log(values, step=self._epoch)

        self._call_each(log)

    def _call_each(self, call: Callable[[GeneralTracker], object]) -> None:
        for name, tracker in [*self._open.items()]:
            try:
                call(tracker)
            except Exception as error:  # each service has exceptions of its own
                logger.warning("train.trackers: %s failed and receives nothing more of this run (%s: %s)", name,
                               type(error).__name__, error)
                del self._open[name]

    def _write_hparams(self, writer: Any, scores: dict[str, float]) -> None:
        """Write the config as TensorBoard's hparams; ``train.epochs`` may change later, ``final/epochs`` has it."""
        from torch.utils.tensorboard.summary import hparams as summaries  # slow to import

        settings = {name: value for name, value in hparams(self.config).items() if name != "train.epochs"}
        for summary in summaries(settings, scores):
            writer.file_writer.add_summary(summary, self._epoch)

    def _options(self, name: str, after: int) -> dict[str, Any]:
        if name == TENSORBOARD:
            return {"purge_step": after + 1}  # events of later epochs are not shown
        if name == "wandb":
            started = read_json(self.folder / "environment.json")[0]["started"]
            identity = hashlib.sha256(f"{self.folder.resolve()} {started}".encode()).hexdigest()[:16]
            return {"name": "/".join(self.folder.parts[-2:]), "dir": str(self.folder), "id": identity,
                    "resume": "allow"}
        return {}


def hparams(config: Config) -> dict[str, bool | int | float | str]:
    """Return every setting that is not null under its dotted key; lists and mappings as JSON."""
    values = flatten(config.model_dump(mode="json", exclude={"run_dir"}))
    return {key: value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
            for key, value in values.items() if value is not None}


def _scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and math.isfinite(value) and name != "epoch":
            yield f"{prefix}{name}", float(value)
