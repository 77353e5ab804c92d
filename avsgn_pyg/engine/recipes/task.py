"""Runs of a task that has its own model and scores: train or resume one seed, score a checkpoint, write the result.

The run's folder is that of every other run (``docs/runs.md``); instead of accuracies it has the scores of the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from accelerate.utils import set_seed
from torch import nn

from avsgn_pyg.common.config import Config, ConfigError, TrainConfig
from avsgn_pyg.common.files import write_json
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoint
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.files import read_config
from avsgn_pyg.engine.initial import find_frozen
from avsgn_pyg.engine.recipes.checks import check_run
from avsgn_pyg.engine.recipes.fitting import fit, initial_of, start
from avsgn_pyg.engine.recipes.parts import check_fits, other_settings, scored_splits, shape_of, split_of
from avsgn_pyg.engine.recipes.result import list_files, name_of
from avsgn_pyg.engine.run_folder import find_checkpoint, read_run_config, run_folder
from avsgn_pyg.engine.trackers import Trackers


class Scored(NamedTuple):
    """All scores of a checkpoint: JSON-ready, and as text; and further files to write, name -> JSON content."""

    scores: dict[str, Any]
    table: str
    files: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Task:
    """What a task has of its own.

    Attributes:
        name: of a checkpoint's scores in error messages: ``a parser's score``.
        unit: of the scores in the table's first line, after a comma.
        file: written in ``evaluation-<split>/``.
        check: raises an error for settings and files that cannot be used.
        load: returns the data set of a config.
        build: ``(config, shape, label text) -> model``.
        objective: ``config -> objective``.
        judge: ``(model, videos, config=, device=, categories=) -> scores`` of a split, percent; the first one selects.
        score: the same call returns all scores of a checkpoint.
        facts: constants of the scores, written with them.
        free: sections that may be overridden for a trained run.
    """

    name: str
    unit: str
    file: str
    check: Callable[[Config], None]
    load: Callable[[Config], Dataset]
    build: Callable[[Config, zoo.Shape, LabelText | None], nn.Module]
    objective: Callable[[Config], Any]
    judge: Callable[..., dict[str, float]]
    score: Callable[..., Scored]
    facts: Mapping[str, Any] = field(default_factory=dict)
    free: tuple[str, ...] = ("data.",)


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
        """JSON-ready scores by name."""
        return self.scored.scores

    @property
    def place(self) -> Path:
        """The folder that :meth:`write` writes: ``evaluation-<split>/``."""
        return self.folder / name_of(self.split, self.settings)

    def table(self) -> str:
        """Return the printed table."""
        name = self.dataset + " (synthetic features)" * self.synthetic
        head = f"{name}, {self.split}: {self.videos} videos, epoch {self.epoch}, {self.task.unit}"
        return "\n".join([head, self.scored.table, *(f"note: {note}" for note in self.notes)])

    def listing(self) -> str:
        """Return the folder, then each file in it."""
        return list_files(self.folder)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"run": str(self.folder), "checkpoint": str(self.checkpoint), "epoch": self.epoch,
                "dataset": self.dataset, "synthetic": self.synthetic, "split": self.split, **self.scores,
                "videos": self.videos, **self.task.facts, "notes": list(self.notes), "settings": list(self.settings)}

    def write(self) -> None:
        """Write the scores, and the further files."""
        for name, content in {**self.scored.files, self.task.file: self.as_dict()}.items():
            write_json(self.place / name, content)


def train(task: Task, config: Config, *, overwrite: bool = False, progress: bool = True) -> TaskResult:
    """Train a model, then score ``evaluate.split``. A stopped run resumes exactly, a finished one is only scored.

    Args:
        overwrite: remove an earlier run in the folder.
        progress: show a bar on a terminal.

    Raises:
        ConfigError, DataError: a setting or the data cannot be used.
        RunError: the folder contains another run, or other files.
        CheckpointError: the checkpoint to resume from is damaged.
        TrainingError: a loss, a gradient norm or a weight is not finite.
    """
    return _train(task, config, run_folder(config), overwrite=overwrite, progress=progress)


def restart(task: Task, folder: Path, overrides: Sequence[str] = (), *, progress: bool = True) -> TaskResult:
    """Resume the run in `folder` with its own config; errors are those of :func:`train`.

    Args:
        overrides: a higher ``train.epochs``, and settings that do not change the training: ``data.root`` of data that
            moved, ``evaluate.split``.
    """
    config = read_run_config(folder, overrides)
    return _train(task, config, folder, overwrite=False, progress=progress, lengthen=True)


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
    dataset = _open(task, config)
    result = _evaluate(task, checkpoint, config, path, dataset, split or config.evaluate.split, where)
    result = replace(result, settings=tuple(other_settings(config, checkpoint, dataset)))
    result.write()
    return result


def _train(task: Task, config: Config, folder: Path, *, overwrite: bool, progress: bool,
           lengthen: bool = False) -> TaskResult:
    dataset = _open(task, config)
    split_of(dataset, config.evaluate.split, "evaluate.split")
    scored_splits(config, dataset)
    model = _build(task, config, dataset)  # an invalid model raises an error before a file is written
    shape = shape_of(dataset)
    initial = initial_of(config, dataset, [folder], overwrite=overwrite, rebuild=lambda: task.build(
        config, replace(shape, classes=shape.classes + 1), None))
    if initial is not None:
        initial(model)  # weights that do not fit raise an error before a file is written
    accelerator = start(config, folder, overwrite=overwrite)
    with Trackers(config, folder) as trackers:
        fit(config, folder, dataset, accelerator, lambda: model, task.objective(config), progress=progress,
            trackers=trackers, lengthen=lengthen, initial=initial,
            judge=partial(task.judge, categories=dataset.categories))
        checkpoint = load_checkpoint(find_checkpoint(folder))
        result = _evaluate(task, checkpoint, config, folder, dataset, config.evaluate.split, accelerator.device)
        trackers.finish(result.split, result.scores)
    if accelerator.is_main_process:
        result.write()
    return result


def _open(task: Task, config: Config) -> Dataset:
    """Load the data with the text nodes and edges that the model needs."""
    task.check(config)
    dataset = task.load(config)
    return dataset.with_graph(zoo.text_nodes(config.model, shape_of(dataset)), zoo.topology(config.model))


def _build(task: Task, config: Config, dataset: Dataset) -> nn.Module:
    """Build the model from the run's seed, the same in every process."""
    set_seed(config.train.seed)
    model = task.build(config, shape_of(dataset), dataset.label_text)
    if hasattr(model, "label_text") and dataset.label_text is None and config.model.text.bank == "frozen":
        raise ConfigError("model.text.bank=frozen needs the label text of a store that was extracted with --labels; "
                          "this one has none: learn the bank with model.text.bank=learned")
    find_frozen(model, config.train.freeze)
    return model


def _evaluate(task: Task, checkpoint: Checkpoint, config: Config, folder: Path, dataset: Dataset, split: str,
              device: torch.device) -> TaskResult:
    check_fits(checkpoint, dataset)
    videos = split_of(dataset, split, "evaluate.split")
    model = task.build(checkpoint.config, shape_of(dataset), dataset.label_text)
    checkpoint.load_into(model)
    scored = task.score(model.to(device), videos, config=config, device=device, categories=dataset.categories)
    return TaskResult(task, folder, checkpoint.path, checkpoint.meta.epoch, dataset.name, dataset.synthetic, split,
                      len(videos), scored, dataset.notes)


def bind(task: Task) -> tuple[Callable[..., TaskResult], ...]:
    """Return :func:`train`, :func:`restart` and :func:`evaluate_run` of a task."""
    return tuple(partial(function, task) for function in (train, restart, evaluate_run))
