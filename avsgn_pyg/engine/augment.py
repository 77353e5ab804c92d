"""What training does to a batch before the model sees it: new pairs, pasted boundaries, turned time, noise.

All draw from torch's own generator of the batch's device, so that a resumed run draws what an
uninterrupted one would have drawn.
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

#: A pasted run leaves at least this many event seconds, the shortest event of AVE.
SHORTEST_EVENT = 2


class _Seconds(NamedTuple):
    """What augmentation may change of a batch."""

    audio: Float[Tensor, "B T da"]
    visual: Float[Tensor, "B T dv"]
    relevance: Float[Tensor, "B T"]
    pasted: Float[Tensor, "B T"]


def augment(batch: HeteroData, recipe: AugmentConfig, *, segment_labels: bool = True) -> HeteroData:
    """The batch after the recipe; the one given is left as it is. With every rate 0, the same object.

    Args:
        batch: videos of equal length, as :meth:`avsgn_pyg.data.dataset.Videos.batch` builds them.
        recipe: ``recombine`` is the probability, for each video, of :func:`recombine`; ``boundary`` that of
            :func:`paste_boundaries`; ``time_flip`` that its seconds run backwards (sound, sight and relevance
            alike); ``noise`` is the standard deviation of Gaussian noise in units of each stream's root
            mean square over the batch.
        segment_labels: whether relevance may be read, which weak supervision forbids.

    Raises:
        ValueError: videos of mixed lengths, or with regions.
    """
    if not (recipe.recombine or recipe.boundary or recipe.time_flip or recipe.noise):
        return batch
    if has_regions(batch):
        raise ValueError("train.augment changes one vector a second, and this batch holds regions of its seconds; "
                         "set its rates to 0, or data.regions=pool")
    videos, segments = batch[RELEVANCE].shape
    if any(len(batch[node].x) != videos * segments for node in (AUDIO, VISUAL)):
        raise ValueError(f"train.augment works on videos of one length, and these {videos} are of mixed lengths up to "
                         f"{segments} s; set its rates to 0, or batch videos by length")
    audio, visual = (batch[node].x.view(videos, segments, -1) for node in (AUDIO, VISUAL))
    seconds = _Seconds(audio, visual, batch[RELEVANCE], torch.zeros_like(batch[RELEVANCE]))
    if recipe.recombine:
        seconds = recombine(seconds, batch[CATEGORY], recipe.recombine, segment_labels=segment_labels)
    if recipe.boundary:
        seconds = paste_boundaries(seconds, batch[CATEGORY], recipe.boundary, segment_labels=segment_labels)
    if recipe.time_flip:
        flipped = torch.rand(videos, device=seconds.relevance.device) < recipe.time_flip
        seconds = _Seconds(*(flip_time(part, flipped) for part in seconds))
    if recipe.noise:
        seconds = seconds._replace(audio=add_noise(seconds.audio, recipe.noise),
                                   visual=add_noise(seconds.visual, recipe.noise))
    changed = copy.copy(batch)
    changed[AUDIO].x, changed[VISUAL].x = seconds.audio.flatten(0, 1), seconds.visual.flatten(0, 1)
    changed[RELEVANCE], changed[PASTED] = seconds.relevance, seconds.pasted
    return changed


def recombine(seconds: _Seconds, category: Int[Tensor, "B"], rate: float, *, segment_labels: bool) -> _Seconds:
    """Give videos the sight of another video of their class in the batch, so that pairs are not learnt by heart.

    With segment labels only videos whose event lasts all T seconds take part: sound and sight then both hold
    the event in every second, and the labels stay right. Without them any video of the class does, and what
    stays right is the class.

    Args:
        seconds: audio [B, T, d_a], visual [B, T, d_v], relevance [B, T].
        category: classes of the videos; those without an event take no part.
        rate: probability for each video that has a partner.
        segment_labels: whether relevance may be read.
    """
    videos = len(category)
    whole = seconds.relevance.bool().all(1) if segment_labels else torch.ones_like(category, dtype=torch.bool)
    whole = whole & (category != NO_EVENT)
    partners = (category[:, None] == category) & whole[:, None] & whole
    partners = partners & ~torch.eye(videos, dtype=torch.bool, device=category.device)
    drawn = (torch.rand(videos, videos, device=category.device) * partners).argmax(1)
    takes = partners.any(1) & (torch.rand(videos, device=category.device) < rate)
    return seconds._replace(visual=torch.where(takes[:, None, None], seconds.visual[drawn], seconds.visual))


def paste_boundaries(seconds: _Seconds, category: Int[Tensor, "B"], rate: float, *, segment_labels: bool) -> _Seconds:
    """Give videos a boundary that is right by definition: paste another class over one modality.

    An event is what is both heard and seen. So where a run of seconds at either end of a video takes its sound
    (or its sight) from a video of another class in the batch, that run is background, whatever it was (unless the
    donor happens to hold the class too). The class stays. A video keeps its own seconds where the donor has the
    same class, or where fewer than :data:`SHORTEST_EVENT` event seconds would be left.

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
    longest = segments - 1 if segment_labels else segments // 2
    if not longest:
        return seconds
    donor = torch.randint(videos, (videos,), device=device)
    length = torch.randint(1, longest + 1, (videos, 1), device=device)
    chance, at_start, takes_audio = torch.rand(3, videos, 1, device=device)
    second = torch.arange(segments, device=device)
    run = torch.where(at_start < 0.5, second < length, second >= segments - length)
    run = run & (chance < rate) & (category[donor] != category)[:, None]
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


def flip_time(values: Float[Tensor, "B T *d"], flipped: Bool[Tensor, "B"]) -> Float[Tensor, "B T *d"]:
    """Run the second axis of the marked rows backwards."""
    mask = flipped.view(-1, *(1 for _ in values.shape[1:]))
    return torch.where(mask, values.flip(1), values)


def add_noise(values: Float[Tensor, "..."], noise: float) -> Float[Tensor, "..."]:
    """Add Gaussian noise whose standard deviation is `noise` times the root mean square of `values`."""
    return values + noise * values.square().mean().sqrt() * torch.randn_like(values)
