"""AVEL: Tian, Shi, Li, Duan, Xu, "Audio-Visual Event Localization in Unconstrained Videos", ECCV 2018.

In short: audio attends to the 7 x 7 regions of the picture; a bidirectional LSTM runs over each modality; the dual
multimodal residual block (DMRN) adds the mean of both transformed streams to each stream, ``tanh(h + (U_a h_a + U_v
h_v) / 2)``, and averages the two results; one layer scores every second over C classes and background.

On segment vectors there is one region, whose attention weight is 1, and the attention is left out. On maps it is the
paper's, which adds the audio term to every region; the code adds its k-th value to the k-th region.

The published code differs: it uses a multi-label soft margin on softmaxed scores instead of cross-entropy; in the
block, the residual of each stream is the *other* stream (after one block the average is the same); its weak model has
no DMRN but concatenates the streams before two layers, and pools by the maximum; 178 background clips, which are not
available for encoding, train its background score; its full setting selects the epoch on the test split (its "val"
reads the test order). Here: cross-entropy (``soft_margin`` is an option of the weak loss), each stream's own residual,
``fusion: concat`` for the weak row. Without those clips, nothing rewards background under weak supervision.

Shapes: B videos, T segments, D width of a stream (both directions), C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import WEAK_ONLY, from_segment_scores, pooled_term
from avsgn_pyg.baselines.regions import AudioGuidedAttention, OneRegion, region_streams
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.model.losses import Objective, Term, segment_term


class DualResidual(nn.Module):
    """DMRN: `blocks` residual steps that share their transforms, then the mean of both streams."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__()
        self.transform_audio = _transform(dim)
        self.transform_visual = _transform(dim)
        self.blocks = blocks

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        for _ in range(self.blocks):
            merged = (self.transform_audio(audio) + self.transform_visual(visual)) / 2
            audio, visual = torch.tanh(audio + merged), torch.tanh(visual + merged)
        return (audio + visual) / 2


def _transform(dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, dim))


class Concatenation(nn.Module):
    """The weak row's fusion: concatenation, ReLU, and a narrow layer."""

    def __init__(self, dim: int, narrow: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(2 * dim, narrow)

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"]) -> Float[Tensor, "B T n"]:
        return self.narrow(torch.cat((audio, visual), -1).relu()).relu()


class AVEL(nn.Module):
    """LSTMs, a fusion, and C + 1 scores per second.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: set by the data and the objective.
        hidden: LSTM units per direction; D is twice that.
        fusion: ``dmrn`` or ``concat``.
        blocks: number of ``dmrn`` blocks.
        narrow: width of the hidden layer of ``concat``.
    """

    only: ClassVar = {"blocks": ("fusion", "dmrn"), "narrow": ("fusion", "concat")}

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, hidden: int = 128, fusion: Literal["dmrn", "concat"] = "dmrn", blocks: int = 1,
                 narrow: int = 64) -> None:
        super().__init__()
        self.choose = AudioGuidedAttention(audio_width, visual_width) if regions else OneRegion()
        self.over_time = nn.ModuleDict({
            AUDIO: nn.LSTM(audio_width, hidden, batch_first=True, bidirectional=True),
            VISUAL: nn.LSTM(visual_width, hidden, batch_first=True, bidirectional=True)})
        self.fuse = {"dmrn": lambda: DualResidual(2 * hidden, blocks),
                     "concat": lambda: Concatenation(2 * hidden, narrow)}[fusion]()
        self.scores = nn.Linear({"dmrn": 2 * hidden, "concat": narrow}[fusion], classes + 1)

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = region_streams(batch)
        (audio, _), (visual, _) = self.over_time[AUDIO](audio), self.over_time[VISUAL](self.choose(audio, visual))
        return from_segment_scores(self.scores(self.fuse(audio, visual)))


class AVELObjective(Objective):
    """Full: cross-entropy of every second over C + 1. Weak: scores pooled over time against the video's class.

    Args:
        supervision: ``full`` or ``weak``.
        pooling: over time, in the weak loss; the published code uses ``max``.
        video_loss: the weak loss; the published code uses ``soft_margin``.
    """

    only: ClassVar = {"pooling": WEAK_ONLY, "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, pooling: Literal["max", "mean"] = "max",
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(supervision, full={"segment": Term(segment_term)},
                         weak={"mil": Term(pooled_term(video_loss, pooling))})
