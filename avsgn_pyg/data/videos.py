"""A split's videos as stacked tensors, and the splits of a data set together.

Videos of mixed lengths are filled up at their end to the longest; a batch's node lists hold real seconds alone.

Letters: N videos, T segments (of the longest video), da / dv feature widths, C event classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.lengths import checked_lengths
from avsgn_pyg.data.maps import Maps
from avsgn_pyg.graph.build import build_batch, build_video
from avsgn_pyg.graph.regions import REGIONS, with_regions
from avsgn_pyg.graph.schema import NO_EVENT, VISUAL
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.graph.views import length_mask


@dataclass(frozen=True)
class Videos:
    """Annotated videos of one split, ready to become graphs.

    Attributes:
        audio: [N, T, da] one vector per second.
        visual: [N, T, dv] one vector per second.
        category: [N] class of the event; :data:`~avsgn_pyg.graph.schema.NO_EVENT` where no second has one.
        relevance: [N, T] 1 where the event is both heard and seen, else 0.
        row: [N] row in the annotation file, which tells videos apart.
        video_ids: one a video; the same id may stand in several rows.
        text_nodes: text nodes in each video's graph.
        topology: which edges each video's graph has; ``None`` for models without message passing.
        lengths: [N] seconds of each video, on the CPU wherever the features are; what the others hold after a video's
            end is never read. ``None`` where every video has all T, even if they were given.
        maps: regional features of the same seconds, which a graph then carries beside `visual`; of one length alone.

    Raises:
        DataError: no video, the parts differ in N or T, or a length outside 1..T.
    """

    audio: Float[Tensor, "N T da"]
    visual: Float[Tensor, "N T dv"]
    category: Int[Tensor, "N"]
    relevance: Float[Tensor, "N T"]
    row: Int[Tensor, "N"]
    video_ids: tuple[str, ...]
    text_nodes: int
    topology: Topology | None = dataclasses.field(default=COMPLETE, kw_only=True)
    lengths: Int[Tensor, "N"] | None = dataclasses.field(default=None, kw_only=True)
    maps: Maps | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        sizes = {name: tuple(value.shape) for name, value in self._tensors()}
        videos = len(self.video_ids)
        both = {sizes["audio"][:2], sizes["visual"][:2], sizes["relevance"]}
        one = {sizes["category"], sizes["row"], (videos,)}
        if len(both) != 1 or len(one) != 1 or next(iter(both))[0] != videos or not videos:
            raise DataError(f"videos need a row or more, and parts of one length; got {videos} ids, {sizes}")
        if self.maps is not None and len(self.maps) != videos:
            raise DataError(f"maps of {len(self.maps)} videos came for {videos}")
        if self.text_nodes < 1:
            raise DataError(f"text_nodes={self.text_nodes}; a video needs at least one text node")
        if self.lengths is not None:
            object.__setattr__(self, "lengths", checked_lengths(self.lengths, *sizes["relevance"]))
        if self.lengths is not None and self.maps is not None:
            raise DataError("maps came for videos of mixed lengths; data.regions=keep reads files of one length")

    def __len__(self) -> int:
        return len(self.video_ids)

    def __getitem__(self, number: int) -> HeteroData:
        """One video as a graph; IndexError past the last."""
        number = range(len(self))[number]
        end = self.audio.shape[1] if self.lengths is None else int(self.lengths[number])
        video = build_video(
            self.audio[number, :end],
            self.visual[number, :end],
            text_nodes=self.text_nodes,
            category=int(self.category[number]),
            relevance=self.relevance[number, :end],
            row=int(self.row[number]),
            topology=self.topology,
        )
        if self.maps is not None:
            video[VISUAL][REGIONS] = self.maps.read(torch.tensor([number]))[0].to(self.visual.device)
        return video

    def batch(self, index: Int[Tensor, "B"]) -> Batch:
        """The videos at `index` as one ``HeteroDataBatch``, in that order, on the features' device."""
        here, longest, lengths = index.to(self.audio.device), self.audio.shape[1], None
        audio, visual, rows = self.audio, self.visual, here
        if self.lengths is not None:  # pick the seconds of each video, leave its padding behind
            lengths = self.lengths[index.cpu()]
            longest = int(lengths.max()) if len(lengths) else 0
            place = index.cpu()[:, None] * audio.shape[1] + torch.arange(longest)
            rows = place[length_mask(lengths, longest)].to(audio.device)
            audio, visual = audio.flatten(0, 1), visual.flatten(0, 1)
        batch = build_batch(
            audio.index_select(0, rows),
            visual.index_select(0, rows),
            lengths=lengths,
            text_nodes=self.text_nodes,
            category=self.category.index_select(0, here),
            relevance=self.relevance[:, :longest].index_select(0, here),
            row=self.row.index_select(0, here),
            topology=self.topology,
        )
        return batch if self.maps is None else with_regions(batch, self.maps.read(index).to(self.visual.device))

    @property
    def seconds(self) -> Int[Tensor, "N"]:
        """[N] seconds of each video, on the CPU."""
        return torch.full((len(self),), self.audio.shape[1]) if self.lengths is None else self.lengths

    @property
    def mask(self) -> Bool[Tensor, "N T"] | None:
        """[N, T] on the CPU, False where a second is padding; ``None`` where none is."""
        return None if self.lengths is None else length_mask(self.lengths, self.audio.shape[1])

    def take(self, index: Int[Tensor, "B"]) -> Videos:
        """A split of the videos at `index`, in that order."""
        here = index.to(self.audio.device)
        parts = {name: value[here] for name, value in self._tensors()}
        if self.lengths is not None:
            parts["lengths"] = self.lengths[index.cpu()]
        maps = None if self.maps is None else self.maps.take(index)
        return dataclasses.replace(self, **parts, video_ids=tuple(self.video_ids[i] for i in index.tolist()), maps=maps)

    def to(self, device: torch.device | str) -> Videos:
        """The same videos with every tensor on `device`; maps stay in their file."""
        return dataclasses.replace(self, **{name: value.to(device) for name, value in self._tensors()})

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name in ("audio", "visual", "category", "relevance", "row"):
            yield name, getattr(self, name)


@dataclass(frozen=True)
class Dataset:
    """The splits of a data set, its class names, and what was found on the way.

    Attributes:
        name: what results on it are reported as.
        categories: C class names in index order.
        train, val, test: the splits; val and test may be missing.
        label_text: the label bank, [C, da] and [C, dv]; ``None`` where none was given.
        synthetic: made, not recorded.
        provenance: where annotations and features come from; JSON-ready.
        notes: sentences a reader should see once: duplicates, leaks, dropped rows, odd labels.
    """

    name: str
    categories: tuple[str, ...]
    train: Videos
    val: Videos | None = None
    test: Videos | None = None
    label_text: LabelText | None = None
    synthetic: bool = False
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, Videos]:
        """The splits there are, by name."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: videos for name, videos in named.items() if videos is not None}

    @property
    def span(self) -> tuple[int, int]:
        """Seconds of the shortest and of the longest video of all splits."""
        seconds = torch.cat([videos.seconds for videos in self.splits.values()])
        return int(seconds.min()), int(seconds.max())

    def split(self, name: str) -> Videos:
        """The split called `name`, or a DataError that names those there are."""
        if name not in self.splits:
            raise DataError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def with_graph(self, text_nodes: int, topology: Topology | None = COMPLETE) -> Dataset:
        """The same data set with so many text nodes and these edges in every graph."""
        splits = {name: dataclasses.replace(videos, text_nodes=text_nodes, topology=topology)
                  for name, videos in self.splits.items()}
        return dataclasses.replace(self, **splits)

    def places(self, names: Sequence[str]) -> Int[Tensor, "K"]:
        """Class numbers of `names`, ascending; a DataError for one that is no class here."""
        unknown = [name for name in names if name not in self.categories]
        if unknown:
            raise DataError(f"{self.name}: {unknown}: give names of its classes: {', '.join(self.categories)}")
        return torch.tensor(sorted({self.categories.index(name) for name in names}), dtype=torch.long)

    def without_classes(self, names: Sequence[str]) -> Dataset:
        """The same data set as if `names` had never been annotated: the other classes, in their old order.

        A video goes whose class is among them in any of its rows, in whatever split. Videos without an event stay.
        Name, provenance and notes say what went.

        Raises:
            DataError: a name that is no class, fewer than two classes left, or a split without a video left of them.
        """
        gone = self.places(names)
        kept = torch.tensor([place for place in range(len(self.categories)) if place not in gone], dtype=torch.long)
        if len(kept) < 2:
            raise DataError(f"{self.name}: without {list(names)} {len(kept)} of {len(self.categories)} classes are "
                            "left; two at least are told apart")
        ids = {one for videos in self.splits.values()
               for one, is_gone in zip(videos.video_ids, torch.isin(videos.category.cpu(), gone).tolist(), strict=True)
               if is_gone}
        text, held_out = self.label_text, [self.categories[place] for place in gone.tolist()]
        splits = {split: self._left(split, videos, kept, ids) for split, videos in self.splits.items()}
        count = sum(len(videos) - len(splits[split]) for split, videos in self.splits.items())
        note = (f"{len(held_out)} classes are held out ({', '.join(held_out)}): {count} videos of them are left out, "
                "which the other notes still count")
        return dataclasses.replace(
            self, name=f"{self.name}, {len(kept)} of {len(self.categories)} classes",
            categories=tuple(self.categories[place] for place in kept.tolist()),
            label_text=None if text is None else LabelText(text.audio[kept], text.visual[kept]),
            provenance=self.provenance | {"held_out": held_out}, notes=(*self.notes, note), **splits)

    def _left(self, split: str, videos: Videos, kept: Int[Tensor, "K"], gone: set[str]) -> Videos:
        stays = torch.tensor([one not in gone for one in videos.video_ids])
        left = videos.take(stays.nonzero().flatten())
        if not torch.isin(left.category, kept).any():
            raise DataError(f"{self.name}: the {split} split has no video left of the {len(kept)} classes "
                            f"{', '.join(self.categories[place] for place in kept.tolist())}; hold out others")
        renumbered = torch.searchsorted(kept, left.category.clamp_min(0))
        return dataclasses.replace(left, category=torch.where(left.category == NO_EVENT, NO_EVENT, renumbered))
