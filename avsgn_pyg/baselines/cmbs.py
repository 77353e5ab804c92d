"""CMBS: Xia, Zhao, "Cross-Modal Background Suppression for Audio-Visual Event Localization", CVPR 2022.

In short: CMRAN's relations on recurrent features, with background suppressed at two levels. *Time level*: each modality
has a gate in (0, 1) for every second, and each stream is amplified by the **other's** gate, ``x + alpha g x``; the
product of the gates is trained to be 1 in event seconds. *Event level*: each gated stream has class activations; the
mean of their four highest seconds is trained with the class and added to the class logits, ``e + gamma s``. Weak:
streams are ``(1 - alpha) x + alpha g x``; the fused class activations are weighted by both streams' sigmoid
activations, and their four highest seconds averaged; the mean of the gates replaces the relevance.

On segment vectors the guided attention keeps its channel weights and its global visual gate; the parts that compare
regions are left out.

The published code differs: (a) the product of the gates, a probability, enters a loss that applies a sigmoid again
(``double_sigmoid``); (b) at test time, its weak model's gate, a probability too, passes a second sigmoid and always
exceeds .5, so no second is labelled background, which ``evaluate.tau=0`` reproduces; (c) its weak gates are computed
from the stream that they gate, here from the other, as the paper describes (their mean is the same); (d) its weak loss
is a multi-label soft margin on softmaxed scores over 29 classes, the last trained by clips that are not available for
encoding; here C classes; (e) a third of its weights (copied layers that are not used) never receive a gradient; (f) it
selects the epoch on the test split.

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, joint_term
from avsgn_pyg.baselines.regions import region_streams
from avsgn_pyg.baselines.suppression import (
    ActivationLevel,
    EventLevel,
    GuidedAttention,
    SuppressedRelations,
    activation_term,
    gate_term,
)
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.model.losses import Objective, Term, category_term, relevance_term


class CMBS(SuppressedRelations):
    """The network. Defaults are those of the full setting; the weak YAML has those of the weak code.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: set by the data and the objective.
        dim: D, even.
        alpha, beta, gamma: weights of the time level, the guided attention and the event level.
        recurrent: whether LSTMs precede the relation blocks.
        heads, heads_interaction: attention heads of the relation blocks, and of the last two attentions.
        hidden, hidden_across: widths of the feed-forward layers within and across modalities.
        visual_dim: width of the visual features inside the guided attention.

    The dropout rate of the layer before the attention is .2 in both settings; the published weak code has .1.
    """

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, dim: int = 256, alpha: float = 0.1, beta: float = 0.4, gamma: float = 0.3,
                 recurrent: bool = True, heads: int = 4, heads_interaction: int = 4, hidden: int = 1024,
                 hidden_across: int = 1024, visual_dim: int = 512) -> None:
        localize = {"full": EventLevel, "weak": ActivationLevel}[supervision]
        super().__init__(
            audio_width=audio_width, visual_width=visual_width, supervision=supervision, dim=dim, alpha=alpha,
            recurrent=recurrent, heads=heads, heads_interaction=heads_interaction, hidden=hidden,
            hidden_across=hidden_across, visual_dim=visual_dim,
            guide=lambda: GuidedAttention(audio_width, visual_dim, beta, regions),
            localize=lambda: localize(dim, classes, gamma))

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = region_streams(batch)
        return self.relate(audio, self.guide(audio, self.regions(visual)))


class CMBSObjective(Objective):
    """Full: relevance, class, gates and class activations. Weak: multiple-instance loss on ``g_t e_c``.

    Args:
        supervision: ``full`` or ``weak``.
        gate_weight, activation_weight: weights of the losses at the time level and at the event level.
        double_sigmoid: use the gate loss of the published code.
        video_loss: the weak loss; the published code uses ``soft_margin``.
    """

    only: ClassVar = {"gate_weight": FULL_ONLY, "activation_weight": FULL_ONLY, "double_sigmoid": FULL_ONLY,
                      "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, gate_weight: float = 1.0, activation_weight: float = 1.0,
                 double_sigmoid: bool = False,
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(
            supervision,
            full={"relevance": Term(relevance_term), "category": Term(category_term()),
                  "gate": Term(gate_term(double_sigmoid), gate_weight),
                  "activation": Term(activation_term, activation_weight)},
            weak={"mil": Term(joint_term(video_loss))},
        )
