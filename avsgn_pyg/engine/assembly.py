"""AVSGN's modules from the ``model`` section of a config, up to the head that a task puts on top.

Settings stop here and in :mod:`avsgn_pyg.engine.zoo`: layers take plain arguments.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.common.settings import ModelConfig
from avsgn_pyg.graph.schema import SUBGRAPHS, TEXT
from avsgn_pyg.layers.convolution import Convolution, TypedConvolution
from avsgn_pyg.layers.time import LearnedTime, NoTime, RelativeTime, SinusoidalTime, SubgraphTime
from avsgn_pyg.model.cmgi import CMGI
from avsgn_pyg.model.cmsa import CMSA
from avsgn_pyg.model.inputs import Adapter, LabelText


@runtime_checkable
class LabelBanks(Protocol):
    """Label-text embeddings: `audio` [C, d_a] and `visual` [C, d_v]."""

    audio: Tensor
    visual: Tensor


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes that a dataset determines, stored with every checkpoint.

    Attributes:
        audio_width, visual_width: feature widths d_a and d_v.
        segments: T, of the longest video.
        classes: C, without background.
        regions: R, visual features per second; 1 for a single vector.
        rate: segments a second.
    """

    audio_width: int
    visual_width: int
    segments: int
    classes: int
    regions: int = 1
    rate: int = 1


def avsgn_parts(config: ModelConfig, shape: Shape, label_text: LabelBanks | None) -> dict[str, Any]:
    """Return all modules before the head."""
    width = common_width(config, shape)
    rates, cmsa, cmgi = config.dropout, config.cmsa, config.cmgi
    by_segment = config.text.slots == "segments"
    time = {"none": NoTime, "relative": NoTime, "learned": lambda: LearnedTime(shape.segments, width),
            "sinusoidal": lambda: SinusoidalTime(width)}[config.time_encoding]
    relative = config.time_encoding == "relative"
    adapter = {"width": config.width, "norm": config.input_norm, "dropout": rates.input}
    return {
        "adapt_audio": Adapter(shape.audio_width, **adapter),
        "adapt_visual": Adapter(shape.visual_width, **adapter),
        "label_text": _label_text(config, shape, label_text, rows=shape.segments if by_segment else None),
        "time_audio": time(),
        "time_visual": time(),
        "cmsa": CMSA(width, config.dim, **cmsa.model_dump(), text_queries=by_segment, dropout=rates.features,
                     attention_dropout=rates.attention, window=cmgi.window if cmgi.topology == "window" else None),
        "cmgi": _cmgi(config),
        "cmsa_time": RelativeTime(cmsa.inter_heads or cmsa.heads, slope=config.time_slope) if relative else None,
    }


def _cmgi(config: ModelConfig) -> CMGI:
    cmgi = config.cmgi
    by_subgraph = not isinstance(cmgi.conv, str)

    def conv(subgraph: str) -> nn.Module:
        name, options = ((cmgi.conv[subgraph], cmgi.conv_options.get(subgraph)) if by_subgraph
                         else (cmgi.conv, cmgi.conv_options))
        typed = cmgi.relations == "typed"
        return (TypedConvolution if typed else lambda build: build())(
            lambda: Convolution(config.dim, name, options, cmgi.backend))

    def time(subgraph: str) -> SubgraphTime:  # text nodes have no time
        timed = tuple(modality != TEXT for modality in SUBGRAPHS[subgraph])
        return SubgraphTime(timed, slope=config.time_slope)

    return CMGI(config.dim, conv, layers=cmgi.layers, subgraphs=cmgi.subgraphs, residual=cmgi.residual, norm=cmgi.norm,
                adjacency=cmgi.adjacency, topk=cmgi.topk, dropout=config.dropout.graph,
                as_list=cmgi.relations == "typed" or cmgi.backend == "native",
                time=time if config.time_encoding == "relative" else None)


def common_width(config: ModelConfig, shape: Shape) -> int:
    """Width of both adapted modalities; ConfigError where ``model.width`` is needed and missing."""
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
            raise ConfigError(f"{name} label bank must be ({shape.classes}, {width}), one row per class and as wide as "
                              f"the features of its encoder, got {tuple(have.shape)}")
    return LabelText(visual, audio, rows=rows, learned=learned)
