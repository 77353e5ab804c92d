"""Audio-visual video parsing from a config to a table: train or continue, then score the selected checkpoint.

The run's folder is that of every other run (``docs/runs.md``), checkpoints and exact continuation included; in place of
its accuracies stand the field's F-scores, in ``evaluation-<split>/parsing.json``. One seed a run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed

from avsgn_pyg import zoo
from avsgn_pyg.config import Config, ConfigError, TrainConfig, load_config
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.checkpoint import CONFIG, MODEL, Checkpoint, load_checkpoint, load_weights
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.parsing import ParsingTrainer, parse, score
from avsgn_pyg.engine.report import write_json
from avsgn_pyg.engine.run_folder import RunFolder, clear, find_checkpoint, read_run_config, run_folder
from avsgn_pyg.metrics.parsing import ParsingReport
from avsgn_pyg.parsing.model import AVSGNParser, ParsingObjective
from avsgn_pyg.recipes.checks import check_parsing_run
from avsgn_pyg.recipes.parts import (
    check_fits,
    check_same_data,
    meta_of,
    open_dataset,
    selecting_split,
    shape_of,
    split_of,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParsingResult:
    """What a parsing run came to.

    Attributes:
        folder: the run's, or the checkpoint's.
        checkpoint: whose weights were scored, and the epoch behind them.
        split: of the data set called `dataset`; `synthetic` where its features are made.
        report: the scores.
        notes: what was found in the data.
    """

    folder: Path
    checkpoint: Path
    epoch: int
    dataset: str
    synthetic: bool
    split: str
    report: ParsingReport
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """What a tool prints."""
        made = " (made features)" if self.synthetic else ""
        head = f"{self.dataset}{made}, {self.split}: {self.report.videos} videos, epoch {self.epoch}, F-scores in %"
        return "\n".join([head, self.report.table(), *(f"note: {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"run": str(self.folder), "checkpoint": str(self.checkpoint), "epoch": self.epoch,
                "dataset": self.dataset, "synthetic": self.synthetic, "split": self.split, **self.report.as_dict(),
                "notes": list(self.notes)}


def train_parsing(config: Config, *, overwrite: bool = False, progress: bool = True) -> ParsingResult:
    """Train a parser, then score ``evaluate.split``. A stopped run is continued exactly, a finished one only scored.

    Args:
        overwrite: remove what an earlier run left in the folder.
        progress: show a bar on a terminal.

    Raises:
        ConfigError, DataError: a setting or the data cannot be used.
        RunError: the folder holds another run, or something else.
        CheckpointError: the checkpoint to continue from is damaged.
        TrainingError: a loss, a gradient norm or a weight is not finite.
    """
    return _train(config, run_folder(config), overwrite=overwrite, progress=progress)


def _train(config: Config, folder: Path, *, overwrite: bool, progress: bool) -> ParsingResult:
    dataset = open_dataset(config, parsing=True)
    split_of(dataset, config.evaluate.split, "evaluate.split")
    selecting = selecting_split(config, dataset)
    _check_model(config, dataset)
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    accelerator = make_accelerator(config.train)
    if overwrite and accelerator.is_main_process:
        clear(folder)
    accelerator.wait_for_everyone()
    run = RunFolder(folder)
    state = run.state(config)
    accelerator.wait_for_everyone()
    if run.last is not None:
        check_same_data(run.last, dataset)
    if state == "finished":
        logger.info("%s: finished already, scoring its selected checkpoint", folder)
    else:
        set_seed(config.train.seed)
        model = _build(config, dataset)
        set_seed(config.train.seed, device_specific=True)
        objective = ParsingObjective(**config.parsing.model_dump(exclude={"evidence"}))
        ParsingTrainer(config, model, objective, dataset.train, selecting, meta=meta_of(dataset), run=run,
                       accelerator=accelerator, progress=progress).fit()
    result = _evaluate(load_checkpoint(find_checkpoint(folder)), folder, dataset, config.evaluate.split,
                       accelerator.device)
    if accelerator.is_main_process:
        _write(result)
    return result


def restart_parsing(folder: Path, overrides: Sequence[str] = (), *, progress: bool = True) -> ParsingResult:
    """Continue the run in `folder` with its own config; errors are :func:`train_parsing`'s.

    Args:
        overrides: settings that do not change the training: ``data.root`` of data that moved, ``evaluate.split``.
    """
    return _train(read_run_config(folder, overrides), folder, overwrite=False, progress=progress)


def evaluate_parsing_run(
    path: Path, *, split: str | None = None, overrides: Sequence[str] = (), device: str = "auto"
) -> ParsingResult:
    """Score a run's selected checkpoint, or a checkpoint, on a split; writes ``evaluation-<split>/parsing.json``.

    Args:
        split: ``None`` takes the config's ``evaluate.split``.
        overrides: dotted ``data.`` settings, for other copies of the data.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting or the data cannot be used; train has no segment labels.
    """
    checkpoint = load_checkpoint(check_parsing_run(path, overrides))
    config = load_config(checkpoint.path / CONFIG, overrides)
    where = make_accelerator(TrainConfig(device=device)).device
    result = _evaluate(checkpoint, path, open_dataset(config, parsing=True), split or config.evaluate.split, where)
    _write(result)
    return result


def _build(config: Config, dataset: Dataset) -> AVSGNParser:
    return zoo.build_parser(config.model, shape_of(dataset), dataset.label_text, config.parsing.evidence)


def _check_model(config: Config, dataset: Dataset) -> None:
    """Refuse a model that cannot be built before a file is touched."""
    _build(config, dataset)
    if dataset.label_text is None and config.model.text.bank == "frozen":
        raise ConfigError("model.text.bank=frozen needs the label text of a store that was extracted with --labels; "
                          "this one has none: learn the bank with model.text.bank=learned")


def _evaluate(
    checkpoint: Checkpoint, folder: Path, dataset: Dataset, split: str, device: torch.device
) -> ParsingResult:
    check_fits(checkpoint, dataset)
    videos = split_of(dataset, split, "evaluate.split")
    model = _build(checkpoint.config, dataset)
    load_weights(model, checkpoint.weights, checkpoint.path / MODEL)
    model.to(device)
    answers = parse(model, videos, device=device, batch_size=checkpoint.config.train.batch_size)
    return ParsingResult(folder, checkpoint.path, checkpoint.meta.epoch, dataset.name, dataset.synthetic, split,
                         score(answers, videos), dataset.notes)


def _write(result: ParsingResult) -> None:
    target = result.folder / f"evaluation-{result.split}"
    target.mkdir(parents=True, exist_ok=True)
    write_json(result.as_dict(), target / "parsing.json")
