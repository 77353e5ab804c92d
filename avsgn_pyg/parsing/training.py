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
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg import zoo
from avsgn_pyg.config import Config, ConfigError, HeadConfig, ModelConfig, TrainConfig, load_config
from avsgn_pyg.data.dataset import Dataset, Videos
from avsgn_pyg.engine.checkpoint import CONFIG, MODEL, Checkpoint, load_checkpoint, load_weights
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.losses import Learner
from avsgn_pyg.engine.report import write_json
from avsgn_pyg.engine.run_folder import RunFolder, clear, find_checkpoint, read_run_config, run_folder
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.errors import DataError
from avsgn_pyg.parsing.checks import check_parsing, check_parsing_run
from avsgn_pyg.parsing.metrics import ParsingReport, evaluate_parsing
from avsgn_pyg.parsing.model import AVSGNParser, ParsingHead, ParsingObjective, decode_parsing
from avsgn_pyg.parsing.videos import LABELS, ParsingVideos, load_llp
from avsgn_pyg.recipes.parts import check_fits, check_same_data, meta_of, selecting_split, shape_of, split_of

logger = logging.getLogger(__name__)


def build_parser(config: ModelConfig, shape: zoo.Shape, label_text: zoo.LabelBanks | None = None,
                 evidence: str = "interaction") -> AVSGNParser:
    """AVSGN with the head of audio-visual video parsing; arguments and errors are :func:`avsgn_pyg.zoo.build_model`'s.

    Args:
        evidence: what a second's events are read from, ``interaction`` or ``seconds``.

    Raises:
        ConfigError: also for another model than ``avsgn``, and for settings of the head that this one replaces.
    """
    if config.name != "avsgn":
        raise ConfigError(f"model.name={config.name}: videos are parsed (data.kind=llp) by avsgn alone")
    if config.head != HeadConfig():
        raise ConfigError("model.head: its gates and segment scores localize one event; parsing has a head of its own")
    try:
        parts = zoo.avsgn_parts(config, shape, label_text)
        own = zoo.common_width(config, shape) if evidence == "seconds" else None
        head = ParsingHead(config.dim, shape.classes, dropout=config.dropout.head, own=own)
        return AVSGNParser(**parts, head=head)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model: {error}") from error


class ParsingLearner(Learner):
    """Hands the objective what the videos hold, and nothing else."""

    def forward(self, batch: HeteroData) -> tuple[dict[str, Tensor], Tensor]:
        losses = self.objective(self.model(batch), batch[LABELS])
        return losses, self.objective.total(losses)


class ParsingTrainer(Trainer):
    """:class:`~avsgn_pyg.engine.trainer.Trainer` for parsers; the epoch is selected by segment-level Type@AV."""

    learner_type = ParsingLearner

    def judge(self, model: nn.Module, videos: Videos) -> dict[str, float]:
        """Segment- and event-level scores of the selecting split, percent; Type@AV of segments comes first."""
        answers = parse(model, videos, device=self.accelerator.device, batch_size=self.recipe.batch_size)
        report = score(answers, videos)
        scores = {"segment_type_av": report.segment.type_av}
        for level in ("segment", "event"):
            scores |= {f"{level}_{name}": value for name, value in getattr(report, level)._asdict().items()}
        return scores


@dataclass(frozen=True, eq=False)
class ParsingAnswers:
    """A split's answers, in its order, on the CPU.

    Attributes:
        audio, visual: [N, T, C] logits of every second.
        video: [N, C] evidence in the whole video.
    """

    audio: Float[Tensor, "N T C"]
    visual: Float[Tensor, "N T C"]
    video: Float[Tensor, "N C"]

    def events(self, threshold: float = 0.5) -> tuple[Bool[Tensor, "N T C"], Bool[Tensor, "N T C"]]:
        """What is heard and what is seen; see :func:`avsgn_pyg.parsing.model.decode_parsing`."""
        return tuple(decode_parsing(each, self.video, threshold) for each in (self.audio, self.visual))


@torch.inference_mode()
def parse(
    model: nn.Module, videos: Videos, *, device: torch.device | str = "cpu", batch_size: int = 64
) -> ParsingAnswers:
    """Run a parser, in evaluation mode, over `videos`; its mode is put back, and no random number is drawn."""
    training = model.training
    model.eval()
    answers = []
    try:
        for index in torch.arange(len(videos)).split(batch_size):
            found = model(videos.batch(index).to(device))
            answers.append((found.audio, found.visual, found.video))
    finally:
        model.train(training)
    return ParsingAnswers(*(torch.cat(parts).float().cpu() for parts in zip(*answers, strict=True)))


def score(answers: ParsingAnswers, videos: Videos) -> ParsingReport:
    """The field's F-scores at its thresholds.

    Raises:
        DataError: the videos have no segment labels, as train has none.
    """
    if not isinstance(videos, ParsingVideos) or videos.heard is None or videos.seen is None:
        raise DataError("these videos have no segment labels to score against; LLP annotates val and test")
    return evaluate_parsing(*answers.events(), videos.heard.cpu(), videos.seen.cpu())


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


def train(config: Config, *, overwrite: bool = False, progress: bool = True) -> ParsingResult:
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
    dataset = _open(config)
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


def restart(folder: Path, overrides: Sequence[str] = (), *, progress: bool = True) -> ParsingResult:
    """Continue the run in `folder` with its own config; errors are :func:`train`'s.

    Args:
        overrides: settings that do not change the training: ``data.root`` of data that moved, ``evaluate.split``.
    """
    return _train(read_run_config(folder, overrides), folder, overwrite=False, progress=progress)


def evaluate_run(
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
    result = _evaluate(checkpoint, path, _open(config), split or config.evaluate.split, where)
    _write(result)
    return result


def _open(config: Config) -> Dataset:
    """LLP with the text nodes and edges that the model needs."""
    check_parsing(config)
    dataset = load_llp(config.data)
    return dataset.with_graph(zoo.text_nodes(config.model, shape_of(dataset)), zoo.topology(config.model))


def _build(config: Config, dataset: Dataset) -> AVSGNParser:
    return build_parser(config.model, shape_of(dataset), dataset.label_text, config.parsing.evidence)


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
