"""CMRAN: Xu, Zeng, Wu, Tan, Gan, "Cross-Modal Relation-Aware Networks for Audio-Visual Event Localization", MM 2020.

In short: audio weighs the channels (and regions) of the visual features; each modality attends to its own seconds (two
blocks), then to the other's seconds and its own at once (CMRA); the product of both streams attends to both
once more; heads for relevance and class. Full: binary cross-entropy and cross-entropy. Weak: the maximum over time of
``sigmoid(r_t) e_c`` against the video's class.

On segment vectors there is one region and the attention over regions is left out; that over channels stays.

The published code differs: audio must be 128 wide; a third of its weights are copies of layers that are never used; its
weak head has a background score that only 178 background clips could train, and its weak loss is a multi-label soft
margin on softmaxed scores; it selects the epoch on the test split. Here: any width, C classes, ``video_loss`` selects
cross-entropy or the code's loss, ``heads_interaction`` is 4 (the weak code has 2).

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, joint_term
from avsgn_pyg.baselines.regions import OneRegion, SpatialAttention, region_streams
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
from avsgn_pyg.model.losses import Objective, Term, category_term, relevance_term


class CMRAN(nn.Module):
    """The network.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: set by the data and the objective.
        dim: D.
        heads, heads_interaction: attention heads of the relation blocks, and of the last attention.
        hidden: width of their feed-forward layers.
        visual_dim: width of the visual features inside the guided attention.
    """

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, dim: int = 256, heads: int = 4, heads_interaction: int = 4, hidden: int = 2048,
                 visual_dim: int = 512) -> None:
        super().__init__()
        widths = {AUDIO: audio_width, VISUAL: visual_dim}
        block = {"heads": heads, "hidden": hidden}
        self.regions = RegionFeatures(visual_width, visual_dim)
        self.guide = ChannelAttention(audio_width, visual_dim)
        self.choose = SpatialAttention(audio_width, visual_dim) if regions else OneRegion()
        self.within = nn.ModuleDict({name: TemporalRelation(width, dim, **block) for name, width in widths.items()})
        self.across = nn.ModuleDict({name: CrossModalRelation(width, dim, **block) for name, width in widths.items()})
        self.interact = Interaction(dim, heads=heads_interaction, attention_dropout=0.1)
        self.heads = LocalizationHeads(dim, classes)

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = region_streams(batch)
        regions = self.regions(visual)
        visual = self.choose(audio, self.guide(audio, regions, regions))
        streams = {AUDIO: self.across[AUDIO](audio, self.within[VISUAL](visual)),
                   VISUAL: self.across[VISUAL](visual, self.within[AUDIO](audio))}
        category, relevance = self.heads(self.interact(streams[VISUAL], streams[AUDIO]))
        return Localization(category, relevance, stages={"relation": streams})


class CMRANObjective(Objective):
    """Full: relevance and class. Weak: multiple-instance loss on ``sigmoid(r_t) e_c``.

    Args:
        supervision: ``full`` or ``weak``.
        relevance_weight: weight of the relevance loss.
        video_loss: the weak loss; the published code uses ``soft_margin``.
    """

    only: ClassVar = {"relevance_weight": FULL_ONLY, "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, relevance_weight: float = 1.0,
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(
            supervision,
            full={"relevance": Term(relevance_term, relevance_weight), "category": Term(category_term())},
            weak={"mil": Term(joint_term(video_loss))},
        )
