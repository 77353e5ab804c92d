"""Videos for audio-visual parsing: many events each, and for evaluation when every one is heard and seen.

Letters: N videos, T segments, C event classes. Features come from the project's own store, found by video id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.config import DataConfig
from avsgn_pyg.data.feature_store import Features, format_span, read_store
from avsgn_pyg.data.sources import file_record
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.errors import DataError
from avsgn_pyg.graph.schema import NO_EVENT, ROW
from avsgn_pyg.parsing.checks import EVAL_FILES, WEAK_FILES, check_llp
from avsgn_pyg.parsing.llp import CATEGORIES, LLP, BeyondEndError, SegmentLabels, read_llp
from avsgn_pyg.parsing.synthetic import MAKER

#: Name under which a batch carries the videos' events, [B, C].
LABELS = "labels"


@dataclass(frozen=True)
class ParsingVideos(Videos):
    """Videos with a set of events each; of one class, or a relevance, nothing is known (NO_EVENT and zeros).

    Attributes:
        labels: [N, C] 1 where the video holds the event: all that training sees.
        heard, seen: [N, T, C] when, for evaluation alone; ``None`` for train.
    """

    labels: Float[Tensor, "N C"]
    heard: Bool[Tensor, "N T C"] | None = None
    seen: Bool[Tensor, "N T C"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = (*self.audio.shape[:2], self.labels.shape[-1])
        timed = [part.shape for part in (self.heard, self.seen) if part is not None]
        if len(self.labels) != len(self) or timed not in ([], [shape, shape]):
            raise DataError(f"labels {list(self.labels.shape)} and segment labels {timed} of {len(self)} videos; they "
                            f"must be [N, C], and both or neither {list(shape)}")

    def __getitem__(self, number: int) -> HeteroData:
        """One video as a graph with its ``labels`` [1, C]; IndexError past the last."""
        number = range(len(self))[number]
        video = super().__getitem__(number)
        setattr(video, LABELS, self.labels[number : number + 1])
        return video

    def batch(self, index: Int[Tensor, "B"]) -> Batch:
        """The videos at `index` as one batch with ``labels`` [B, C], in that order."""
        batch = super().batch(index)
        setattr(batch, LABELS, self.labels[index.to(self.labels.device)])
        # Stacked as the rows are: one entry a video.
        batch._slice_dict[LABELS], batch._inc_dict[LABELS] = batch._slice_dict[ROW], batch._inc_dict[ROW]
        return batch

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from super()._tensors()
        for name in ("labels", "heard", "seen"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name)


def load_llp(config: DataConfig) -> Dataset:
    """LLP's annotations with the features of a store; splits are :class:`ParsingVideos`.

    Args:
        config: ``root`` holds the csv files, ``features`` is a store whose ids are the csv files' names. ``missing``:
            videos without features are refused, or left out with a note (many of LLP's are gone from the web).

    Raises:
        DataError: a file is missing, damaged or contradicts another; names the file and the place.
    """
    path = check_llp(config) / config.features
    store = read_store(path)
    if store.lengths is not None:
        raise DataError(f"{path}: videos of {format_span(store.span)} seconds; parsing (data.kind=llp) takes "
                        "videos of one length: extract them without --own-length")
    categories = _class_order(path, store)
    segments = store.audio.shape[1]
    try:
        llp = read_llp(config.root, segments, categories)
    except BeyondEndError as error:
        raise DataError(f"{path}: {segments} segments in a video, but {error}; segments must be seconds") from None
    _refuse_other_time_scale(path, llp, segments)
    place = _places(path, store)
    parts, notes = {}, [*llp.notes, *_silent(llp)]
    for split in llp.weak:
        parts[split], lost = _videos(llp, split, store, place, path, config.missing)
        notes += lost
    names = (*(WEAK_FILES[split] for split in llp.weak), *(EVAL_FILES.values() if llp.segments else ()))
    return Dataset(
        name=config.name,
        categories=categories,
        **parts,
        label_text=store.label_text,
        synthetic=store.provenance.get("made by") == MAKER,
        provenance={"features": store.provenance,
                    "files": {name: file_record(config.root / name) for name in names} | {"store": file_record(path)}},
        notes=tuple(notes),
    )


def _class_order(path: Path, store: Features) -> tuple[str, ...]:
    """LLP's names in the order of the store's label text; underscores and spaces are the same."""
    if store.categories is None:
        return CATEGORIES
    known = {name.replace("_", " "): name for name in CATEGORIES}
    given = [name.replace("_", " ") for name in store.categories]
    if set(given) != set(known):
        odd = sorted(set(given) ^ set(known))
        raise DataError(f"{path}: its classes are not LLP's 25; {odd[0]!r} is in one of the two only")
    return tuple(known[name] for name in given)


def _refuse_other_time_scale(path: Path, llp: LLP, segments: int) -> None:
    marked = [second for part in llp.segments.values() for second in _marked(part).nonzero().flatten().tolist()]
    if marked and max(marked) + 1 < segments:
        raise DataError(f"{path}: {segments} segments in a video, but the last event ends at second {max(marked) + 1}; "
                        "segments must be seconds")


def _silent(llp: LLP) -> list[str]:
    """Splits without any event's second. That is legal, and a parser that answers nothing is then right."""
    return [f"{split}: the eval files mark no second in it" for split, part in llp.segments.items()
            if not _marked(part).any()]


def _marked(part: SegmentLabels) -> Bool[Tensor, "T"]:
    """Seconds in which some video of the split has an event."""
    return (part.audio | part.visual).any(-1).any(0)


def _places(path: Path, store: Features) -> dict[str, int]:
    place = {name: number for number, name in enumerate(store.video_ids)}
    if len(place) != len(store.video_ids):
        raise DataError(f"{path}: {len(store.video_ids) - len(place)} ids stand more than once; LLP's are found by id")
    return place


def _videos(
    llp: LLP, split: str, store: Features, place: dict[str, int], path: Path, missing: str
) -> tuple[ParsingVideos, list[str]]:
    weak, timed = llp.weak[split], llp.segments.get(split)
    rows = [row for row, name in enumerate(weak.video_ids) if name in place]
    lost = len(weak.video_ids) - len(rows)
    if lost and missing == "refuse":
        name = next(name for name in weak.video_ids if name not in place)
        raise DataError(f"{path}: {lost} of the {len(weak.video_ids)} videos of {weak.path} have no features, first "
                        f"{name!r}; data.missing=drop leaves them out")
    if not rows:
        raise DataError(f"{path}: none of the videos of {weak.path} is in it; ids must be those of the csv file")
    at = torch.tensor([place[weak.video_ids[row]] for row in rows])
    videos = ParsingVideos(
        audio=store.audio[at],
        visual=store.visual[at],
        category=torch.full((len(rows),), NO_EVENT),
        relevance=torch.zeros(len(rows), store.audio.shape[1]),
        row=torch.tensor(rows),
        video_ids=tuple(weak.video_ids[row] for row in rows),
        text_nodes=store.audio.shape[1],
        labels=weak.labels[rows],
        **_timed(timed, rows),
    )
    return videos, [f"{split}: {lost} videos without features are left out"] if lost else []


def _timed(timed: SegmentLabels | None, rows: list[int]) -> dict[str, Tensor]:
    return {} if timed is None else {"heard": timed.audio[rows], "seen": timed.visual[rows]}
