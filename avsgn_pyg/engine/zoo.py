"""The table of models: name in a config -> functions that build the model and its objective.

Models, layers and losses take plain arguments, not configs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from avsgn_pyg.baselines import avel, avsdn, cacenet, cmbs, cmran, cpsp, late_fusion, psp, vscg
from avsgn_pyg.baselines.options import build_with
from avsgn_pyg.common.config import ConfigError, ModelConfig, ObjectiveConfig
from avsgn_pyg.common.errors import did_you_mean
from avsgn_pyg.graph.localization import Ensemble
from avsgn_pyg.graph.schema import SUBGRAPHS, TEXT
from avsgn_pyg.graph.topology import Topology
from avsgn_pyg.layers.convolution import Convolution, TypedConvolution
from avsgn_pyg.layers.time import LearnedTime, NoTime, RelativeTime, SinusoidalTime, SubgraphTime
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.model.cmgi import CMGI
from avsgn_pyg.model.cmsa import CMSA
from avsgn_pyg.model.head import LocalizationHead
from avsgn_pyg.model.inputs import Adapter, LabelText
from avsgn_pyg.model.losses import AVSGNObjective, Objective


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
    """

    audio_width: int
    visual_width: int
    segments: int
    classes: int
    regions: int = 1


def text_nodes(config: ModelConfig, shape: Shape) -> int:
    """Text nodes per video: T, or 2C with one per label of each modality."""
    return shape.segments if config.text.slots == "segments" else 2 * shape.classes


def topology(config: ModelConfig) -> Topology | None:
    """The topology of this model's batches; ``None`` for models without message passing."""
    return Topology(config.cmgi.topology, config.cmgi.window) if config.name == "avsgn" else None


@dataclasses.dataclass(frozen=True)
class Row:
    """A model of the table.

    Attributes:
        model: ``(config, shape, label bank, supervision) -> model``, which maps a batch to a Localization.
        objective: ``config -> objective``.
        regional: whether it can use several regions per second.
        segment_scores: whether it returns C + 1 scores per second; for avsgn this is a setting.
    """

    model: Callable[[ModelConfig, Shape, LabelBanks | None, str], nn.Module]
    objective: Callable[[ObjectiveConfig], Any]
    regional: bool = False
    segment_scores: bool = False


def build_model(config: ModelConfig, shape: Shape, label_text: LabelBanks | None = None,
                supervision: str = "full") -> nn.Module:
    """Build the model named by ``config.name``, with parameters from the global random state.

    Args:
        config: the ``model`` section.
        shape: sizes of the data.
        label_text: the frozen label bank. ``None`` gives zeros, to be filled from a checkpoint, or random values with
            ``text.bank: learned``.
        supervision: of the objective; some baselines have different layers under weak supervision.

    Raises:
        ConfigError: names the setting that cannot be used, and what would work.
    """
    row = find_row(config.name)
    if shape.regions > 1:
        refuse_maps(config.name)
    try:
        return row.model(config, shape, label_text, supervision)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model: {error}") from error


@runtime_checkable
class Trained(Protocol):
    """A checkpoint: its settings and metadata, and a function that loads its weights into a model."""

    config: Any
    meta: Any
    load_into: Callable[[nn.Module], None]


def load_model(checkpoint: Trained, shape: Shape | None = None) -> nn.Module:
    """Rebuild a checkpoint's model with its weights, in evaluation mode, on the CPU; the random state is not changed.

    Args:
        shape: of the data, if they may differ from the training data (longer videos, regions).

    Raises:
        ConfigError: as for :func:`build_model`.
        CheckpointError: the weights do not fit the model.
    """
    config, meta = checkpoint.config, checkpoint.meta
    shape = shape or Shape(meta.audio_width, meta.visual_width, meta.segments, len(meta.categories))
    with torch.random.fork_rng(devices=[]):
        model = build_model(config.model, shape, supervision=config.objective.supervision)
    checkpoint.load_into(model)
    return model.eval()


def load_models(checkpoints: Sequence[Trained], shape: Shape | None = None) -> nn.Module:
    """Return :func:`load_model` of one checkpoint, or the ensemble of several, which are of one run."""
    models = [load_model(checkpoint, shape) for checkpoint in checkpoints]
    return Ensemble(models) if len(models) > 1 else models[0]


def build_objective(config: ObjectiveConfig, model: str = "avsgn") -> Any:
    """Build the objective of the ``objective`` section for the model named `model`.

    Raises:
        ConfigError: no such model, or an option that its objective does not have.
    """
    row = find_row(model)
    try:
        return row.objective(config)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"objective: {error}") from error


def find_row(name: str) -> Row:
    """Return the row of the model `name`.

    Raises:
        ConfigError: no such model; lists the models.
    """
    if name not in MODELS:
        raise ConfigError(f"model.name: {name!r} is not a model; choose one of {sorted(MODELS)}"
                          f"{did_you_mean(name, MODELS)}")
    return MODELS[name]


def scores_segments(config: ModelConfig) -> bool:
    """Whether the model returns C + 1 scores per second, which are decoded without tau."""
    return config.head.segment_scores or find_row(config.name).segment_scores


def refuse_maps(name: str) -> None:
    """Raise ConfigError for a model that cannot use regions; lists the models that can."""
    if not find_row(name).regional:
        regional = sorted(other for other, row in MODELS.items() if row.regional)
        raise ConfigError(f"data.regions=keep: model.name={name} uses one vector per second; set data.regions=pool, "
                          f"or choose one of {regional}")


def _objective(config: ObjectiveConfig) -> Objective:
    return AVSGNObjective(**config.model_dump(exclude={"options"}))


def _baseline(
    model: type[nn.Module], objective: type, *, regional: bool = True, segment_scores: bool = False
) -> Row:
    """The row of a published method; arguments of its classes other than shape and supervision are its options."""

    def build(config: ModelConfig, shape: Shape, _: LabelBanks | None, supervision: str) -> nn.Module:
        given = dataclasses.asdict(shape) | {"regions": shape.regions > 1}
        if not regional:
            del given["regions"]
        return build_with(model, config.options, **given, supervision=supervision)

    return Row(build, lambda config: build_with(objective, config.options, supervision=config.supervision), regional,
               segment_scores)


def _avsgn(config: ModelConfig, shape: Shape, label_text: LabelBanks | None, _: str) -> AVSGN:
    head = LocalizationHead(config.dim, shape.classes, **config.head.model_dump(), dropout=config.dropout.head)
    return AVSGN(**avsgn_parts(config, shape, label_text), head=head)


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


#: ``model.name`` -> how it is built and trained.
MODELS: dict[str, Row] = {
    "avsgn": Row(_avsgn, _objective),
    "late_fusion": _baseline(late_fusion.LateFusion, late_fusion.LateFusionObjective, regional=False),
    "avel": _baseline(avel.AVEL, avel.AVELObjective, segment_scores=True),
    "avsdn": _baseline(avsdn.AVSDN, avsdn.AVSDNObjective, segment_scores=True),
    "cmran": _baseline(cmran.CMRAN, cmran.CMRANObjective),
    "cmbs": _baseline(cmbs.CMBS, cmbs.CMBSObjective),
    "cacenet": _baseline(cacenet.CACENet, cacenet.CACENetObjective),
    "psp": _baseline(psp.PSP, psp.PSPObjective, segment_scores=True),
    "cpsp": _baseline(cpsp.CPSP, cpsp.CPSPObjective),
    "vscg": _baseline(vscg.VSCG, vscg.VSCGObjective),
}
