"""Copies of a split whose background is composed of other seconds, to show how much scores depend on it.

Events keep their features and every second its label. In background seconds either the picture or the sound becomes
that of the video's own event, and the other one comes from the background of a video of another class, so the event is
only seen or only heard there.

Shapes: N videos, T seconds of the longest, K seconds of a run.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.graph.schema import NO_EVENT

#: Seed of all draws, so that every model is scored on the same copy.
SEED: Final = 0
#: A run of background seconds: video, first second, end.
Run = tuple[int, int, int]


def recompose_dataset(dataset: Dataset, how: str) -> Dataset:
    """Return the data set with val and test recomposed; train is unchanged.

    Args:
        how: see :func:`recompose`.

    Raises:
        DataError: a split has no background of another class.
    """
    splits = {name: recompose(videos, how) for name, videos in dataset.splits.items() if name != "train"}
    note = f"data.recompose={how}: the background of {' and '.join(splits)} is composed of other seconds"
    return dataclasses.replace(dataset, name=f"{dataset.name}, background recomposed ({how})",
                               notes=(*dataset.notes, note), **splits)


def recompose(videos: Videos, how: str) -> Videos:
    """Return the videos with other features in their background seconds.

    Videos without an event and videos without background stay as they are.

    Args:
        how: ``runs``: for each background run, one modality is drawn that stays the event's, and one background run of
            another class that replaces the other modality; both repeat in their order. ``seconds``: modality, event
            second and donor second are drawn anew for every second, so sound and picture flicker.

    Raises:
        DataError: the videos have maps, or no background of another class.
    """
    if videos.maps is not None:
        raise DataError(f"data.recompose={how} has no maps of regions; set data.regions=pool")
    draw = torch.Generator().manual_seed(SEED)
    streams = {"audio": videos.audio.clone(), "visual": videos.visual.clone()}
    runs = find_background(videos)
    for video, start, end in runs:
        category = int(videos.category[video])
        if category == NO_EVENT:
            continue
        event = videos.relevance[video].nonzero().flatten()
        donors = [other for other in runs if int(videos.category[other[0]]) != category]
        if not donors:
            raise DataError(f"data.recompose={how}: row {int(videos.row[video])} needs background of a video of another"
                            " class, and the split has none")
        length = 1 if how == "seconds" else end - start
        for first in range(start, end, length):
            stays, replaced = ("audio", "visual") if torch.rand((), generator=draw) < 0.5 else ("visual", "audio")
            place = torch.arange(first, first + length)
            donor, begin, stop = donors[_draw(len(donors), draw)]
            streams[stays][video, place] = getattr(videos, stays)[video, _repeat(event, length, draw)]
            seconds = torch.arange(begin, stop)
            streams[replaced][video, place] = getattr(videos, replaced)[donor, _repeat(seconds, length, draw)]
    return dataclasses.replace(videos, **streams)


def find_background(videos: Videos) -> list[Run]:
    """Return the longest runs of seconds without the event, padding left out, in order."""
    event = videos.relevance.bool().cpu()
    outside: Bool[Tensor, "N T"] = ~event if videos.mask is None else ~event & videos.mask
    edges = torch.nn.functional.pad(outside.int(), (1, 1)).diff(dim=1)
    starts, ends = (edges == 1).nonzero().tolist(), (edges == -1).nonzero().tolist()
    return [(video, start, end) for (video, start), (_, end) in zip(starts, ends, strict=True)]


def _repeat(seconds: Int[Tensor, "K"], length: int, draw: torch.Generator) -> Int[Tensor, "length"]:
    """`length` of the seconds in their order, from a drawn one on, around the end to the first."""
    return seconds[(_draw(len(seconds), draw) + torch.arange(length)) % len(seconds)]


def _draw(count: int, draw: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=draw))
