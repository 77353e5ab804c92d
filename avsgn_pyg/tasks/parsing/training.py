"""Audio-visual video parsing from a config to a table: train or resume a run, then score its selected checkpoint.

The run's folder is that of every other run (``docs/runs.md``), with checkpoints and exact resuming; instead of
accuracies it has the field's F-scores, in ``evaluation-<split>/parsing.json``. A run has one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import HeadConfig, ModelConfig
from avsgn_pyg.data.dataset import Dataset, Videos
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.assembly import avsgn_parts, common_width
from avsgn_pyg.engine.evaluator import join, run_batches
from avsgn_pyg.engine.recipes import task, training
from avsgn_pyg.engine.recipes.parts import with_graph
from avsgn_pyg.tasks.parsing.checks import check_parsing
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
        parts = avsgn_parts(config, shape, label_text)
        own = common_width(config, shape) if evidence == "seconds" else None
        return AVSGNParser(**parts, head=ParsingHead(config.dim, shape.classes, dropout=config.dropout.head, own=own))
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model: {error}") from error


def judge(
    model: nn.Module, videos: Videos, *, config: Config, device: torch.device, categories: Sequence[str]
) -> dict[str, float]:
    """Return the scores of a split, percent; segment-level Type@AV comes first and selects."""
    levels = score(parse(model, videos, device=device, batch_size=config.train.batch_size), videos)
    named = {f"{level}_{name}": value for level, scores in levels.items() for name, value in scores.items()}
    return {"segment_type_av": named["segment_type_av"]} | named


def parse(model: nn.Module, videos: Videos, *, device: torch.device | str = "cpu", batch_size: int = 64) -> Outputs:
    """Return a parser's audio and visual logits of every second and its evidence in the whole video, on the CPU."""
    heads = run_batches(model, videos, lambda found, _: (found.audio, found.visual, found.video), device, batch_size)
    return join(heads)


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


def _open(config: Config) -> Dataset:
    check_parsing(config)
    return with_graph(config, load_llp(config.data))


def _build(config: Config, shape: zoo.Shape, label_text: zoo.LabelBanks | None) -> AVSGNParser:
    return build_parser(config.model, shape, label_text, config.parsing.evidence)


def _score(
    model: nn.Module, videos: Videos, *, config: Config, device: torch.device, categories: Sequence[str]
) -> task.Scored:
    scores = score(parse(model, videos, device=device, batch_size=config.train.batch_size), videos)
    return task.Scored(scores, format_scores(scores))


TASK: Final = task.Task(
    name="a parser's score", unit="F-scores in %", file="parsing.json", check=check_parsing, open=_open, build=_build,
    objective=lambda config: ParsingObjective(**config.parsing.model_dump(exclude={"evidence"})),
    judge=judge, score=_score, facts={"iou": IOU}, free=("data.",))

train, restart = (partial(function, task=TASK) for function in (training.train, training.restart))
evaluate_run = partial(task.evaluate_run, TASK)
