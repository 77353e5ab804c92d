"""CMBS: Xia, Zhao, "Cross-Modal Background Suppression for Audio-Visual Event Localization", CVPR 2022.

In words: CMRAN's relations, on recurrent features, with background held down twice. *Time level*: each modality gives
every second a gate in (0, 1), and each stream is strengthened by the **other's** gate, ``x + alpha g x``; the product
of the gates is trained to be 1 in event seconds. *Event level*: each gated stream has class activations of its own;
the mean of their four highest seconds is trained with the class and added to the class logits, ``e + gamma s``. Weak:
streams are ``(1 - alpha) x + alpha g x``; the fused class activations are weighted by both streams' sigmoid
activations, their four highest seconds averaged; the gates' mean, in place of a relevance head, shares the class
scores out over the seconds.

On segment vectors the guided attention keeps its channel half and its global visual gate; regions are one.

Published code differs: (a) the gates' product, a probability, is given to a loss that applies a sigmoid again
(``double_sigmoid``); (b) at test its weak model's gate, a probability again, passes a second sigmoid and so exceeds .5
always: no second is ever called background, which ``evaluate.tau=0`` reproduces; (c) its weak gates are computed from
the stream that they gate, here from the other, as the paper's idea has it (their mean is the same); (d) its weak loss
is a multi-label soft margin on softmaxed scores over 29 columns, the last taught by clips that cannot be encoded anew;
here C columns; (e) a third of its weights (layers that are copied and not used) never receive a gradient; (f) it
selects its epoch on the test split.

Letters: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import (
    Term,
    TermObjective,
    at_least_single,
    category_term,
    class_loss,
    joint_term,
    relevance_term,
    streams,
)
from avsgn_pyg.baselines.relation import (
    ChannelAttention,
    CrossModalRelation,
    Interaction,
    LocalizationHeads,
    RegionFeatures,
    TemporalRelation,
)
from avsgn_pyg.dropout import Dropout
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.localization import Localization

Stream = Float[Tensor, "B T D"]


def highest(activations: Float[Tensor, "B T C"], k: int = 4) -> Float[Tensor, "B C"]:
    """Mean of a class's `k` highest seconds (all of them where the video is shorter)."""
    return activations.topk(min(k, activations.shape[1]), dim=1).values.mean(1)


class GuidedAttention(nn.Module):
    """Sound weighs channels, then sight weighs itself: ``u = LN(v + W v)``, ``c + beta sigmoid(u) c``."""

    def __init__(self, audio_width: int, width: int, beta: float) -> None:
        super().__init__()
        self.value, self.norm, self.dropout = nn.Linear(width, width), nn.LayerNorm(width), Dropout(0.2)
        self.channels = ChannelAttention(audio_width, width)
        self.beta = beta

    def forward(self, audio: Float[Tensor, "B T a"], visual: Float[Tensor, "B T v"]) -> Float[Tensor, "B T v"]:
        aware = self.norm(visual + self.dropout(self.value(visual)))
        chosen = self.channels(audio, aware, visual)
        return chosen + self.beta * aware.sigmoid() * chosen


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


class CMBS(nn.Module):
    """The network; defaults are those of the full setting, the weak YAML gives the weak code's.

    Args:
        audio_width, visual_width, segments, classes, supervision: given by the data and the objective.
        dim: D, even.
        alpha, beta, gamma: of the time level, the guided attention and the event level.
        recurrent: LSTMs in front of the relations.
        heads, heads_interaction: of the relation blocks, and of the last two attentions.
        hidden, hidden_across: of the feed-forward layers within and across modalities.
        visual_dim: of the visual features inside the guided attention.
    """

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 dim: int = 256, alpha: float = 0.1, beta: float = 0.4, gamma: float = 0.3, recurrent: bool = True,
                 heads: int = 4, heads_interaction: int = 4, hidden: int = 1024, hidden_across: int = 1024,
                 visual_dim: int = 512) -> None:
        super().__init__()
        self.regions = RegionFeatures(visual_width, visual_dim)
        self.guide = GuidedAttention(audio_width, visual_dim, beta)
        self.over_time = (Recurrent if recurrent else AsTheyAre)(audio_width, visual_dim, dim)
        widths = self.over_time.widths
        self.within = nn.ModuleDict({
            name: TemporalRelation(width, dim, heads=heads, hidden=hidden) for name, width in widths.items()})
        self.across = nn.ModuleDict({
            name: CrossModalRelation(width, dim, heads=heads, hidden=hidden_across) for name, width in widths.items()})
        self.gates = nn.ModuleDict({name: nn.Linear(dim, 1) for name in widths})
        self.interact = nn.ModuleDict({
            name: Interaction(dim, heads=heads_interaction, attention_dropout=0.2) for name in widths})
        self.localize = {"full": EventLevel, "weak": ActivationLevel}[supervision](dim, classes, gamma)
        self.keep, self.alpha = {"full": 1.0, "weak": 1 - alpha}[supervision], alpha

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = streams(batch)
        audio, visual = self.over_time(audio, self.guide(audio, self.regions(visual)))
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


class CMBSObjective(TermObjective):
    """Full: relevance, class, gates and class activations. Weak: multiple instances of ``g_t e_c``.

    Args:
        supervision: ``full`` or ``weak``.
        gate_weight, activation_weight: of the time level's and the event level's loss.
        double_sigmoid: the code's loss of the gates.
        video_loss: how the weak loss compares; ``soft_margin`` is the code's.
    """

    def __init__(self, *, supervision: str, gate_weight: float = 1.0, activation_weight: float = 1.0,
                 double_sigmoid: bool = False,
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        def gate(answer: Localization, _: Tensor, relevance: Tensor) -> Tensor:
            return gate_loss(dict(answer.gates), relevance, double_sigmoid)

        def activation(answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
            return class_loss(answer.gate_category, category)

        super().__init__(
            supervision,
            full={"relevance": Term(relevance_term), "category": Term(category_term),
                  "gate": Term(gate, gate_weight), "activation": Term(activation, activation_weight)},
            weak={"mil": Term(joint_term(video_loss))},
        )
