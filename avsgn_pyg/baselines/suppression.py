"""Cross-modal background suppression, introduced by CMBS and built upon by CACE-Net.

Shapes: B videos, T segments, R regions, D width, C classes, a / v widths of the features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.baselines.regions import (
    Alone,
    Chosen,
    GlobalAttention,
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
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.localization import Localization
from avsgn_pyg.losses import Loss, at_least_single, class_loss

Stream = Float[Tensor, "B T D"]


def highest(activations: Float[Tensor, "B T C"], k: int = 4) -> Float[Tensor, "B C"]:
    """Mean of a class's `k` highest seconds (all of them where the video is shorter)."""
    return activations.topk(min(k, activations.shape[1]), dim=1).values.mean(1)


class GuidedAttention(nn.Module):
    """Sound weighs channels and chooses among regions, then sight weighs itself.

    Regions that have asked each other, ``u = LN(v + mix(W v))``, are what sound is compared with; of what it chooses,
    c, the view of the whole picture strengthens channels: ``c + beta sigmoid(whole(u)) c``.
    """

    def __init__(self, audio_width: int, width: int, beta: float, regions: bool) -> None:
        super().__init__()
        self.value, self.norm, self.dropout = nn.Linear(width, width), nn.LayerNorm(width), nn.Dropout(0.2)
        self.channels = ChannelAttention(audio_width, width)
        self.mix = RegionMixing(width) if regions else Alone()
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


class AsTheyAre(nn.Module):
    """Features without a recurrent layer (the weak code)."""

    def __init__(self, audio_width: int, visual_width: int, dim: int) -> None:
        super().__init__()
        self.widths = {AUDIO: audio_width, VISUAL: visual_width}

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return audio, visual


class EventLevel(nn.Module):
    """Full supervision: heads on the fused streams, and the class activations of each stream beside them."""

    def __init__(self, dim: int, classes: int, gamma: float) -> None:
        super().__init__()
        self.audio, self.visual = nn.Linear(dim, classes), nn.Linear(dim, classes)
        self.heads = LocalizationHeads(dim, classes)
        self.gamma = gamma

    def forward(self, heard: Stream, seen: Stream, fused: Stream, gates: dict[str, Tensor]) -> Localization:
        activation = (highest(self.visual(seen)) + highest(self.audio(heard))) / 2
        category, relevance = self.heads(fused)
        return Localization(category + self.gamma * activation, relevance, gate_category=activation, gates=gates)


class ActivationLevel(nn.Module):
    """Weak supervision: fused class activations weighted by each stream's; the gates' mean is the relevance."""

    def __init__(self, dim: int, classes: int, gamma: float) -> None:
        super().__init__()
        self.audio, self.visual = nn.Linear(dim, classes), nn.Linear(dim, classes)
        self.fused = nn.Linear(dim, classes, bias=False)
        self.gamma = gamma

    def forward(self, heard: Stream, seen: Stream, fused: Stream, gates: dict[str, Tensor]) -> Localization:
        weight = self.visual(seen).sigmoid() + self.audio(heard).sigmoid()
        category = highest(self.gamma * weight * self.fused(fused))
        gate = at_least_single(gates[AUDIO] + gates[VISUAL]).squeeze(-1) / 2
        return Localization(category, gate.logit(eps=1e-6), gates=gates)


class SuppressedRelations(nn.Module):
    """CMRAN's relations with the time level in them; what a method has in front and behind is its own.

    Args:
        visual_width: of the features; inside, sight is `visual_dim` wide.
        audio_width: of the features.
        supervision: ``full`` or ``weak``, under which streams are ``(1 - alpha) x + alpha g x``.
        guide: makes the attention in front: (audio, visual) in, the chosen features out.
        localize: makes what reads both streams, their fusion and the gates.
    """

    def __init__(self, *, audio_width: int, visual_width: int, supervision: str, dim: int, alpha: float,
                 recurrent: bool, heads: int, heads_interaction: int, hidden: int, hidden_across: int,
                 visual_dim: int, guide: Callable[[], nn.Module], localize: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.regions = RegionFeatures(visual_width, visual_dim)
        self.guide = guide()
        self.over_time = (Recurrent if recurrent else AsTheyAre)(audio_width, visual_dim, dim)
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
        """Guided features as an answer."""
        audio, visual = self.over_time(audio, visual)
        known = {AUDIO: self.within[AUDIO](audio), VISUAL: self.within[VISUAL](visual)}
        gates = {name: self.gates[name](rows).sigmoid() for name, rows in known.items()}
        heard = self.suppress(self.across[AUDIO](audio, known[VISUAL]), gates[VISUAL])
        seen = self.suppress(self.across[VISUAL](visual, known[AUDIO]), gates[AUDIO])
        both = self.interact[VISUAL](seen, heard)
        fused = (both + self.interact[AUDIO](heard, both)) / 2
        return self.localize(heard, seen, fused, gates)

    def suppress(self, rows: Stream, gate: Float[Tensor, "B T 1"]) -> Stream:
        """The time level: what the other modality takes for background keeps only its base."""
        return self.keep * rows + self.alpha * gate * rows


def gate_loss(gates: dict[str, Tensor], target: Float[Tensor, "B T"], double_sigmoid: bool) -> Float[Tensor, ""]:
    """Binary cross-entropy of ``g_a g_v``; the code takes the product for a logit."""
    product = at_least_single(gates[AUDIO] * gates[VISUAL]).squeeze(-1)
    logits = product if double_sigmoid else torch.logit(product, eps=1e-6)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def gate_term(double_sigmoid: bool) -> Loss:
    """The time level's loss of an answer's gates."""

    def loss(answer: Localization, _: Tensor, relevance: Tensor) -> Tensor:
        return gate_loss(dict(answer.gates), relevance, double_sigmoid)

    return loss


def activation_term(answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
    """The event level's loss: class activations of both streams against the class."""
    return class_loss(answer.gate_category, category)
