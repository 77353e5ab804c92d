"""The table of models: name in a config -> functions that build the model and its objective.

Models, layers and losses take plain arguments, not configs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import nn

from avsgn_pyg.baselines import (
    actionformer,
    avel,
    avsdn,
    cacenet,
    cmbs,
    cmran,
    cpsp,
    late_fusion,
    per_second,
    psp,
    vscg,
)
from avsgn_pyg.baselines.common import PreparedInputs
from avsgn_pyg.baselines.options import build_with
from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.common.errors import did_you_mean
from avsgn_pyg.common.settings import DenseConfig, ModelConfig, ObjectiveConfig
from avsgn_pyg.engine.assembly import LabelBanks, Shape, avsgn_parts
from avsgn_pyg.engine.checkpoint import Checkpoint
from avsgn_pyg.graph.localization import Ensemble
from avsgn_pyg.graph.topology import Topology
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.model.dense import AVSGNDense, DenseHead
from avsgn_pyg.model.dense_losses import DenseObjective
from avsgn_pyg.model.head import LocalizationHead
from avsgn_pyg.model.losses import AVSGNObjective, Objective
from avsgn_pyg.model.open_vocabulary import OpenAVSGN, TextHead


def text_nodes(config: ModelConfig, shape: Shape) -> int:
    """Text nodes per video: T, or 2C with one per label of each modality."""
    return shape.segments if config.text.slots == "segments" else 2 * shape.classes


def topology(config: ModelConfig) -> Topology | None:
    """The topology of this model's batches; ``None`` for models without message passing."""
    return Topology(config.cmgi.topology, config.cmgi.window) if config.name == "avsgn" else None


#: Settings of the section ``dense`` that the head of avsgn and the objective take.
HEAD: Final = {"levels", "reach", "layers", "kernel"}
OBJECTIVE: Final = {"interval_weight", "alpha", "gamma"}


@dataclasses.dataclass(frozen=True)
class Row:
    """A model of the table.

    Attributes:
        model: ``(config, shape, label bank, supervision) -> model``, which maps a batch to a Localization; in
            :data:`DENSE`, with the section ``dense`` instead of the supervision, to a DenseOutput.
        objective: ``config -> objective``, of the section ``objective`` or ``dense``.
        regional: whether it can use several regions per second.
        segment_scores: whether it returns C + 1 scores per second; for avsgn this is a setting.
    """

    model: Callable[[ModelConfig, Shape, LabelBanks | None, Any], nn.Module]
    objective: Callable[[Any], Any]
    regional: bool = False
    segment_scores: bool = False


def build_model(config: ModelConfig, shape: Shape, label_text: LabelBanks | None = None,
                supervision: str = "full", dense: DenseConfig | None = None) -> nn.Module:
    """Build the model named by ``config.name``, with parameters from the global random state.

    Args:
        config: the ``model`` section.
        shape: sizes of the data.
        label_text: the frozen label bank. ``None`` gives zeros, to be filled from a checkpoint, or random values with
            ``text.bank: learned``.
        supervision: of the objective; some baselines have different layers under weak supervision.
        dense: the ``dense`` section, for a model of several events a video with float times.

    Raises:
        ConfigError: names the setting that cannot be used, and what would work.
    """
    row = find_row(config.name, MODELS if dense is None else DENSE)
    if shape.regions > 1:
        refuse_maps(config.name)
    try:
        return row.model(config, shape, label_text, dense or supervision)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model: {error}") from error


def load_model(checkpoint: Checkpoint, shape: Shape | None = None) -> nn.Module:
    """Rebuild a checkpoint's model with its weights, in evaluation mode, on the CPU; the random state is not changed.

    Args:
        shape: of the data, if they may differ from the training data (longer videos, regions).

    Raises:
        ConfigError: as for :func:`build_model`.
        CheckpointError: the weights do not fit the model.
    """
    config, meta = checkpoint.config, checkpoint.meta
    shape = shape or Shape(meta.audio_width, meta.visual_width, meta.segments, len(meta.categories), rate=meta.rate)
    with torch.random.fork_rng(devices=[]):
        model = build_model(config.model, shape, supervision=config.objective.supervision, dense=config.events)
    checkpoint.load_into(model)
    return model.eval()


def load_models(checkpoints: Sequence[Checkpoint], shape: Shape | None = None) -> nn.Module:
    """Return :func:`load_model` of one checkpoint, or the ensemble of several, which are of one run."""
    models = [load_model(checkpoint, shape) for checkpoint in checkpoints]
    return Ensemble(models) if len(models) > 1 else models[0]


def with_labels(model: nn.Module, text: LabelBanks) -> nn.Module:
    """Return an :class:`OpenAVSGN`, or an ensemble of them, with the text of other labels as its text nodes."""
    if isinstance(model, Ensemble):
        return Ensemble([with_labels(member, text) for member in model.members])
    return model.with_labels(text.audio, text.visual)


def build_objective(config: ObjectiveConfig | DenseConfig, model: str = "avsgn") -> Any:
    """Build the objective of the ``objective`` or ``dense`` section for the model named `model`.

    Raises:
        ConfigError: no such model, or an option that its objective does not have.
    """
    row = find_row(model, DENSE if isinstance(config, DenseConfig) else MODELS)
    try:
        return row.objective(config)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"objective: {error}") from error


def find_row(name: str, table: dict[str, Row] | None = None) -> Row:
    """Return the row of the model `name`, of :data:`MODELS` by default.

    Raises:
        ConfigError: no such model; lists the models.
    """
    table = MODELS if table is None else table
    if name not in table:
        kind = " of data.kind=dense" if table is DENSE else ""
        raise ConfigError(f"model.name: {name!r} is not a model{kind}; choose one of {sorted(table)}"
                          f"{did_you_mean(name, table)}")
    return table[name]


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
    """The row of a published method; arguments of its classes other than shape and supervision are its options.

    Every method also has ``input_norm`` and ``input_dropout``, for tables in which all methods share a recipe.
    """

    def build(config: ModelConfig, shape: Shape, _: LabelBanks | None, supervision: str) -> nn.Module:
        given = dataclasses.asdict(shape) | {"regions": shape.regions > 1}
        del given["rate"]
        if not regional:
            del given["regions"]
        inputs = {name: value for name, value in config.options.items() if name in ("input_norm", "input_dropout")}
        options = {name: value for name, value in config.options.items() if name not in inputs}
        built = build_with(model, options, **given, supervision=supervision)
        if not inputs:
            return built
        if shape.regions > 1:
            raise ValueError("input_norm and input_dropout need one vector per second, got regions; set "
                             "data.regions=pool")
        widths = {"audio_width": shape.audio_width, "visual_width": shape.visual_width}
        return build_with(PreparedInputs, inputs, model=built, **widths)

    return Row(build, lambda config: build_with(objective, config.options, supervision=config.supervision), regional,
               segment_scores)


def _avsgn(config: ModelConfig, shape: Shape, label_text: LabelBanks | None, _: str) -> AVSGN:
    settings = config.head.model_dump(exclude={"classifier"}) | {"dropout": config.dropout.head}
    if config.head.classifier == "text":
        del settings["segment_scores"]
        head = TextHead(config.dim, shape.audio_width, shape.visual_width, **settings,
                        input_dropout=config.dropout.input)
        return OpenAVSGN(**avsgn_parts(config, shape, label_text), head=head)
    head = LocalizationHead(config.dim, shape.classes, **settings)
    return AVSGN(**avsgn_parts(config, shape, label_text), head=head)


def _avsgn_dense(config: ModelConfig, shape: Shape, label_text: LabelBanks | None, dense: DenseConfig) -> AVSGNDense:
    head = DenseHead(config.dim, rate=shape.rate, dropout=config.dropout.head, **dense.model_dump(include=HEAD))
    return AVSGNDense(**avsgn_parts(config, shape, label_text), head=head)


def _dense_objective(dense: DenseConfig) -> DenseObjective:
    return DenseObjective(**dense.model_dump(include=OBJECTIVE))


def _dense_baseline(model: type[nn.Module], objective: Callable[[DenseConfig], Any], unread: set[str]) -> Row:
    """The row of a baseline, which does not read the settings `unread` of the section ``dense``."""

    def build(config: ModelConfig, shape: Shape, _: LabelBanks | None, dense: DenseConfig) -> nn.Module:
        if changed := sorted(name for name in unread if getattr(dense, name) != dense.default(name)):
            raise ConfigError(f"dense.{changed[0]}: model.name={config.name} does not read it, but has model.options; "
                              "leave it out")
        given = {name: getattr(shape, name) for name in ("audio_width", "visual_width", "classes", "rate")}
        return build_with(model, config.options, **given)

    return Row(build, objective)


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

#: The same for several events a video with float times (``data.kind=dense``).
DENSE: dict[str, Row] = {
    "avsgn": Row(_avsgn_dense, _dense_objective),
    "actionformer": _dense_baseline(actionformer.ActionFormer, _dense_objective, HEAD),
    "per_second": _dense_baseline(per_second.PerSecond, lambda _: per_second.PerSecondObjective(), HEAD | OBJECTIVE),
}
