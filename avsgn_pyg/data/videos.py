"""The videos of a split as stacked tensors, and the splits of a data set.

Videos of mixed lengths are padded at their end to the longest; a batch's nodes contain no padding.

Shapes: N videos, T segments (of the longest video), da / dv feature widths, C event classes, B videos of a batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.feature_store import LabelText, check_lengths
from avsgn_pyg.data.legacy import Maps
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.graph.views import length_mask, with_regions


@dataclass(frozen=True)
class Videos:
    """Annotated videos of one split, ready to become graphs.

    Attributes:
        audio: [N, T, da] one vector per second.
        visual: [N, T, dv] one vector per second.
        category: [N] class of the event; :data:`~avsgn_pyg.graph.schema.NO_EVENT` for a video without one.
        relevance: [N, T] 1 in seconds with the event both audible and visible, else 0.
        row: [N] row in the annotation file, which identifies the video.
        video_ids: one per video; several rows may have the same id.
        text_nodes: text nodes in each video's graph.
        topology: edges of each video's graph; ``None`` for models without message passing.
        lengths: [N] seconds of each video, on the CPU; padding after them is never read. ``None`` if every video has T.
        maps: regional features of the same seconds, in the graph in addition to `visual`; videos must be equally long.
        rate: segments a second; labels of whole seconds need 1.

    Raises:
        DataError: there is no video, the tensors differ in N or T, or a length is outside 1..T.
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
    rate: int = dataclasses.field(default=1, kw_only=True)

    #: The fields that are tuples with an entry for each video.
    listed: ClassVar = ("video_ids",)

    def __post_init__(self) -> None:
        sizes, videos = {name: tuple(value.shape) for name, value in self._tensors()}, len(self.video_ids)
        counts = {sizes[name][0] for name in sizes} | {videos}
        if len({sizes["audio"][:2], sizes["visual"][:2], sizes["relevance"]}) != 1 or len(counts) != 1 or not videos:
            raise DataError("audio, visual and labels must have the same videos and segments, at least one; got "
                            f"{videos} ids and {sizes}")
        if self.maps is not None and len(self.maps) != videos:
            raise DataError(f"expected maps of {videos} videos, got {len(self.maps)}")
        if self.text_nodes < 1:
            raise DataError(f"text_nodes={self.text_nodes}; a video needs at least one text node")
        if self.lengths is not None:
            object.__setattr__(self, "lengths", check_lengths(self.lengths, *sizes["relevance"]))
        if self.lengths is not None and self.maps is not None:
            raise DataError("maps need videos of equal length, got mixed lengths; data.regions=keep needs one length")

    def __len__(self) -> int:
        return len(self.video_ids)

    def __getitem__(self, number: int) -> HeteroData:
        """Return one video as a graph; IndexError past the last."""
        return self.batch(torch.tensor([range(len(self))[number]])).get_example(0)

    def batch(self, index: Int[Tensor, "B"]) -> Batch:
        """Return the videos at `index` as one ``HeteroDataBatch``, in that order, on the features' device."""
        here, longest, lengths = index.to(self.audio.device), self.audio.shape[1], None
        audio, visual, rows = self.audio, self.visual, here
        if self.lengths is not None:  # pick the seconds of each video without its padding
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
        """[N, T] on the CPU, False for padded seconds; ``None`` without padding."""
        return None if self.lengths is None else length_mask(self.lengths, self.audio.shape[1])

    @property
    def mean(self) -> dict[str, Tensor]:
        """Mean ``audio`` [da] and ``visual`` [dv] features of all seconds, without padding."""
        seconds = torch.ones(self.relevance.shape, dtype=torch.bool) if self.mask is None else self.mask
        return {name: getattr(self, name)[seconds.to(self.audio.device)].mean(0) for name in ("audio", "visual")}

    def take(self, index: Int[Tensor, "B"]) -> Videos:
        """Return the videos at `index`, in that order."""
        here = index.to(self.audio.device)
        parts = {name: value[here] for name, value in self._tensors()}
        if self.lengths is not None:
            parts["lengths"] = self.lengths[index.cpu()]
        parts |= {name: tuple(getattr(self, name)[i] for i in index.tolist()) for name in self.listed}
        return dataclasses.replace(self, **parts, maps=None if self.maps is None else self.maps.take(index))

    def to(self, device: torch.device | str) -> Videos:
        """Return the same videos with every tensor on `device`; maps stay in their file."""
        return dataclasses.replace(self, **{name: value.to(device) for name, value in self._tensors()})

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name in ("audio", "visual", "category", "relevance", "row"):
            yield name, getattr(self, name)


@dataclass(frozen=True)
class Dataset:
    """The splits of a data set and its class names.

    Attributes:
        name: the name under which results are reported.
        categories: C class names in index order.
        train, val, test: the splits; val and test may be missing.
        label_text: embedded class names, [C, da] and [C, dv]; ``None`` if there are none.
        synthetic: whether the data are generated, not recorded.
        provenance: origin of annotations and features; JSON-ready.
        notes: facts that a reader should know: duplicates, leaks, dropped rows, unusual labels.
        warnings: probable mistakes in the data: classes that differ by a letter, events that end after their clip.
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
    warnings: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, Videos]:
        """The existing splits by name."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: videos for name, videos in named.items() if videos is not None}

    @property
    def span(self) -> tuple[int, int]:
        """Seconds of the shortest and of the longest video of all splits."""
        seconds = torch.cat([videos.seconds for videos in self.splits.values()])
        return int(seconds.min()), int(seconds.max())

    def split(self, name: str) -> Videos:
        """Return the split called `name`; DataError with the existing ones if there is none."""
        if name not in self.splits:
            raise DataError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def with_graph(self, text_nodes: int, topology: Topology | None = COMPLETE) -> Dataset:
        """Return the same data set with these text nodes and edges in every graph."""
        splits = {name: dataclasses.replace(videos, text_nodes=text_nodes, topology=topology)
                  for name, videos in self.splits.items()}
        return dataclasses.replace(self, **splits)

    def limited(self, videos: int) -> Dataset:
        """Return at most `videos` of each split, evenly spread over it; the name and a note say so."""
        counts = {split: (min(len(all_of), videos), len(all_of)) for split, all_of in self.splits.items()}
        splits = {split: self.splits[split].take(torch.arange(kept) * total // kept)
                  for split, (kept, total) in counts.items()}
        found = ", ".join(f"{kept} of {total} {split}" for split, (kept, total) in counts.items())
        return dataclasses.replace(self, name=f"{self.name}, at most {videos} videos of a split",
                                   notes=(*self.notes, f"data.limit={videos}: {found} videos are used"), **splits)

    def places(self, names: Sequence[str]) -> Int[Tensor, "K"]:
        """Return the class indices of `names`, ascending; DataError for an unknown class."""
        unknown = [name for name in names if name not in self.categories]
        if unknown:
            raise DataError(f"{self.name}: no classes {unknown}; there are {', '.join(self.categories)}")
        return torch.tensor(sorted({self.categories.index(name) for name in names}), dtype=torch.long)

    def without_classes(self, names: Sequence[str]) -> Dataset:
        """Return the data set as if `names` had never been annotated: the other classes, in the same order.

        A video that has one of the classes in any row, in any split, is removed with all its rows. Videos without an
        event stay. Name, provenance and notes record the removal.

        Raises:
            DataError: an unknown class, fewer than two classes left, or a split without a video of the classes left.
        """
        removed = self.places(names)
        left = torch.tensor([place for place in range(len(self.categories)) if place not in removed], dtype=torch.long)
        if len(left) < 2:
            raise DataError(f"{self.name}: without {list(names)} {len(left)} of {len(self.categories)} classes are "
                            "left; a model needs two or more")
        ids = {videos.video_ids[row] for videos in self.splits.values()
               for row in torch.isin(videos.category.cpu(), removed).nonzero().flatten().tolist()}
        text, held_out = self.label_text, [self.categories[place] for place in removed.tolist()]
        splits = {split: self._keep(split, videos, left, ids) for split, videos in self.splits.items()}
        count = sum(len(videos) - len(splits[split]) for split, videos in self.splits.items())
        note = (f"{len(held_out)} classes are held out ({', '.join(held_out)}): {count} videos of them are left out, "
                "but the other notes still count them")
        return dataclasses.replace(
            self, name=f"{self.name}, {len(left)} of {len(self.categories)} classes",
            categories=tuple(self.categories[place] for place in left.tolist()),
            label_text=None if text is None else LabelText(text.audio[left], text.visual[left]),
            provenance=self.provenance | {"held_out": held_out}, notes=(*self.notes, note), **splits)

    def _keep(self, split: str, videos: Videos, classes: Int[Tensor, "K"], removed: set[str]) -> Videos:
        """Return the videos whose id is not removed, their classes renumbered."""
        stays = torch.tensor([video_id not in removed for video_id in videos.video_ids])
        videos = videos.take(stays.nonzero().flatten())
        if not torch.isin(videos.category, classes).any():
            raise DataError(f"{self.name}: the {split} split has no video left of the {len(classes)} remaining classes "
                            f"{', '.join(self.categories[place] for place in classes.tolist())}; hold out others")
        category = torch.searchsorted(classes, videos.category.clamp_min(0))
        return dataclasses.replace(videos, category=torch.where(videos.category == NO_EVENT, NO_EVENT, category))
