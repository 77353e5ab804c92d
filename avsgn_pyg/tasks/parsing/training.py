"""Audio-visual video parsing from a config to a table: train or resume a run, then score its selected checkpoint.

The run's folder is that of every other run (``docs/runs.md``), with checkpoints and exact resuming; instead of
accuracies it has the field's F-scores, in ``evaluation-<split>/parsing.json``. A run has one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.common.config import Config, ConfigError, HeadConfig, ModelConfig, TrainConfig
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import write_json
from avsgn_pyg.data.dataset import Dataset, Videos
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoint
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.evaluator import run_batches
from avsgn_pyg.engine.files import read_config
from avsgn_pyg.engine.initial import find_frozen
from avsgn_pyg.engine.recipes.evaluation import other_settings
from avsgn_pyg.engine.recipes.parts import check_fits, scored_splits, shape_of, split_of
from avsgn_pyg.engine.recipes.result import name_of
from avsgn_pyg.engine.recipes.training import fit, initial_of, start
from avsgn_pyg.engine.run_folder import find_checkpoint, read_run_config, run_folder
from avsgn_pyg.engine.trackers import Trackers
from avsgn_pyg.tasks.parsing.checks import check_parsing, check_parsing_run
from avsgn_pyg.tasks.parsing.metrics import evaluate_parsing, format_scores
from avsgn_pyg.tasks.parsing.model import AVSGNParser, ParsingHead, ParsingObjective, decode_parsing
from avsgn_pyg.tasks.parsing.videos import ParsingVideos, load_llp

IOU = 0.5  #: from which events match

Outputs = tuple[Float[Tensor, "N T C"], Float[Tensor, "N T C"], Float[Tensor, "N C"]]


def build_parser(config: ModelConfig, shape: zoo.Shape, label_text: zoo.LabelBanks | None = None,
                 evidence: str = "interaction") -> AVSGNParser:
    """Build AVSGN with the parsing head; arguments and errors are those of :func:`avsgn_pyg.engine.zoo.build_model`.

    Args:
        evidence: source of a second's events: ``interaction`` or ``seconds``.

    Raises:
        ConfigError: also for another model than ``avsgn``, and for settings of the head that this one replaces.
    """
    if config.name != "avsgn":
        raise ConfigError(f"model.name={config.name}: only avsgn parses videos (data.kind=llp)")
    if config.head != HeadConfig():
        raise ConfigError("model.head: its gates and segment scores localize one event; parsing has its own head")
    try:
        parts = zoo.avsgn_parts(config, shape, label_text)
        own = zoo.common_width(config, shape) if evidence == "seconds" else None
        return AVSGNParser(**parts, head=ParsingHead(config.dim, shape.classes, dropout=config.dropout.head, own=own))
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model: {error}") from error


def judge(model: nn.Module, videos: Videos, *, config: Config, device: torch.device) -> dict[str, float]:
    """Return the scores of a split, percent; segment-level Type@AV comes first and selects."""
    levels = score(parse(model, videos, device=device, batch_size=config.train.batch_size), videos)
    named = {f"{level}_{name}": value for level, scores in levels.items() for name, value in scores.items()}
    return {"segment_type_av": named["segment_type_av"]} | named


def parse(model: nn.Module, videos: Videos, *, device: torch.device | str = "cpu", batch_size: int = 64) -> Outputs:
    """Return a parser's audio and visual logits of every second and its evidence in the whole video, on the CPU."""
    return run_batches(model, videos, lambda found: (found.audio, found.visual, found.video), device, batch_size)


def score(outputs: Outputs, videos: Videos) -> dict[str, dict[str, float]]:
    """Return the field's F-scores at its thresholds, as for :func:`avsgn_pyg.tasks.parsing.metrics.evaluate_parsing`.

    Raises:
        DataError: the videos have no segment labels, as in train.
    """
    if not isinstance(videos, ParsingVideos) or videos.audible is None or videos.visible is None:
        raise DataError("these videos have no segment labels to score against; LLP annotates val and test")
    *modalities, video = outputs
    events = (decode_parsing(logits, video) for logits in modalities)
    return evaluate_parsing(*events, videos.audible.cpu(), videos.visible.cpu(), iou=IOU)


@dataclass(frozen=True)
class ParsingResult:
    """Scores of a parsing run on one split.

    Attributes:
        folder: folder of the run, or of the checkpoint.
        checkpoint: the scored checkpoint.
        epoch: epoch of the checkpoint.
        dataset, synthetic: name of the data, and whether the features are synthetic.
        split: the scored split.
        videos: number of scored videos.
        scores: ``segment`` and ``event`` -> the five F-scores, percent.
        notes: remarks on the data.
        settings: what differs from the run's own evaluation, such as other data.
    """

    folder: Path
    checkpoint: Path
    epoch: int
    dataset: str
    synthetic: bool
    split: str
    videos: int
    scores: dict[str, dict[str, float]]
    notes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def table(self) -> str:
        """Return the printed table."""
        name = self.dataset + " (synthetic features)" * self.synthetic
        head = f"{name}, {self.split}: {self.videos} videos, epoch {self.epoch}, F-scores in %"
        return "\n".join([head, format_scores(self.scores), *(f"note: {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"run": str(self.folder), "checkpoint": str(self.checkpoint), "epoch": self.epoch,
                "dataset": self.dataset, "synthetic": self.synthetic, "split": self.split, **self.scores,
                "videos": self.videos, "iou": IOU, "notes": list(self.notes), "settings": list(self.settings)}


def train(config: Config, *, overwrite: bool = False, progress: bool = True) -> ParsingResult:
    """Train a parser, then score ``evaluate.split``. A stopped run resumes exactly, a finished one is only scored.

    Args:
        overwrite: remove an earlier run in the folder.
        progress: show a bar on a terminal.

    Raises:
        ConfigError, DataError: a setting or the data cannot be used.
        RunError: the folder contains another run, or other files.
        CheckpointError: the checkpoint to resume from is damaged.
        TrainingError: a loss, a gradient norm or a weight is not finite.
    """
    return _train(config, run_folder(config), overwrite=overwrite, progress=progress)


def restart(folder: Path, overrides: Sequence[str] = (), *, progress: bool = True) -> ParsingResult:
    """Resume the run in `folder` with its own config; errors are those of :func:`train`.

    Args:
        overrides: a higher ``train.epochs``, and settings that do not change the training: ``data.root`` of data that
            moved, ``evaluate.split``.
    """
    config = read_run_config(folder, overrides)
    return _train(config, folder, overwrite=False, progress=progress, lengthen=True)


def evaluate_run(
    path: Path, *, split: str | None = None, overrides: Sequence[str] = (), device: str = "auto"
) -> ParsingResult:
    """Score a run's selected checkpoint, or a checkpoint, on a split; writes ``evaluation-<split>/parsing.json``.

    Other settings than the run's, and other data, are in the folder's name: ``evaluation-test-data=1a2b3c4d``.

    Args:
        split: ``None``: the config's ``evaluate.split``.
        overrides: dotted ``data.`` settings, for other copies of the data.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting or the data cannot be used; train has no segment labels.
    """
    [place] = check_parsing_run(path, overrides)
    checkpoint = load_checkpoint(place)
    config = read_config(checkpoint.path, overrides)
    where = make_accelerator(TrainConfig(device=device)).device
    dataset = _open(config)
    result = _evaluate(checkpoint, path, dataset, split or config.evaluate.split, where)
    return _write(replace(result, settings=tuple(other_settings(config, checkpoint, dataset))))


def _train(
    config: Config, folder: Path, *, overwrite: bool, progress: bool, lengthen: bool = False
) -> ParsingResult:
    dataset = _open(config)
    split_of(dataset, config.evaluate.split, "evaluate.split")
    scored_splits(config, dataset)
    model = _build(config, dataset)  # an invalid model raises an error before a file is written
    shape, evidence = shape_of(dataset), config.parsing.evidence
    initial = initial_of(config, dataset, [folder], overwrite=overwrite, rebuild=lambda: build_parser(
        config.model, replace(shape, classes=shape.classes + 1), evidence=evidence))
    if initial is not None:
        initial(model)  # weights that do not fit raise an error before a file is written
    accelerator = start(config, folder, overwrite=overwrite)
    objective = ParsingObjective(**config.parsing.model_dump(exclude={"evidence"}))
    with Trackers(config, folder) as trackers:
        fit(config, folder, dataset, accelerator, lambda: model, objective, progress=progress, trackers=trackers,
            lengthen=lengthen, initial=initial, judge=judge)
        checkpoint = load_checkpoint(find_checkpoint(folder))
        result = _evaluate(checkpoint, folder, dataset, config.evaluate.split, accelerator.device)
        trackers.finish(result.split, result.scores)
    return _write(result) if accelerator.is_main_process else result


def _open(config: Config) -> Dataset:
    """Load LLP with the text nodes and edges that the model needs."""
    check_parsing(config)
    dataset = load_llp(config.data)
    return dataset.with_graph(zoo.text_nodes(config.model, shape_of(dataset)), zoo.topology(config.model))


def _build(config: Config, dataset: Dataset) -> AVSGNParser:
    """Build the parser from the run's seed, the same in every process."""
    if dataset.label_text is None and config.model.text.bank == "frozen":
        raise ConfigError("model.text.bank=frozen needs the label text of a store that was extracted with --labels; "
                          "this one has none: learn the bank with model.text.bank=learned")
    set_seed(config.train.seed)
    model = build_parser(config.model, shape_of(dataset), dataset.label_text, config.parsing.evidence)
    find_frozen(model, config.train.freeze)
    return model


def _evaluate(
    checkpoint: Checkpoint, folder: Path, dataset: Dataset, split: str, device: torch.device
) -> ParsingResult:
    check_fits(checkpoint, dataset)
    config, videos = checkpoint.config, split_of(dataset, split, "evaluate.split")
    model = build_parser(config.model, shape_of(dataset), dataset.label_text, config.parsing.evidence)
    checkpoint.load_into(model)
    outputs = parse(model.to(device), videos, device=device, batch_size=config.train.batch_size)
    return ParsingResult(folder, checkpoint.path, checkpoint.meta.epoch, dataset.name, dataset.synthetic, split,
                         len(videos), score(outputs, videos), dataset.notes)


def _write(result: ParsingResult) -> ParsingResult:
    write_json(result.folder / name_of(result.split, result.settings) / "parsing.json", result.as_dict())
    return result
