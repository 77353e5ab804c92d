"""AVSDN: Lin, Li, Wang, "Dual-modality Seq2Seq Network for Audio-visual Event Localization", ICASSP 2019.

In short: one LSTM encodes the audio, one the visual stream; their fused last states initialize a third LSTM, which
decodes both modalities second by second and scores every second over C classes and background. The encoders summarize
the whole video, the decoder describes each second. Full: cross-entropy of every second; weak: scores pooled over time.

The authors' own code was not available. A copy in a later paper's repository (CPSP) fuses hidden and cell states each
by AVEL's dual residual block, on rectified states, in both directions of bidirectional LSTMs, as here. That copy
has two heads instead of the paper's segment scores; the segment scores are used here.

AVEL's audio-guided attention over regions runs first, as in that copy; it is left out on segment vectors.

Shapes: B videos, T segments, H width of a state, C classes.
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
from avsgn_pyg.model.losses import Objective, Term, segment_term

State = Float[Tensor, "2 B H"]


class StateFusion(nn.Module):
    """``(tanh(a + m) + tanh(v + m)) / 2``, m the mean of both transformed states; hidden and cell states share it."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.audio, self.visual = (
            nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, hidden)) for _ in range(2))

    def forward(self, audio: State, visual: State) -> State:
        audio, visual = audio.relu(), visual.relu()
        merged = (self.audio(audio) + self.visual(visual)) / 2
        return (torch.tanh(audio + merged) + torch.tanh(visual + merged)) / 2


class AVSDN(nn.Module):
    """Two encoders, a fusion of their states, a decoder.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: set by the data and the objective.
        hidden: H, LSTM units per direction.
    """

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, hidden: int = 128) -> None:
        super().__init__()
        self.choose = AudioGuidedAttention(audio_width, visual_width) if regions else OneRegion()
        self.read_audio, self.read_visual, self.decode = (
            nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
            for width in (audio_width, visual_width, audio_width + visual_width))
        self.fuse = StateFusion(hidden)
        self.scores = nn.Linear(2 * hidden, classes + 1)

    def forward(self, batch: HeteroData) -> Localization:
        audio, regions = region_streams(batch)
        visual = self.choose(audio, regions)
        (_, audio_state), (_, visual_state) = self.read_audio(audio), self.read_visual(visual)
        state = tuple(self.fuse(one, two) for one, two in zip(audio_state, visual_state, strict=True))
        decoded, _ = self.decode(torch.cat((audio, visual), -1), state)
        return from_segment_scores(self.scores(decoded.relu()))


class AVSDNObjective(Objective):
    """Full: cross-entropy of every second over C + 1. Weak: scores pooled over time against the video's class.

    Args:
        supervision: ``full`` or ``weak``.
        pooling: over time, in the weak loss.
        video_loss: the weak loss.
    """

    only: ClassVar = {"pooling": WEAK_ONLY, "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, pooling: Literal["max", "mean"] = "max",
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(supervision, full={"segment": Term(segment_term)},
                         weak={"mil": Term(pooled_term(video_loss, pooling))})
