"""PSP: Zhou, Zheng, Zhong, Hao, Wang, "Positive Sample Propagation along the Audio-Visual Event Line", CVPR 2021.

In words: recurrent streams; every pair of an audible and a visible second gets a similarity, weak ones are cut, and
each second takes up what is left of the other modality; the streams' mean is scored over C classes and background.
Full: cross-entropy of every second plus 100 times the audio-visual pair similarity (AVPS), which asks the cosine of a
second's two streams to follow the event. Weak: a second's scores are weighted by ``sigmoid(relu(W s_t))``, averaged
over time, and compared with the video's label.

In front of the streams is AVEL's audio-guided attention; on segment vectors it has one region and drops out.

Published code differs: its weak label is not the video's class but the *share of seconds* of each class and of
background, so it is told how long the event is; its weak model lacks the two linear layers and the second
normalization of the similarities, which are kept here; nor does its weak propagation have a layer behind the sum, it
is ``layer_norm(v + cross)``, where here ``audio_out`` and ``visual_out`` with their dropout are kept; it drops the
last part of an epoch and selects its epoch on the test split. Here: the video's class only, compared by cross-entropy
(or the code's kind of loss on softmaxed scores, ``soft_margin``). The weighting stays above .5, so it can at most
halve a second; nothing in it rewards background.

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, from_segment_scores
from avsgn_pyg.baselines.pairs import PROPAGATED, PositiveSamplePropagation, RecurrentStreams, mean_of, pair_term
from avsgn_pyg.baselines.regions import AudioGuidedAttention, OneRegion, region_streams
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.localization import Localization
from avsgn_pyg.losses import Objective, Term, pooled_term, segment_term


class Weighting(nn.Module):
    """The weak branch: a second's scores scaled by ``sigmoid(relu(W s_t))``, which lies in [.5, 1)."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(columns, 1, bias=False)

    def forward(self, scores: Float[Tensor, "B T K"]) -> Float[Tensor, "B T K"]:
        return scores * self.weigh(scores).relu().sigmoid()


class PSP(nn.Module):
    """The network.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: given by the data and the objective.
        hidden: of an LSTM in one direction; D is twice that.
        between, width: of the two linear layers in front of it.
        threshold: of similarities, in shares of one; a tenth is what ten equal seconds have. The weak code's is .095.
        dropout: in the propagation.
        narrow: of the layer in front of the scores.
    """

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, hidden: int = 128, between: int = 256, width: int = 128,
                 threshold: float = 0.099, dropout: float = 0.1, narrow: int = 64) -> None:
        super().__init__()
        self.choose = AudioGuidedAttention(audio_width, visual_width) if regions else OneRegion()
        self.encode = RecurrentStreams(audio_width, visual_width, between=between, width=width, hidden=hidden)
        self.propagate = PositiveSamplePropagation(2 * hidden, threshold, dropout)
        self.scores = nn.Sequential(nn.Linear(2 * hidden, narrow, bias=False), nn.ReLU(),
                                    nn.Linear(narrow, classes + 1, bias=False))
        self.weigh = {"full": nn.Identity, "weak": lambda: Weighting(classes + 1)}[supervision]()

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = region_streams(batch)
        heard, seen = self.propagate(*self.encode(audio, self.choose(audio, visual)))
        fused = mean_of(heard, seen)
        stages = {PROPAGATED: {AUDIO: heard, VISUAL: seen, "fused": fused}}
        return from_segment_scores(self.weigh(self.scores(fused)), stages=stages)


class PSPObjective(Objective):
    """Full: every second over C + 1, and AVPS. Weak: weighted scores averaged over time against the class.

    Args:
        supervision: ``full`` or ``weak``.
        pair_weight: of AVPS.
        pooling: of the weak loss over time.
        video_loss: how it compares.
    """

    only: ClassVar = {"pair_weight": FULL_ONLY, "pooling": WEAK_ONLY, "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, pair_weight: float = 100.0, pooling: Literal["mean", "max"] = "mean",
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(supervision, full={"segment": Term(segment_term), "pair": Term(pair_term, pair_weight)},
                         weak={"mil": Term(pooled_term(video_loss, pooling))})
