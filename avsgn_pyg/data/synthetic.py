"""A synthetic AVE-like dataset, with the difficulties of AVE and without a download.

An event is a class that is *both* audible and visible. Each modality alone is misleading: background seconds have the
event's sound without its sight or the other way round, other classes occur, and every video has its own style and
loudness. It serves to test code and to compare variants in a minute; results on it say nothing about recordings.

Shapes: N videos, T segments, C classes, K looks of one class, d width.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from avsgn_pyg.common.settings import SyntheticConfig
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.graph.views import length_mask

LOOKS = 4  #: different looks (or sounds) of one class
LOOK_SPREAD = 0.4  #: how far a look lies from its class, in lengths of the class direction
AMBIENCES = 6  #: things that are no event class, for seconds in which a modality shows none
WHOLE = 0.62  #: share of videos whose event fills every second (AVE: 0.66)
LONGEST = 0.7  #: longest other event, as a share of T
AUDIBLE_ONLY, VISIBLE_ONLY = 0.42, 0.42  #: shares of background runs that keep the event's sound, its sight
STRAY = 0.5  #: chance that a modality without the event shows another class instead of an ambience
OVERLAY = 0.15  #: chance that another class lies under a whole video, in one modality
OVERLAY_GAIN = 0.5
LOUDNESS = 0.3  #: spread of the log loudness of a video's contents
FLICKER = 0.8  #: spread of the log loudness from second to second: an event may be hardly noticeable
STYLE = 0.5  #: length of a video's constant offset, along class directions
NOISE = 2.0  #: length of the noise of one second
NOISE_MEMORY = 0.2  #: correlation of the noise of neighbouring seconds
GAP = 1.0  #: length of the constant that separates modalities, and text from both
TEXT_NOISE = 1.0  #: length of what the label text gets wrong about a class
SPLITS = {"train": 0.70, "val": 0.15, "test": 0.15}


def make_synthetic(config: SyntheticConfig) -> Dataset:
    """Generate the data set; the same config gives the same bytes.

    Features have unit length, as CLIP's and CLAP's. About 78 % of the seconds are foreground; more than a third of the
    videos have a boundary to find. Splits are drawn 70 / 15 / 15; rows number the videos.
    """
    draw = torch.Generator().manual_seed(config.seed)
    videos, classes = config.videos, config.classes
    category = (torch.arange(videos) % classes)[torch.randperm(videos, generator=draw)]
    lengths = _lengths(config, draw)
    relevance = _events(lengths, draw)
    present = _present(relevance, draw)
    streams, texts = zip(*(_modality(config, category, part, draw) for part in present), strict=True)
    padding = ~length_mask(lengths, relevance.shape[1])[..., None]
    everything = Videos(
        audio=streams[0].masked_fill(padding, 0),
        visual=streams[1].masked_fill(padding, 0),
        category=category,
        relevance=relevance.float(),
        row=torch.arange(videos),
        video_ids=tuple(f"made-{number:05d}" for number in range(videos)),
        text_nodes=relevance.shape[1],
        lengths=lengths,
    )
    order = torch.randperm(videos, generator=draw)
    sizes = [round(share * videos) for share in SPLITS.values()]
    parts = order.split([videos - sum(sizes[1:]), *sizes[1:]])
    return Dataset(
        name="synthetic AVE",
        categories=tuple(f"class {number}" for number in range(classes)),
        **{split: everything.take(rows) for split, rows in zip(SPLITS, parts, strict=True)},
        label_text=LabelText(*texts),
        synthetic=True,
        provenance={"made by": "avsgn_pyg.data.synthetic", "config": config.model_dump(mode="json")},
        notes=("synthetic, not recorded: results on it say nothing about AVE",),
    )


def _chance(probability: float, shape: tuple[int, ...], draw: torch.Generator) -> Bool[Tensor, "..."]:
    return torch.rand(shape, generator=draw) < probability


def _lengths(config: SyntheticConfig, draw: torch.Generator) -> Int[Tensor, "N"]:
    """Draw the seconds of each video evenly from the range; at least one has the longest."""
    if isinstance(config.segments, int):
        return torch.full((config.videos,), config.segments)
    shortest, longest = config.segments
    lengths = torch.randint(shortest, longest + 1, (config.videos,), generator=draw)
    lengths[0] = longest
    return lengths


def _events(lengths: Int[Tensor, "N"], draw: torch.Generator) -> Bool[Tensor, "N T"]:
    """Draw the events of all videos, length by length; padding is False."""
    relevance = torch.zeros(len(lengths), int(lengths.max()), dtype=torch.bool)
    for segments in lengths.unique().tolist():
        same = lengths == segments
        relevance[same, :segments] = _events_of(int(same.sum()), segments, draw)
    return relevance


def _events_of(videos: int, segments: int, draw: torch.Generator) -> Bool[Tensor, "N T"]:
    """Draw one contiguous event per video: all seconds, or a shorter run anywhere."""
    longest = max(1, min(segments - 1, round(LONGEST * segments)))
    length = torch.randint(1, longest + 1, (videos,), generator=draw)
    length = torch.where(_chance(WHOLE, (videos,), draw), segments, length)
    start = (torch.rand(videos, generator=draw) * (segments - length + 1)).long()
    second = torch.arange(segments)
    return (second >= start[:, None]) & (second < (start + length)[:, None])


def _present(relevance: Bool[Tensor, "N T"], draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw where the class is audible and where it is visible: both in the event, at most one outside.

    The seconds before an event are all of one kind, and so are those after it: audible only, visible only, neither.
    """
    kind = torch.rand(len(relevance), 2, generator=draw)
    after = relevance.cumsum(-1) > 0
    kind = torch.where(after, kind[:, 1:], kind[:, :1])
    return relevance | (kind < AUDIBLE_ONLY), relevance | (kind > 1 - VISIBLE_ONLY)


def _modality(
    config: SyntheticConfig, category: Int[Tensor, "N"], present: Bool[Tensor, "N T"], draw: torch.Generator
) -> tuple[Float[Tensor, "N T d"], Float[Tensor, "C d"]]:
    """Draw features and label text of one modality, given where the video's class is present in it."""
    (videos, segments), classes, width = present.shape, config.classes, config.width

    def directions(*shape: int) -> Tensor:
        return normalize(torch.randn(*shape, width, generator=draw), dim=-1)

    def pick(count: int) -> Tensor:
        return torch.randint(count, (videos,), generator=draw)

    centres = directions(classes)
    looks = normalize(centres[:, None] + LOOK_SPREAD * directions(classes, LOOKS), dim=-1)
    ambience = directions(AMBIENCES)[pick(AMBIENCES)]
    own = looks[category, pick(LOOKS)]
    others = (category[:, None] + 1 + torch.randint(classes - 1, (videos, 2), generator=draw)) % classes
    stray, under = looks[others[:, 0], pick(LOOKS)], looks[others[:, 1], pick(LOOKS)]
    elsewhere = torch.where(_chance(STRAY, (videos, 1), draw), stray, ambience)
    loudness = torch.exp(LOUDNESS * torch.randn(videos, 2, generator=draw))

    here, away = (loudness[:, :1] * own)[:, None], (loudness[:, 1:] * elsewhere)[:, None]
    content = torch.where(present[..., None], here, away)
    content = content * torch.exp(FLICKER * torch.randn(videos, segments, 1, generator=draw))
    content = content + (OVERLAY_GAIN * _chance(OVERLAY, (videos, 1), draw) * under)[:, None]
    # Along class directions, so that one second cannot tell style from content: other seconds can.
    style = STYLE * normalize(torch.randn(videos, classes, generator=draw) @ centres, dim=-1)
    features = content + style[:, None] + NOISE * _noise(videos, segments, width, draw) + GAP * directions()
    text = centres + TEXT_NOISE * directions(classes) + GAP * directions()
    return normalize(features, dim=-1), normalize(text, dim=-1)


def _noise(videos: int, segments: int, width: int, draw: torch.Generator) -> Float[Tensor, "N T d"]:
    """Draw noise of unit expected length in every second, correlated over time."""
    fresh = torch.randn(segments, videos, width, generator=draw) / width**0.5
    seconds = [fresh[0]]
    for second in fresh[1:]:
        seconds.append(NOISE_MEMORY * seconds[-1] + (1 - NOISE_MEMORY**2) ** 0.5 * second)
    return torch.stack(seconds, dim=1)
