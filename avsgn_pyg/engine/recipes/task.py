"""A task to train for: its data, model, objective and scores; and the result of evaluating a checkpoint.

Run folders have the same structure for every task (``docs/runs.md``); only the files of the evaluation differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.files import write_json
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoint
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.files import read_config
from avsgn_pyg.engine.recipes.checks import FREE_SECTIONS, check_config, check_run
from avsgn_pyg.engine.recipes.parts import check_fits, open_dataset, other_settings, shape_of, split_of
from avsgn_pyg.engine.recipes.result import name_of


class Scored(NamedTuple):
    """All scores of a checkpoint: JSON-ready, and as text; and further files to write, name -> JSON content."""

    scores: dict[str, Any]
    table: str
    files: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Task:
    """What distinguishes a task from others.

    Attributes:
        name: of a checkpoint's scores in error messages, such as ``a parser's score``.
        build: ``(config, shape, label text) -> model``.
        objective: ``config -> objective``.
        judge: ``(model, videos, config=, device=, categories=) -> scores`` of a split, in percent; the first
            score selects the epoch.
        score: as `judge`, but returns all scores, as :class:`Scored`; ``None`` if :meth:`evaluate` is overridden.
        unit: of the scores; follows a comma in the first line of the table.
        file: name of the file of scores in ``evaluation-<split>/``.
        facts: constants of the scores, written with them.
        check: raises an error for settings and files that cannot be used.
        open: checks a config, and returns its data set with the text nodes and edges that the model needs.
        free: sections that may be overridden for a trained run.
    """

    name: str
    build: Callable[[Config, zoo.Shape, LabelText | None], nn.Module]
    objective: Callable[[Config], Any]
    judge: Callable[..., dict[str, float]]
    score: Callable[..., Scored] | None = None
    unit: str = ""
    file: str = "metrics.json"
    facts: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Config], None] = check_config
    open: Callable[[Config], Dataset] = open_dataset
    free: tuple[str, ...] = FREE_SECTIONS

    def evaluate(self, checkpoint: Checkpoint, dataset: Dataset, split: str, *, folder: Path, config: Config,
                 device: torch.device, progress: bool = False) -> TaskResult:
        """Score a checkpoint on a split; nothing is written."""
        check_fits(checkpoint, dataset)
        videos = split_of(dataset, split, "evaluate.split")
        model = self.build(checkpoint.config, shape_of(dataset), dataset.label_text)
        checkpoint.load_into(model)
        scored = self.score(model.to(device), videos, config=config, device=device, categories=dataset.categories)
        return TaskResult(self, folder, checkpoint.path, checkpoint.meta.epoch, dataset.name, dataset.synthetic, split,
                          len(videos), scored, dataset.notes)

    def write(self, result: TaskResult) -> None:
        """Write the files of a result of :meth:`evaluate`."""
        for name, content in {**result.scored.files, self.file: result.as_dict()}.items():
            write_json(result.place / name, content)


@dataclass(frozen=True)
class TaskResult:
    """Scores of a run on one split.

    Attributes:
        task: of the run.
        folder: folder of the run, or of the checkpoint.
        checkpoint: the scored checkpoint.
        epoch: epoch of the checkpoint.
        dataset, synthetic: name of the data, and whether the features are synthetic.
        split: the scored split.
        videos: number of scored videos.
        scored: its scores.
        notes: remarks on the data.
        settings: what differs from the run's own evaluation, such as other data.
    """

    task: Task
    folder: Path
    checkpoint: Path
    epoch: int
    dataset: str
    synthetic: bool
    split: str
    videos: int
    scored: Scored
    notes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    #: There is none of several seeds.
    ensemble = None

    @property
    def scores(self) -> dict[str, Any]:
        """JSON-ready scores by name, which trackers receive too."""
        return self.scored.scores

    tracked = scores

    @property
    def place(self) -> Path:
        """The folder of its files: ``evaluation-<split>/``."""
        return self.folder / name_of(self.split, self.settings)

    def table(self) -> str:
        """Return the printed table."""
        name = self.dataset + " (synthetic features)" * self.synthetic
        head = f"{name}, {self.split}: {self.videos} videos, epoch {self.epoch}, {self.task.unit}"
        return "\n".join([head, self.scored.table, *(f"note: {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"run": str(self.folder), "checkpoint": str(self.checkpoint), "epoch": self.epoch,
                "dataset": self.dataset, "synthetic": self.synthetic, "split": self.split, **self.scores,
                "videos": self.videos, **self.task.facts, "notes": list(self.notes), "settings": list(self.settings)}


def evaluate_run(
    task: Task, path: Path, *, split: str | None = None, overrides: Sequence[str] = (), device: str = "auto"
) -> TaskResult:
    """Score a run's selected checkpoint, or a checkpoint, on a split, and write the scores.

    Other settings than the run's, and other data, are in the folder's name: ``evaluation-test-data=1a2b3c4d``.

    Args:
        split: ``None``: the config's ``evaluate.split``.
        overrides: dotted settings of the task's free sections, for other copies of the data.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting or the data cannot be used.
    """
    [place] = check_run(path, overrides, task.name, free=task.free, check=task.check)
    checkpoint = load_checkpoint(place)
    config = read_config(checkpoint.path, overrides)
    where = make_accelerator(TrainConfig(device=device)).device
    dataset = task.open(config)
    result = task.evaluate(checkpoint, dataset, split or config.evaluate.split, folder=path, config=config,
                           device=where)
    result = replace(result, settings=tuple(other_settings(config, checkpoint, dataset)))
    task.write(result)
    return result
