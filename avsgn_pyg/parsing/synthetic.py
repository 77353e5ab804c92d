"""Made features for LLP's real annotations: the code can be tried from file to table without a download.

Every event has one direction in each modality; a second holds the directions of what is heard (or seen) in it, a
constant that keeps the modalities apart, and noise. Val and test follow their segment labels. Train has none: each of a
video's events is heard, seen or both in one run of seconds, by the shares below. No number on it says anything about
recordings.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from avsgn_pyg.data.feature_store import Features, LabelText
from avsgn_pyg.parsing.llp import LLP, WeakLabels

MAKER: Final = "avsgn_pyg.data.made_llp"
HEARD, SEEN = 0.9, 0.7  #: shares of train's events that are heard, that are seen (LLP: sound is there more often)
WHOLE = 0.5  #: share of events that fill the video
NOISE = 0.8  #: length of a second's noise; an event's direction has length 1
GAP = 0.5  #: length of the constant of a modality
TEXT_NOISE = 0.5  #: length of what the label text gets wrong about a class


def made_features(llp: LLP, *, width: int = 64, segments: int = 10, seed: int = 0) -> Features:
    """Features of unit length for all annotated videos, in the order train, val, test; one seed, one outcome."""
    draw = torch.Generator().manual_seed(seed)
    present: list[tuple[Tensor, Tensor]] = []
    for split, weak in llp.weak.items():
        timed = llp.segments.get(split)
        present.append(_imagined(weak, segments, draw) if timed is None else (timed.audio, timed.visual))
    streams, texts = [], []
    for marks in zip(*present, strict=True):
        centres = _directions(draw, len(llp.categories), width)
        gap = GAP * _directions(draw, 1, width)
        streams.append(_stream(torch.cat(marks), centres, gap, draw))
        texts.append(normalize(centres + TEXT_NOISE * _directions(draw, len(centres), width) + gap, dim=-1))
    return Features(
        *streams,
        video_ids=tuple(name for weak in llp.weak.values() for name in weak.video_ids),
        categories=llp.categories,
        label_text=LabelText(*texts),
        provenance={"made by": MAKER, "seed": seed, "width": width},
    )


def _directions(draw: torch.Generator, count: int, width: int) -> Float[Tensor, "C d"]:
    return normalize(torch.randn(count, width, generator=draw), dim=-1)


def _stream(
    marks: Bool[Tensor, "N T C"], centres: Float[Tensor, "C d"], gap: Float[Tensor, "1 d"], draw: torch.Generator
) -> Float[Tensor, "N T d"]:
    width = centres.shape[-1]
    noise = NOISE * torch.randn(*marks.shape[:2], width, generator=draw) / width**0.5
    return normalize(marks.float() @ centres + gap + noise, dim=-1)


def _imagined(weak: WeakLabels, segments: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """When train's events are heard and seen: one run each, at least one of the two."""
    shape = weak.labels.shape
    heard = torch.rand(shape, generator=draw) < HEARD
    seen = (torch.rand(shape, generator=draw) < SEEN) | ~heard
    there = weak.labels.bool()
    return (_runs(there & heard, segments, draw), _runs(there & seen, segments, draw))


def _runs(there: Bool[Tensor, "N C"], segments: int, draw: torch.Generator) -> Bool[Tensor, "N T C"]:
    length = torch.randint(1, segments + 1, there.shape, generator=draw)
    length = torch.where(torch.rand(there.shape, generator=draw) < WHOLE, segments, length)
    start = (torch.rand(there.shape, generator=draw) * (segments - length + 1)).long()
    second = torch.arange(segments)[:, None]
    return there[:, None] & (second >= start[:, None]) & (second < (start + length)[:, None])
