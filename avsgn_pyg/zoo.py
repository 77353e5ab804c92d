"""The one table of models: name in a config -> how it is built from one.

Settings stop here: layers and losses take plain arguments, never a config.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from avsgn_pyg.config import ConfigError, ModelConfig, ObjectiveConfig
from avsgn_pyg.graph.schema import SUBGRAPHS, TEXT
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.model.cmgi import CMGI
from avsgn_pyg.model.cmsa import CMSA
from avsgn_pyg.model.head import LocalizationHead
from avsgn_pyg.model.inputs import Adapter, LabelText
from avsgn_pyg.model.objective import Objective
from avsgn_pyg.model.time import LearnedTime, NoTime, RelativeTime, SinusoidalTime, SubgraphTime


@runtime_checkable
class LabelBanks(Protocol):
    """Label-text embeddings: `audio` [C, d_a] and `visual` [C, d_v]."""

    audio: Tensor
    visual: Tensor


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a data set decides about a model, and a checkpoint must therefore remember.

    Attributes:
        audio_width, visual_width: feature widths d_a and d_v.
        segments: T.
        classes: C, background not counted.
    """

    audio_width: int
    visual_width: int
    segments: int
    classes: int


def text_nodes(config: ModelConfig, shape: Shape) -> int:
    """Text rows a video has under this config: T, or 2C with one a label."""
    return shape.segments if config.text.slots == "segments" else 2 * shape.classes


def build_model(config: ModelConfig, shape: Shape, label_text: LabelBanks | None = None) -> nn.Module:
    """The model named by ``config.name``, with fresh parameters from the global random state.

    Args:
        config: the ``model`` section.
        shape: widths and counts of the data it will see.
        label_text: the frozen label bank. ``None`` leaves it zero (a checkpoint fills it) or, with
            ``text.bank: learned``, starts it at random.

    Raises:
        ConfigError: names the setting that cannot be met, and what would work.
    """
    if config.name not in MODELS:
        raise ConfigError(f"model.name: {config.name!r} is not a model; choose one of {sorted(MODELS)}")
    try:
        return MODELS[config.name](config, shape, label_text)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model: {error}") from error


def build_objective(config: ObjectiveConfig) -> Objective:
    """The objective of the ``objective`` section."""
    return Objective(**config.model_dump())


def _avsgn(config: ModelConfig, shape: Shape, label_text: LabelBanks | None) -> AVSGN:
    width = _common_width(config, shape)
    rates, cmsa, cmgi = config.dropout, config.cmsa, config.cmgi
    by_segment = config.text.slots == "segments"
    time = {"none": NoTime, "relative": NoTime, "learned": lambda: LearnedTime(shape.segments, width),
            "sinusoidal": lambda: SinusoidalTime(width)}[config.time_encoding]
    relative = config.time_encoding == "relative"
    adapter = {"width": config.width, "norm": config.input_norm, "dropout": rates.input}
    return AVSGN(
        adapt_audio=Adapter(shape.audio_width, **adapter),
        adapt_visual=Adapter(shape.visual_width, **adapter),
        label_text=_label_text(config, shape, label_text, rows=shape.segments if by_segment else None),
        time_audio=time(),
        time_visual=time(),
        cmsa=CMSA(width, config.dim, **cmsa.model_dump(), text_asks=by_segment, dropout=rates.features,
                  attention_dropout=rates.attention, window=cmgi.window if cmgi.topology == "window" else None),
        cmgi=CMGI(config.dim, **cmgi.model_dump(), dropout=rates.graph,
                  time_bias=_graph_time(cmgi.subgraphs, config.time_slope) if relative else None),
        head=LocalizationHead(config.dim, shape.classes, **config.head.model_dump(), dropout=rates.head),
        cmsa_time=RelativeTime(cmsa.heads, slope=config.time_slope) if relative else None,
    )


def _graph_time(subgraphs: Sequence[str], slope: float) -> dict[str, SubgraphTime]:
    """Relative-time scores of every subgraph; text rows are no seconds."""
    return {name: SubgraphTime(tuple(modality != TEXT for modality in SUBGRAPHS[name]), slope=slope)
            for name in subgraphs}


def _common_width(config: ModelConfig, shape: Shape) -> int:
    if config.width is None and shape.audio_width != shape.visual_width:
        raise ConfigError(f"model.width: null needs encoders of one width, but audio features are {shape.audio_width} "
                          f"wide and visual ones {shape.visual_width}; set model.width (256, say), "
                          "which gives each a linear adapter")
    return config.width or shape.audio_width


def _label_text(config: ModelConfig, shape: Shape, bank: LabelBanks | None, rows: int | None) -> LabelText:
    learned = config.text.bank == "learned"
    if learned or bank is None:
        fill = torch.randn if learned else torch.zeros
        visual, audio = fill(shape.classes, shape.visual_width), fill(shape.classes, shape.audio_width)
    else:
        visual, audio = bank.visual, bank.audio
    for name, have, width in (("visual", visual, shape.visual_width), ("audio", audio, shape.audio_width)):
        if tuple(have.shape) != (shape.classes, width):
            raise ConfigError(f"{name} label bank: {tuple(have.shape)} came, the data need ({shape.classes}, {width}), "
                              "one row a class, as wide as its encoder's features")
    return LabelText(visual, audio, rows=rows, learned=learned)


#: ``model.name`` -> how it is built.
MODELS: dict[str, Callable[[ModelConfig, Shape, LabelBanks | None], nn.Module]] = {"avsgn": _avsgn}
