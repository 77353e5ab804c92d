"""VSCG: Jiang, Yin, Dang, "Leveraging the Video-level Semantic Consistency of Event for Audio-visual Event
Localization", IEEE Transactions on Multimedia 2023.

In short: PSP's recurrent streams and propagation; then two convolutions and poolings over time, shared by modalities,
summarize the *whole video* (cross-modal event representation); the summary is the initial state of a bidirectional GRU
over each stream (intra-modal semantic consistency); the mean of the streams has a relevance and a class head. Full:
relevance, class, and a loss on pairs of both streams.

AVEL's audio-guided attention runs first; on segment vectors there is one region, and it is left out.

The published code differs: its pooling halves the length twice, dropping an odd second, and works only for eight to
eleven seconds (here the same, and two steps for any other length); it decodes with a threshold of .7, chosen on the
reported split; it selects the epoch on the test split; its weak label is PSP's share of seconds. *Not implemented*: the
paper's own pair loss, which filters negative pairs (PSP's AVPS is used instead, with the code's weight of 1), and the
weak model, which scores every second over 29 classes, initializes each GRU with the other modality's summary, and
applies a second softmax to smooth its loss. The weak row is the full model with the maximum over time of ``sigmoid(r_t)
e_c`` against the class, as in CPSP.

Shapes: B videos, T segments, D width of a stream (both directions), h half of it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, joint_term
from avsgn_pyg.baselines.pairs import PROPAGATED, PositiveSamplePropagation, RecurrentStreams, mean_of, pair_term
from avsgn_pyg.baselines.regions import AudioGuidedAttention, OneRegion, region_streams
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.model.losses import Objective, Term, category_term, relevance_term


class EventRepresentation(nn.Module):
    """Summary of a video: two convolutions over time, each with ReLU and pooling, down to two steps of width h.

    The two steps are the initial states of the two directions of a recurrent layer.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(dim, dim // 2, 5, padding=2)
        self.second = nn.Conv1d(dim // 2, dim // 2, 5, padding=2)

    def forward(self, rows: Float[Tensor, "B T D"]) -> Float[Tensor, "2 B h"]:
        found = self.first(rows.mT).relu()
        found = self.second(F.max_pool1d(found, min(2, found.shape[-1]))).relu()
        even = max(1, found.shape[-1] // 2 * 2)
        return F.adaptive_max_pool1d(found[..., :even], 2).permute(2, 0, 1).contiguous()


class SemanticConsistency(nn.Module):
    """A GRU over each stream, initialized with the mean summary of both."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.about = EventRepresentation(dim)
        self.audio_time, self.visual_time = (
            nn.GRU(dim, dim // 2, batch_first=True, bidirectional=True) for _ in range(2))
        self.audio_out, self.visual_out = (
            nn.Sequential(nn.Linear(dim, dim, bias=False), nn.ReLU(), nn.Dropout(dropout)) for _ in range(2))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"]) -> tuple[Tensor, Tensor]:
        start = (self.about(audio) + self.about(visual)) / 2
        audio, visual = self.audio_time(audio, start)[0], self.visual_time(visual, start)[0]
        return self.norm(self.audio_out(audio)), self.norm(self.visual_out(visual))


class VSCG(nn.Module):
    """The network.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: set by the data and the objective.
        hidden: LSTM units per direction; D is twice that.
        between, width: widths of the two linear layers before the LSTMs.
        threshold: propagation threshold; weaker similarities are removed.
        dropout, dropout_consistency: dropout rates in the propagation, and after the GRUs.
    """

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, hidden: int = 128, between: int = 256, width: int = 128,
                 threshold: float = 0.099, dropout: float = 0.2, dropout_consistency: float = 0.1) -> None:
        super().__init__()
        self.choose = AudioGuidedAttention(audio_width, visual_width) if regions else OneRegion()
        self.encode = RecurrentStreams(audio_width, visual_width, between=between, width=width, hidden=hidden)
        self.propagate = PositiveSamplePropagation(2 * hidden, threshold, dropout)
        self.consist = SemanticConsistency(2 * hidden, dropout_consistency)
        self.relevance = nn.Linear(2 * hidden, 1)
        self.category = nn.Linear(2 * hidden, classes)

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = region_streams(batch)
        audio, visual = self.consist(*self.propagate(*self.encode(audio, self.choose(audio, visual))))
        fused = mean_of(audio, visual)
        return Localization(self.category(fused.amax(1)), self.relevance(fused).squeeze(-1),
                            stages={PROPAGATED: {AUDIO: audio, VISUAL: visual, "fused": fused}})


class VSCGObjective(Objective):
    """Full: relevance, class and pair similarity. Weak: multiple-instance loss on ``sigmoid(r_t) e_c``.

    Args:
        supervision: ``full`` or ``weak``.
        pair_weight: weight of the pair loss.
        video_loss: the weak loss.
    """

    only: ClassVar = {"pair_weight": FULL_ONLY, "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, pair_weight: float = 1.0,
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(
            supervision,
            full={"relevance": Term(relevance_term), "category": Term(category_term()),
                  "pair": Term(pair_term, pair_weight)},
            weak={"mil": Term(joint_term(video_loss))},
        )
