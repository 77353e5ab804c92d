"""Videos with any number of timed events: a feature store, and annotations in the form of ActivityNet or of AVE.

Shapes: N videos, T steps of the features (of the longest video), K events of a video, B videos of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch_geometric.data import Batch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.annotations import AnnotatedVideo, labels_of, read_annotations
from avsgn_pyg.data.ave import SPLITS
from avsgn_pyg.data.feature_store import Features, read_store
from avsgn_pyg.data.files import SPLIT_FILES, check_files, root_of
from avsgn_pyg.data.folders import read_kind, timed_videos
from avsgn_pyg.data.rows import class_index, format_some
from avsgn_pyg.data.sources import file_record, places_by_id
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.graph.schema import EVENTS, NO_EVENT, ROW


@dataclass(frozen=True)
class DenseVideos(Videos):
    """Videos with several events each; `category` is NO_EVENT and `relevance` 0 throughout.

    Attributes:
        events: for each video [K, 3]: class, start and end in seconds.
    """

    events: tuple[Float[Tensor, "_ 3"], ...]

    listed: ClassVar = (*Videos.listed, "events")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.events) != len(self.video_ids):
            raise DataError(f"{len(self.video_ids)} videos have events for {len(self.events)}")

    def batch(self, index: Int[Tensor, "B"]) -> Batch:
        """Return the videos at `index` as one batch with ``events`` [B, K, 3], in that order."""
        batch = super().batch(index)
        events = pad_sequence([self.events[i] for i in index.tolist()], batch_first=True, padding_value=-1.0)
        setattr(batch, EVENTS, events.to(self.audio.device))
        # Stacked like the rows: one entry per video.
        batch._slice_dict[EVENTS], batch._inc_dict[EVENTS] = batch._slice_dict[ROW], batch._inc_dict[ROW]
        return batch


def load_dense(config: DataConfig) -> Dataset:
    """Load an annotation file with the features of a store; splits are :class:`DenseVideos`.

    Args:
        config: ``annotations`` and ``features`` are files below ``root`` that have the same ids. Annotations that are
            no ``.json`` file are rows of AVE, with its split files; the rows of one id are the events of one video.
            ``missing``: reject videos without features, or leave them out with a note.

    Raises:
        DataError: a file is missing, damaged or contradicts the other; names the file and the video.
    """
    check_files(config)
    root = root_of(config)
    path, source = root / config.features, root / config.annotations
    store = read_store(path)
    videos = _read(config, root, source, store)
    place, ambiguous = places_by_id(store)
    index = {name: number for number, name in enumerate(store.categories or labels_of(videos))}
    splits, notes = {}, []
    if ambiguous and config.missing == "refuse":
        raise DataError(f"{path}: {len(ambiguous)} ids occur with different features, so that their events cannot be "
                        f"those of one clip, first {ambiguous[0]!r}; data.missing=drop leaves them out")
    if ambiguous:
        notes.append(f"ids with different features, left out: {len(ambiguous)}: {format_some(ambiguous)}")
    videos = [video for video in videos if video.video_id not in ambiguous]
    for split in SPLITS:
        annotated = [(row, video) for row, video in enumerate(videos) if video.split == split]
        present = [(row, video) for row, video in annotated if video.video_id in place]
        absent = [video.video_id for _, video in annotated if video.video_id not in place]
        if absent and config.missing == "refuse":
            raise DataError(f"{path}: {len(absent)} of the {len(annotated)} {split} videos of {source} have no "
                            f"features, first {absent[0]!r}; data.missing=drop leaves them out")
        if absent:
            notes.append(f"{split}: videos without features, left out: {len(absent)}: {format_some(absent)}")
        if present or split == "train":
            splits[split] = _videos(present, store, place, index, path, source)
    unused = sum(video.split is None for video in videos)
    if unused:
        notes.append(f"annotated videos in no split: {unused}")
    return Dataset(
        name=config.name, categories=tuple(index), **splits, label_text=store.label_text, notes=tuple(notes),
        provenance={"features": store.record,
                    "files": {role: file_record(place) for role, place in _files(config, root).items()}})


def _files(config: DataConfig, root: Path) -> dict[str, Path]:
    """Return role -> path of every file that the data set is read from; rows of AVE have split files too."""
    files = {"features": root / config.features, "annotations": root / config.annotations}
    if files["annotations"].suffix == ".json":
        return files
    splits = {f"{split} split": root / SPLIT_FILES[config.splits].format(split) for split in SPLITS}
    return files | {role: place for role, place in splits.items() if place.is_file()}


def _read(config: DataConfig, root: Path, source: Path, store: Features) -> list[AnnotatedVideo]:
    if source.suffix == ".json":
        return read_annotations(source)
    seconds = math.ceil(store.audio.shape[1] / store.rate)
    return timed_videos(*read_kind("ave", root, seconds, store.categories, annotations=config.annotations,
                                   splits=config.splits))


def _videos(annotated: Sequence[tuple[int, AnnotatedVideo]], store: Features, place: Mapping[str, int],
            index: Mapping[str, int], path: Path, source: Path) -> DenseVideos:
    """Return the videos of a split, which all have features."""
    if not annotated:
        raise DataError(f"{source}: no video of the train split has features in {path}")
    rows, videos = zip(*annotated, strict=True)
    at = torch.tensor([place[video.video_id] for video in videos])
    lengths = store.seconds[at]
    events = [_events(video, index, int(length) / store.rate, f"{source}, video {video.video_id!r}", path)
              for video, length in zip(videos, lengths, strict=True)]
    longest = int(lengths.max())
    return DenseVideos(
        audio=store.audio[at, :longest], visual=store.visual[at, :longest],
        category=torch.full((len(rows),), NO_EVENT), relevance=torch.zeros(len(rows), longest),
        row=torch.tensor(rows), video_ids=tuple(video.video_id for video in videos), text_nodes=1, lengths=lengths,
        events=tuple(events), rate=store.rate)


def _events(video: AnnotatedVideo, index: Mapping[str, int], seconds: float, where: str,
            path: Path) -> Float[Tensor, "K 3"]:
    """Return a video's events, cut at the end of its features, `seconds`; DataError for one that begins after it."""
    rows = []
    for event in video.events:
        if event.start >= seconds:
            raise DataError(f"{where}: {event.label!r} from {event.start:g} to {event.end:g} s, but its features in "
                            f"{path} end at {seconds:g} s; extract the whole video (--own-length, --segments)")
        rows.append((class_index(event.label, index, where), event.start, min(event.end, seconds)))
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 3)
