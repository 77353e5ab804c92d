"""Cross-modal background suppression, introduced by CMBS and used by CACE-Net.

Shapes: B videos, T segments, R regions, D width, C classes, a / v widths of the features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.baselines.regions import (
    Chosen,
    GlobalAttention,
    NoMixing,
    OneRegion,
    RegionMixing,
    Regions,
    SpatialAttention,
)
from avsgn_pyg.baselines.relation import (
    ChannelAttention,
    CrossModalRelation,
    Interaction,
    LocalizationHeads,
    RegionFeatures,
    TemporalRelation,
)
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.model.losses import Loss, at_least_single, class_loss

Stream = Float[Tensor, "B T D"]


def highest(activations: Float[Tensor, "B T C"], k: int = 4) -> Float[Tensor, "B C"]:
    """Mean of the `k` highest seconds of each class, or of all if the video is shorter."""
    return activations.topk(min(k, activations.shape[1]), dim=1).values.mean(1)


class GuidedAttention(nn.Module):
    """Audio weighs visual channels and regions, then a global visual gate weighs channels.

    Audio is compared with the regions after self-attention, ``u = LN(v + mix(W v))``. The channels of the weighted sum
    c of regions are amplified by the global gate: ``c + beta sigmoid(whole(u)) c``.
    """

    def __init__(self, audio_width: int, width: int, beta: float, regions: bool) -> None:
        super().__init__()
        self.value, self.norm, self.dropout = nn.Linear(width, width), nn.LayerNorm(width), nn.Dropout(0.2)
        self.channels = ChannelAttention(audio_width, width)
        self.mix = RegionMixing(width) if regions else NoMixing()
        self.choose = SpatialAttention(audio_width, width) if regions else OneRegion()
        self.whole = GlobalAttention(width) if regions else OneRegion()
        self.beta = beta

    def forward(self, audio: Float[Tensor, "B T a"], visual: Regions) -> Chosen:
        aware = self.norm(visual + self.dropout(self.mix(visual, self.value(visual))))
        chosen = self.choose(audio, self.channels(audio, aware, visual))
        return chosen + self.beta * self.whole(aware).sigmoid() * chosen


class Recurrent(nn.Module):
    """A bidirectional LSTM for each modality, the visual one twice as wide."""

    def __init__(self, audio_width: int, visual_width: int, dim: int) -> None:
        super().__init__()
        self.audio = nn.LSTM(audio_width, dim // 2, batch_first=True, bidirectional=True)
        self.visual = nn.LSTM(visual_width, dim, batch_first=True, bidirectional=True)
        self.widths = {AUDIO: dim // 2 * 2, VISUAL: 2 * dim}

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return self.audio(audio)[0], self.visual(visual)[0]


class NotRecurrent(nn.Module):
    """Features without a recurrent layer, as in the weak code."""

    def __init__(self, audio_width: int, visual_width: int, dim: int) -> None:
        super().__init__()
        self.widths = {AUDIO: audio_width, VISUAL: visual_width}

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return audio, visual


class EventLevel(nn.Module):
    """Full supervision: heads on the fused streams, plus the class activations of each stream."""

    def __init__(self, dim: int, classes: int, gamma: float) -> None:
        super().__init__()
        self.audio, self.visual = nn.Linear(dim, classes), nn.Linear(dim, classes)
        self.heads = LocalizationHeads(dim, classes)
        self.gamma = gamma

    def forward(self, audio: Stream, visual: Stream, fused: Stream, gates: dict[str, Tensor]) -> Localization:
        activation = (highest(self.visual(visual)) + highest(self.audio(audio))) / 2
        category, relevance = self.heads(fused)
        return Localization(category + self.gamma * activation, relevance, gate_category=activation, gates=gates)


class ActivationLevel(nn.Module):
    """Weak supervision: fused class activations weighted by each stream's; the mean of the gates is the relevance."""

    def __init__(self, dim: int, classes: int, gamma: float) -> None:
        super().__init__()
        self.audio, self.visual = nn.Linear(dim, classes), nn.Linear(dim, classes)
        self.fused = nn.Linear(dim, classes, bias=False)
        self.gamma = gamma

    def forward(self, audio: Stream, visual: Stream, fused: Stream, gates: dict[str, Tensor]) -> Localization:
        weight = self.visual(visual).sigmoid() + self.audio(audio).sigmoid()
        category = highest(self.gamma * weight * self.fused(fused))
        gate = at_least_single(gates[AUDIO] + gates[VISUAL]).squeeze(-1) / 2
        return Localization(category, gate.logit(eps=1e-6), gates=gates)


class SuppressedRelations(nn.Module):
    """CMRAN's relations with the time level; a method adds its guided attention and its heads.

    Args:
        visual_width: of the features; `visual_dim` after the first layer.
        audio_width: of the features.
        supervision: ``full`` or ``weak``, under which streams are ``(1 - alpha) x + alpha g x``.
        guide: returns the attention module, which maps audio and visual to guided features.
        localize: returns the module that maps both streams, their fusion and the gates to a Localization.
    """

    def __init__(self, *, audio_width: int, visual_width: int, supervision: str, dim: int, alpha: float,
                 recurrent: bool, heads: int, heads_interaction: int, hidden: int, hidden_across: int,
                 visual_dim: int, guide: Callable[[], nn.Module], localize: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.regions = RegionFeatures(visual_width, visual_dim)
        self.guide = guide()
        self.over_time = (Recurrent if recurrent else NotRecurrent)(audio_width, visual_dim, dim)
        widths = self.over_time.widths
        self.within = nn.ModuleDict({
            name: TemporalRelation(width, dim, heads=heads, hidden=hidden) for name, width in widths.items()})
        self.across = nn.ModuleDict({
            name: CrossModalRelation(width, dim, heads=heads, hidden=hidden_across) for name, width in widths.items()})
        self.gates = nn.ModuleDict({name: nn.Linear(dim, 1) for name in widths})
        self.interact = nn.ModuleDict({
            name: Interaction(dim, heads=heads_interaction, attention_dropout=0.2) for name in widths})
        self.localize = localize()
        self.keep, self.alpha = {"full": 1.0, "weak": 1 - alpha}[supervision], alpha

    def relate(self, audio: Float[Tensor, "B T a"], visual: Float[Tensor, "B T v"]) -> Localization:
        """Return the Localization of guided features."""
        audio, visual = self.over_time(audio, visual)
        within = {AUDIO: self.within[AUDIO](audio), VISUAL: self.within[VISUAL](visual)}
        gates = {name: self.gates[name](rows).sigmoid() for name, rows in within.items()}
        audio = self.suppress(self.across[AUDIO](audio, within[VISUAL]), gates[VISUAL])
        visual = self.suppress(self.across[VISUAL](visual, within[AUDIO]), gates[AUDIO])
        both = self.interact[VISUAL](visual, audio)
        fused = (both + self.interact[AUDIO](audio, both)) / 2
        return self.localize(audio, visual, fused, gates)

    def suppress(self, rows: Stream, gate: Float[Tensor, "B T 1"]) -> Stream:
        """The time level: seconds with a low gate of the other modality are not amplified."""
        return self.keep * rows + self.alpha * gate * rows


def gate_loss(gates: dict[str, Tensor], target: Float[Tensor, "B T"], double_sigmoid: bool) -> Float[Tensor, ""]:
    """Binary cross-entropy of ``g_a g_v``; the code uses the product as a logit."""
    product = at_least_single(gates[AUDIO] * gates[VISUAL]).squeeze(-1)
    logits = product if double_sigmoid else torch.logit(product, eps=1e-6)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def gate_term(double_sigmoid: bool) -> Loss:
    """The loss of the time level, on the gates."""

    def loss(output: Localization, _: Tensor, relevance: Tensor) -> Tensor:
        return gate_loss(dict(output.gates), relevance, double_sigmoid)

    return loss


def activation_term(output: Localization, category: Tensor, _: Tensor | None) -> Tensor:
    """The loss of the event level: class activations of both streams against the class."""
    return class_loss(output.gate_category, category)
