"""What training does to a batch before the model sees it: new pairs, pasted boundaries, turned time, noise.

All draw from torch's own generator of the batch's device, so that a resumed run draws what an
uninterrupted one would have drawn.

Letters: B videos, T seconds of the longest, d_a / d_v feature widths. `real` is False where a second only fills a
shorter video up (``None`` where all are as long): no such second is given to another, and none is turned or pasted.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import HeteroData

from avsgn_pyg.config import AugmentConfig
from avsgn_pyg.graph.regions import has_regions
from avsgn_pyg.graph.schema import AUDIO, CATEGORY, NO_EVENT, PASTED, RELEVANCE, VISUAL
from avsgn_pyg.graph.views import padded_view

#: A pasted run leaves at least this many event seconds, the shortest event of AVE.
SHORTEST_EVENT = 2


Real = Bool[Tensor, "B T"] | None


class _Seconds(NamedTuple):
    """What augmentation may change of a batch."""

    audio: Float[Tensor, "B T da"]
    visual: Float[Tensor, "B T dv"]
    relevance: Float[Tensor, "B T"]
    pasted: Float[Tensor, "B T"]


def augment(batch: HeteroData, recipe: AugmentConfig, *, segment_labels: bool = True) -> HeteroData:
    """The batch after the recipe; the one given is left as it is. With every rate 0, the same object.

    Args:
        batch: as :meth:`avsgn_pyg.data.dataset.Videos.batch` builds it.
        recipe: ``recombine`` is the probability, for each video, of :func:`recombine`; ``boundary`` that of
            :func:`paste_boundaries`; ``time_flip`` that its seconds run backwards (sound, sight and relevance
            alike); ``noise`` is the standard deviation of Gaussian noise in units of each stream's root
            mean square over the batch.
        segment_labels: whether relevance may be read, which weak supervision forbids.

    Raises:
        ValueError: videos with regions.
    """
    if not (recipe.recombine or recipe.boundary or recipe.time_flip or recipe.noise):
        return batch
    if has_regions(batch):
        raise ValueError("train.augment changes one vector a second, and this batch holds regions of its seconds; "
                         "set its rates to 0, or data.regions=pool")
    (audio, real), (visual, _) = padded_view(batch, AUDIO), padded_view(batch, VISUAL)
    seconds, given = _Seconds(audio, visual, batch[RELEVANCE], torch.zeros_like(batch[RELEVANCE])), batch[CATEGORY]
    known = {"segment_labels": segment_labels, "real": real}
    if recipe.recombine:
        seconds = recombine(seconds, given, recipe.recombine, **known)
    if recipe.boundary:
        seconds = paste_boundaries(seconds, given, recipe.boundary, **known)
    if recipe.time_flip:
        flipped = torch.rand(len(given), device=given.device) < recipe.time_flip
        seconds = _Seconds(*(flip_time(part, flipped, real) for part in seconds))
    changed = copy.copy(batch)
    for node, block in ((AUDIO, seconds.audio), (VISUAL, seconds.visual)):
        rows = block.flatten(0, 1) if real is None else block[real]
        changed[node].x = add_noise(rows, recipe.noise) if recipe.noise else rows
    changed[RELEVANCE], changed[PASTED] = seconds.relevance, seconds.pasted
    return changed


def recombine(
    seconds: _Seconds, category: Int[Tensor, "B"], rate: float, *, segment_labels: bool, real: Real = None
) -> _Seconds:
    """Give videos the sight of another video of their class in the batch, so that pairs are not learnt by heart.

    With segment labels only videos whose event lasts all their seconds take part: sound and sight then both hold
    the event in every second, and the labels stay right. Without them any video of the class does, and what
    stays right is the class. A partner is no shorter than the video itself.

    Args:
        seconds: audio [B, T, d_a], visual [B, T, d_v], relevance [B, T].
        category: classes of the videos; those without an event take no part.
        rate: probability for each video that has a partner.
        segment_labels: whether relevance may be read.
    """
    videos = len(category)
    filling = torch.zeros_like(seconds.relevance, dtype=torch.bool) if real is None else ~real
    whole = torch.ones_like(category, dtype=torch.bool)
    if segment_labels:
        whole = (seconds.relevance.bool() | filling).all(1)
    whole = whole & (category != NO_EVENT)
    partners = (category[:, None] == category) & whole[:, None] & whole
    partners = partners & (filling.sum(1)[:, None] >= filling.sum(1))
    partners = partners & ~torch.eye(videos, dtype=torch.bool, device=category.device)
    drawn = (torch.rand(videos, videos, device=category.device) * partners).argmax(1)
    takes = partners.any(1) & (torch.rand(videos, device=category.device) < rate)
    return seconds._replace(visual=torch.where(takes[:, None, None], seconds.visual[drawn], seconds.visual))


def paste_boundaries(
    seconds: _Seconds, category: Int[Tensor, "B"], rate: float, *, segment_labels: bool, real: Real = None
) -> _Seconds:
    """Give videos a boundary that is right by definition: paste another class over one modality.

    An event is what is both heard and seen. So where a run of seconds at either end of a video takes its sound
    (or its sight) from a video of another class in the batch, that run is background, whatever it was (unless the
    donor happens to hold the class too). The class stays. A video keeps its own seconds where the donor has the
    same class or ends within the run, or where fewer than :data:`SHORTEST_EVENT` event seconds would be left.

    Without segment labels nobody can say what is left, so the run takes half of the video at most, and relevance is
    handed on unread. The run is background all the same, and `pasted` says where: the one thing that weak
    supervision may know of a second (the loss ``pasted`` reads it).

    Args:
        seconds: audio [B, T, d_a], visual [B, T, d_v], relevance and pasted [B, T].
        category: classes of the videos.
        rate: probability for each video.
        segment_labels: whether relevance may be read.
    """
    videos, segments = seconds.relevance.shape
    device = category.device
    end = segments if real is None else real.sum(1, keepdim=True)
    longest = end - 1 if segment_labels else end // 2
    if real is None and not longest:
        return seconds
    donor = torch.randint(videos, (videos,), device=device)
    length = _lengths(longest, videos, device)
    chance, at_start, takes_audio = torch.rand(3, videos, 1, device=device)
    second = torch.arange(segments, device=device)
    run = torch.where(at_start < 0.5, second < length, second >= end - length)
    run = run & (chance < rate) & (category[donor] != category)[:, None]
    if real is not None:
        run = run & real & (length <= longest)
        run = run & (real[donor] | ~run).all(1, keepdim=True)
    if segment_labels:
        run = run & ((seconds.relevance * ~run).sum(1, keepdim=True) >= SHORTEST_EVENT)
    heard = (run & (takes_audio < 0.5))[..., None]
    seen = (run & (takes_audio >= 0.5))[..., None]
    return _Seconds(
        audio=torch.where(heard, seconds.audio[donor], seconds.audio),
        visual=torch.where(seen, seconds.visual[donor], seconds.visual),
        relevance=seconds.relevance * ~run if segment_labels else seconds.relevance,
        pasted=run.to(seconds.relevance.dtype),
    )


def _lengths(longest: int | Int[Tensor, "B 1"], videos: int, device: torch.device) -> Int[Tensor, "B 1"]:
    """From 1 to the longest, all as likely; 1 where that is 0."""
    if isinstance(longest, int):
        return torch.randint(1, longest + 1, (videos, 1), device=device)
    return 1 + (torch.rand(videos, 1, device=device) * longest).long()


def flip_time(
    values: Float[Tensor, "B T *d"], flipped: Bool[Tensor, "B"], real: Real = None
) -> Float[Tensor, "B T *d"]:
    """Run the second axis of the marked rows backwards, each over its own seconds."""
    mask = flipped.view(-1, *(1 for _ in values.shape[1:]))
    if real is None:
        return torch.where(mask, values.flip(1), values)
    second = torch.arange(values.shape[1], device=values.device)
    turned = torch.where(real, real.sum(1, keepdim=True) - 1 - second, second)
    return torch.where(mask, values[torch.arange(len(values), device=values.device)[:, None], turned], values)


def add_noise(values: Float[Tensor, "..."], noise: float) -> Float[Tensor, "..."]:
    """Add Gaussian noise whose standard deviation is `noise` times the root mean square of `values`."""
    return values + noise * values.square().mean().sqrt() * torch.randn_like(values)
