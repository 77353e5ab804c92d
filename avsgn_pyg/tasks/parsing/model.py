"""Audio-visual video parsing on AVSGN's graph: align and interact as in Section 3, then attentive pooling.

The paper localizes one event that is audible and visible. Parsing finds every event, and whether it is audible, visible
or both, from the names of a video's events alone. Head and objective are those of the task's own paper (Tian, Li and
Xu, *Unified Multisensory Perception: Weakly-Supervised Audio-Visual Video Parsing*, ECCV 2020): multimodal multiple
instance learning (MMIL) with attention over time and over modalities.

Shapes: B videos, T segments, D width, C classes, m one of the two modalities; p, time and modality weights are separate
for each class::

    p[t, m]  = sigmoid(W x[t, m])
    time     = softmax over t of U x[t, m]          modality = softmax over m of Q x[t, m]
    p_m      = sum_t time[t, m] p[t, m]             p_video  = sum_t sum_m time[t, m] modality[t, m] p[t, m]

The events of a second are read from the interacted stream, as published (`evidence` ``interaction``), or from the
second's own features alone (``seconds``): then the graph only weighs seconds and modalities, and nothing that it
carries from one second to another can be taken for an event there. ``docs/parsing.md`` has the difference.

The weights of ``p_video`` do not sum to one (each second's modalities do, and each modality's seconds do): it may
exceed one. The published loss clamps it, and so does ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.graph.views import as_batch
from avsgn_pyg.model.avsgn import AVSGN

#: Smallest distance of a probability from 0 and 1 before a logarithm; that of the published code.
CLAMP = 1e-7
#: Name of a batch's video labels, [B, C].
LABELS = "labels"


@dataclass(frozen=True)
class Parsing:
    """A parser's output for a batch: several events per video, each audible, visible or both.

    Attributes:
        audio, visual: [B, T, C] logits of the event being audible (visible) in the second.
        video: [B, C] evidence of the event anywhere in the video, both modalities pooled; in [0, 2).
        video_audio, video_visual: [B, C] the same of one modality, a probability.
        adjacency, stages, mask: as for :class:`~avsgn_pyg.graph.localization.Localization`.
    """

    audio: Float[Tensor, "B T C"]
    visual: Float[Tensor, "B T C"]
    video: Float[Tensor, "B C"]
    video_audio: Float[Tensor, "B C"]
    video_visual: Float[Tensor, "B C"]
    adjacency: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    mask: Bool[Tensor, "B T"] | None = None


class ParsingHead(nn.Module):
    """Attentive MMIL pooling; the three layers are shared by the modalities, as published.

    Args:
        dim: D.
        classes: C; there is no background class.
        dropout: rate on the features before all three layers (published: none).
        own: width of a second's own features, from which its events are read; ``None`` reads them from the stream.
    """

    def __init__(self, dim: int, classes: int, *, dropout: float = 0.1, own: int | None = None) -> None:
        super().__init__()
        self.own = own
        self.event = nn.Linear(own or dim, classes)
        self.time = nn.Linear(dim, classes)
        self.modality = nn.Linear(dim, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"],
                mask: Bool[Tensor, "B T"] | None = None, seconds: Float[Tensor, "B T 2 own"] | None = None) -> Parsing:
        """Pool the two streams.

        Args:
            mask: False in padding, which gets no weight.
            seconds: own features of every second, audio before visual, if the head reads them.
        """
        rows = self.dropout(torch.stack((audio, visual), dim=2))
        events = self.event(rows if seconds is None else self.dropout(seconds)).float()  # [B T 2 C]
        times = self.time(rows).float()
        if mask is not None:
            times = times.masked_fill(~mask[..., None, None], -math.inf)
        share = times.softmax(1) * events.sigmoid()
        each = share.sum(1)
        video = (share * self.modality(rows).float().softmax(2)).sum((1, 2))
        return Parsing(events[:, :, 0], events[:, :, 1], video, each[:, 0], each[:, 1], mask=mask)


class AVSGNParser(AVSGN):
    """:class:`~avsgn_pyg.model.avsgn.AVSGN` with :class:`ParsingHead` instead of its localization head."""

    def forward(self, data: HeteroData | Batch) -> Parsing:
        """Return every event of every second in both modalities, and its evidence in the whole video."""
        batch = as_batch(data)
        aligned = self.align(batch)
        interaction = self.interact(aligned, batch)
        streams, own = self.interacted(interaction, batch), None
        if self.head.own is not None:
            own = torch.stack((self.adapt_audio(aligned.encoder[AUDIO]), self.adapt_visual(aligned.encoder[VISUAL])), 2)
        parsing = self.head(streams.audio, streams.visual, aligned.mask, own)
        return dataclasses.replace(parsing, adjacency=interaction.adjacency, stages=self.stages(aligned, streams))


def decode_parsing(
    segments: Float[Tensor, "N T C"], video: Float[Tensor, "N C"], threshold: float = 0.5
) -> Bool[Tensor, "N T C"]:
    """Return one modality's events: ``sigmoid(segments) >= threshold``, if the `video` evidence reaches it too.

    The second condition is that of the AVVP protocol.
    """
    return (segments.sigmoid() >= threshold) & (video >= threshold)[:, None]


@dataclass(frozen=True)
class ParsingObjective:
    """Losses of video labels alone: of the pooled evidence (``video``) and, guided one by one, of each modality's.

    A video's label need not be true of both its sound and its sight, so a modality's target is smoothed towards 1/2.

    Attributes:
        audio_smoothing, visual_smoothing: s of ``(1 - s) y + s / 2``; published 0 and 0.1.
        guided: also sum the losses ``audio`` and ``visual`` (individual guided learning).
    """

    audio_smoothing: float = 0.0
    visual_smoothing: float = 0.1
    guided: bool = True

    labels: ClassVar = (LABELS,)

    @property
    def names(self) -> tuple[str, ...]:
        """The losses that are summed."""
        return ("video", "audio", "visual") if self.guided else ("video",)

    def __call__(self, parsing: Parsing, labels: Float[Tensor, "B C"]) -> dict[str, Tensor]:
        """Return each named loss; `labels` is 1 for the events of the video."""
        losses = {"video": event_loss(parsing.video, labels)}
        if self.guided:
            for name, found, s in (("audio", parsing.video_audio, self.audio_smoothing),
                                   ("visual", parsing.video_visual, self.visual_smoothing)):
                losses[name] = event_loss(found, (1 - s) * labels + s / 2)
        return losses

    def total(self, losses: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Return their plain sum."""
        return torch.stack(list(losses.values())).sum()


def event_loss(probability: Float[Tensor, "B C"], target: Float[Tensor, "B C"]) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of pooled probabilities, which have no logits; mean over videos and classes."""
    p = probability.float().clamp(CLAMP, 1 - CLAMP)
    return -(target * p.log() + (1 - target) * torch.log1p(-p)).mean()
