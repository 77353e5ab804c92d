"""Augmentation of a batch during training: exchanged pairs, pasted boundaries, reversed time, noise.

All random numbers come from torch's generator of the batch's device, so that a resumed run draws the same ones.

Shapes: B videos, T seconds of the longest, d_a / d_v feature widths. `mask` is False where a second is padding
(``None`` if all videos have T seconds); padding is neither used for another video nor pasted over nor moved.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import HeteroData

from avsgn_pyg.common.settings import AugmentConfig
from avsgn_pyg.graph.schema import AUDIO, CATEGORY, NO_EVENT, PASTED, RELEVANCE, VISUAL
from avsgn_pyg.graph.views import has_regions, padded_view

#: Pasting leaves at least this many event seconds, the shortest event of AVE.
SHORTEST_EVENT = 2

Mask = Bool[Tensor, "B T"] | None


class Seconds(NamedTuple):
    """The parts of a batch that augmentation may change."""

    audio: Float[Tensor, "B T da"]
    visual: Float[Tensor, "B T dv"]
    relevance: Float[Tensor, "B T"]
    pasted: Float[Tensor, "B T"]


def augment(batch: HeteroData, recipe: AugmentConfig, *, segment_labels: bool = True) -> HeteroData:
    """Return an augmented copy of the batch; with every rate 0, the batch itself.

    Args:
        batch: from :meth:`avsgn_pyg.data.dataset.Videos.batch`.
        recipe: ``recombine`` is the probability, for each video, of :func:`recombine`; ``boundary`` that of
            :func:`paste_boundaries`; ``time_flip`` that of reversing its seconds (features and relevance); ``noise`` is
            the standard deviation of Gaussian noise, relative to each stream's root mean square over the batch.
        segment_labels: whether relevance may be used, which weak supervision forbids.

    Raises:
        ValueError: videos with regions.
    """
    if not (recipe.recombine or recipe.boundary or recipe.time_flip or recipe.noise or recipe.modality_drop):
        return batch
    if has_regions(batch):
        raise ValueError("train.augment changes one vector a second, and this batch holds regions of its seconds; "
                         "set its rates to 0, or data.regions=pool")
    (audio, mask), (visual, _) = padded_view(batch, AUDIO), padded_view(batch, VISUAL)
    seconds = Seconds(audio, visual, batch[RELEVANCE], torch.zeros_like(batch[RELEVANCE]))
    category, options = batch[CATEGORY], {"segment_labels": segment_labels, "mask": mask}
    if recipe.recombine:
        seconds = recombine(seconds, category, recipe.recombine, **options)
    if recipe.boundary:
        seconds = paste_boundaries(seconds, category, recipe.boundary, flicker=recipe.flicker, inside=recipe.inside,
                                   **options)
    if recipe.modality_drop:
        seconds = drop_modality(seconds, recipe.modality_drop)
    if recipe.time_flip:
        flipped = torch.rand(len(category), device=category.device) < recipe.time_flip
        seconds = Seconds(*(flip_time(part, flipped, mask) for part in seconds))
    changed = copy.copy(batch)
    for node, block in ((AUDIO, seconds.audio), (VISUAL, seconds.visual)):
        rows = block.flatten(0, 1) if mask is None else block[mask]
        changed[node].x = add_noise(rows, recipe.noise) if recipe.noise else rows
    changed[RELEVANCE], changed[PASTED] = seconds.relevance, seconds.pasted
    return changed


def recombine(
    seconds: Seconds, category: Int[Tensor, "B"], rate: float, *, segment_labels: bool, mask: Mask = None
) -> Seconds:
    """Replace the visual features of videos by those of another video of the class, so that pairs are not memorised.

    With segment labels only videos whose event lasts all their seconds take part, so the labels stay right. Without
    them every video of the class does, and the class stays right. A partner is no shorter than the video itself.

    Args:
        category: classes of the videos; those without an event take no part.
        rate: probability for each video that has a partner.
        segment_labels: whether relevance may be used.
    """
    videos = len(category)
    padding = torch.zeros_like(seconds.relevance, dtype=torch.bool) if mask is None else ~mask
    suitable = category != NO_EVENT
    if segment_labels:
        suitable = suitable & (seconds.relevance.bool() | padding).all(1)
    partners = (category[:, None] == category) & suitable[:, None] & suitable
    partners = partners & (padding.sum(1)[:, None] >= padding.sum(1))
    partners = partners & ~torch.eye(videos, dtype=torch.bool, device=category.device)
    drawn = (torch.rand(videos, videos, device=category.device) * partners).argmax(1)
    replaced = partners.any(1) & (torch.rand(videos, device=category.device) < rate)
    return seconds._replace(visual=torch.where(replaced[:, None, None], seconds.visual[drawn], seconds.visual))


def paste_boundaries(
    seconds: Seconds, category: Int[Tensor, "B"], rate: float, *, segment_labels: bool, mask: Mask = None,
    flicker: float = 0.0, inside: float = 0.0,
) -> Seconds:
    """Paste seconds of another class over one modality in a run of seconds, which makes them background.

    An event is both audible and visible, so a run of seconds with one modality of another class is background (unless
    the donor video contains the class too). The class of the video stays. A video is not changed if the donor has the
    same class or ends within the run, or if fewer than :data:`SHORTEST_EVENT` event seconds would remain.

    Without segment labels the number of remaining event seconds is unknown, so the run is at most half of the video,
    and relevance is returned unread. ``pasted`` marks the run, for the loss ``pasted``; it is drawn, so it is no label.

    Args:
        category: classes of the videos.
        rate: probability for each video.
        segment_labels: whether relevance may be used.
        flicker: share of the runs in which every second draws its own modality, and its own second of a donor; one
            whose donor has the same class is not pasted over.
        inside: share of the runs that lie anywhere in the video; the others lie at one of its ends.
    """
    videos, segments = seconds.relevance.shape
    device = category.device
    end = segments if mask is None else mask.sum(1, keepdim=True)
    longest = end - 1 if segment_labels else end // 2
    if mask is None and not longest:
        return seconds
    donor = torch.randint(videos, (videos,), device=device)
    length = _lengths(longest, videos, device)
    chance, at_start, takes_audio = torch.rand(3, videos, 1, device=device)
    second = torch.arange(segments, device=device)
    run = torch.where(at_start < 0.5, second < length, second >= end - length)
    if inside:
        anywhere, place = torch.rand(2, videos, 1, device=device)
        start = (place * (end - length + 1)).long()
        run = torch.where(anywhere < inside, (second >= start) & (second < start + length), run)
    source, donor = second.expand(videos, -1), donor[:, None].expand(-1, segments)
    if flicker:
        flickers = torch.rand(videos, 1, device=device) < flicker
        drawn = torch.randint(videos, (videos, segments), device=device)
        place, modality = torch.rand(2, videos, segments, device=device)
        place = (place * (segments if mask is None else end[drawn].squeeze(-1))).long()
        donor, source = torch.where(flickers, drawn, donor), torch.where(flickers, place, source)
        takes_audio = torch.where(flickers, modality, takes_audio)
    run = run & (chance < rate) & (category[donor] != category[:, None])
    if mask is not None:
        run = run & mask & (length <= longest)
        run = run & (mask[donor, source] | ~run).all(1, keepdim=True)
    if segment_labels:
        run = run & ((seconds.relevance * ~run).sum(1, keepdim=True) >= SHORTEST_EVENT)
    over_audio = (run & (takes_audio < 0.5))[..., None]
    over_visual = (run & (takes_audio >= 0.5))[..., None]
    return Seconds(
        audio=torch.where(over_audio, seconds.audio[donor, source], seconds.audio),
        visual=torch.where(over_visual, seconds.visual[donor, source], seconds.visual),
        relevance=seconds.relevance * ~run if segment_labels else seconds.relevance,
        pasted=run.to(seconds.relevance.dtype))


def _lengths(longest: int | Int[Tensor, "B 1"], videos: int, device: torch.device) -> Int[Tensor, "B 1"]:
    """Uniform draws from 1 to `longest`; 1 where that is 0."""
    if isinstance(longest, int):
        return torch.randint(1, longest + 1, (videos, 1), device=device)
    return 1 + (torch.rand(videos, 1, device=device) * longest).long()


def drop_modality(seconds: Seconds, rate: float) -> Seconds:
    """Set the audio or the visual features of a share of the videos to zero in all seconds; labels stay."""
    dropped, audio = torch.rand(2, len(seconds.relevance), 1, 1, device=seconds.relevance.device)
    dropped, audio = dropped < rate, audio < 0.5
    return seconds._replace(audio=seconds.audio.masked_fill(dropped & audio, 0),
                            visual=seconds.visual.masked_fill(dropped & ~audio, 0))


def flip_time(
    values: Float[Tensor, "B T *d"], flipped: Bool[Tensor, "B"], mask: Mask = None
) -> Float[Tensor, "B T *d"]:
    """Reverse the second axis of the `flipped` rows, each over its own seconds."""
    rows = flipped.view(-1, *(1 for _ in values.shape[1:]))
    if mask is None:
        return torch.where(rows, values.flip(1), values)
    second = torch.arange(values.shape[1], device=values.device)
    turned = torch.where(mask, mask.sum(1, keepdim=True) - 1 - second, second)
    return torch.where(rows, values[torch.arange(len(values), device=values.device)[:, None], turned], values)


def add_noise(values: Float[Tensor, "..."], noise: float) -> Float[Tensor, "..."]:
    """Add Gaussian noise whose standard deviation is `noise` times the root mean square of `values`."""
    return values + noise * values.square().mean().sqrt() * torch.randn_like(values)
