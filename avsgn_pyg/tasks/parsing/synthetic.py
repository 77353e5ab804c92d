"""Synthetic features for LLP's real annotations, to try the code from file to table without a download.

Every event has one direction in each modality. A second is the sum of the directions of its audible (or visible)
events, a constant of the modality, and noise. Val and test follow their segment labels; the events of train, which have
none, are audible, visible or both in one run of seconds, drawn by the shares below. Results say nothing about
recordings.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from avsgn_pyg.data.feature_store import Features, LabelText
from avsgn_pyg.tasks.parsing.llp import LLP

#: ``made by`` in the provenance of a store; also of stores that earlier versions wrote.
MAKER: Final = "avsgn_pyg.data.made_llp"
AUDIBLE, VISIBLE = 0.9, 0.7  #: shares of train's events (in LLP, sound is more frequent)
WHOLE = 0.5  #: share of events that fill the video
NOISE = 0.8  #: length of a second's noise; an event's direction has length 1
GAP = 0.5  #: length of the constant of a modality
TEXT_NOISE = 0.5  #: length of what the label text gets wrong about a class


def make_features(llp: LLP, *, width: int = 64, segments: int = 10, seed: int = 0) -> Features:
    """Generate features of unit length for all videos, in the order train, val, test; reproducible by `seed`."""
    draw = torch.Generator().manual_seed(seed)
    present = [_draw_times(split.labels, segments, draw) if split.audible is None else (split.audible, split.visible)
               for split in llp.splits.values()]
    streams, texts = [], []
    for marks in zip(*present, strict=True):
        centres = _directions(draw, len(llp.categories), width)
        gap = GAP * _directions(draw, 1, width)
        noise = NOISE * torch.randn(sum(map(len, marks)), segments, width, generator=draw) / width**0.5
        streams.append(normalize(torch.cat(marks).float() @ centres + gap + noise, dim=-1))
        texts.append(normalize(centres + TEXT_NOISE * _directions(draw, len(centres), width) + gap, dim=-1))
    return Features(
        *streams,
        video_ids=tuple(video for split in llp.splits.values() for video in split.video_ids),
        categories=llp.categories,
        label_text=LabelText(*texts),
        provenance={"made by": MAKER, "seed": seed, "width": width},
    )


def _directions(draw: torch.Generator, count: int, width: int) -> Float[Tensor, "C d"]:
    return normalize(torch.randn(count, width, generator=draw), dim=-1)


def _draw_times(labels: Float[Tensor, "N C"], segments: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the seconds in which train's events are audible and visible: one run each, at least one of the two."""
    audible = torch.rand(labels.shape, generator=draw) < AUDIBLE
    visible = (torch.rand(labels.shape, generator=draw) < VISIBLE) | ~audible
    return tuple(_runs(labels.bool() & part, segments, draw) for part in (audible, visible))


def _runs(present: Bool[Tensor, "N C"], segments: int, draw: torch.Generator) -> Bool[Tensor, "N T C"]:
    length = torch.randint(1, segments + 1, present.shape, generator=draw)
    length = torch.where(torch.rand(present.shape, generator=draw) < WHOLE, segments, length)
    start = (torch.rand(present.shape, generator=draw) * (segments - length + 1)).long()
    second = torch.arange(segments)[:, None]
    return present[:, None] & (second >= start[:, None]) & (second < (start + length)[:, None])
