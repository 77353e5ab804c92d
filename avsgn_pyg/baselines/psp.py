"""PSP: Zhou, Zheng, Zhong, Hao, Wang, "Positive Sample Propagation along the Audio-Visual Event Line", CVPR 2021.

In short: recurrent streams; the similarity of every pair of an audio and a visual second, with weak similarities
removed; each second adds the similar seconds of the other modality; the mean of the streams is scored over C classes
and background. Full: cross-entropy of every second plus 100 times the audio-visual pair similarity (AVPS), which makes
the cosine of a second's two streams follow the event. Weak: the scores of a second are weighted by
``sigmoid(relu(W s_t))``, averaged over time, and compared with the video's label.

AVEL's audio-guided attention runs first; on segment vectors there is one region, and it is left out.

The published code differs: its weak label is not the video's class but the *share of seconds* of each class and of
background, so it includes the length of the event; its weak model lacks the two linear layers and the second
normalization of the similarities, which are kept here; its weak propagation has no layer after the sum
(``layer_norm(v + cross)``), while ``audio_out`` and ``visual_out`` with their dropout are kept here; it drops the
last part of an epoch and selects the epoch on the test split. Here: the video's class only, compared by cross-entropy
(or the code's kind of loss on softmaxed scores, ``soft_margin``). The weights stay above .5, so they can at most
halve a second; nothing rewards background.

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, from_segment_scores, pooled_term
from avsgn_pyg.baselines.pairs import PROPAGATED, PositiveSamplePropagation, RecurrentStreams, mean_of, pair_term
from avsgn_pyg.baselines.regions import AudioGuidedAttention, OneRegion, region_streams
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.model.losses import Objective, Term, segment_term


class Weighting(nn.Module):
    """The weak branch: scores of a second times ``sigmoid(relu(W s_t))``, which lies in [.5, 1)."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(columns, 1, bias=False)

    def forward(self, scores: Float[Tensor, "B T K"]) -> Float[Tensor, "B T K"]:
        return scores * self.weigh(scores).relu().sigmoid()


class PSP(nn.Module):
    """The network.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: set by the data and the objective.
        hidden: LSTM units per direction; D is twice that.
        between, width: widths of the two linear layers before the LSTMs.
        threshold: on the normalized similarities; ten equal seconds have .1 each. The weak code uses .095.
        dropout: dropout rate in the propagation.
        narrow: width of the layer before the scores.
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
        audio, visual = self.propagate(*self.encode(audio, self.choose(audio, visual)))
        fused = mean_of(audio, visual)
        stages = {PROPAGATED: {AUDIO: audio, VISUAL: visual, "fused": fused}}
        return from_segment_scores(self.weigh(self.scores(fused)), stages=stages)


class PSPObjective(Objective):
    """Full: cross-entropy of every second over C + 1, and AVPS. Weak: weighted scores averaged over time.

    Args:
        supervision: ``full`` or ``weak``.
        pair_weight: weight of AVPS, the pair loss.
        pooling: over time, in the weak loss.
        video_loss: the weak loss.
    """

    only: ClassVar = {"pair_weight": FULL_ONLY, "pooling": WEAK_ONLY, "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, pair_weight: float = 100.0, pooling: Literal["mean", "max"] = "mean",
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(supervision, full={"segment": Term(segment_term), "pair": Term(pair_term, pair_weight)},
                         weak={"mil": Term(pooled_term(video_loss, pooling))})
