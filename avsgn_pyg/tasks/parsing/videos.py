"""Videos for audio-visual parsing: several events each, and for evaluation when each is audible and visible.

Shapes: N videos, T segments, C event classes, B videos of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.feature_store import Features, format_span, read_store
from avsgn_pyg.data.sources import file_record
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.graph.schema import NO_EVENT, ROW
from avsgn_pyg.tasks.parsing.checks import EVAL_FILES, WEAK_FILES, check_llp
from avsgn_pyg.tasks.parsing.llp import CATEGORIES, LLP, BeyondEndError, Split, read_llp
from avsgn_pyg.tasks.parsing.model import LABELS
from avsgn_pyg.tasks.parsing.synthetic import MAKER


@dataclass(frozen=True)
class ParsingVideos(Videos):
    """Videos with several events each; `category` is NO_EVENT and `relevance` 0 throughout.

    Attributes:
        labels: [N, C] 1 if the video contains the event; the only labels that training uses.
        audible, visible: [N, T, C] when, for evaluation alone; ``None`` for train.
    """

    labels: Float[Tensor, "N C"]
    audible: Bool[Tensor, "N T C"] | None = None
    visible: Bool[Tensor, "N T C"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = (*self.audio.shape[:2], self.labels.shape[-1])
        timed = [part.shape for part in (self.audible, self.visible) if part is not None]
        if timed not in ([], [shape, shape]):
            raise DataError(f"segment labels must be both or neither {list(shape)}; got {timed}")

    def batch(self, index: Int[Tensor, "B"]) -> Batch:
        """Return the videos at `index` as one batch with ``labels`` [B, C], in that order."""
        batch = super().batch(index)
        setattr(batch, LABELS, self.labels[index.to(self.labels.device)])
        # Stacked like the rows: one entry per video.
        batch._slice_dict[LABELS], batch._inc_dict[LABELS] = batch._slice_dict[ROW], batch._inc_dict[ROW]
        return batch

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from super()._tensors()
        for name in ("labels", "audible", "visible"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name)


def load_llp(config: DataConfig) -> Dataset:
    """Load LLP's annotations with the features of a store; splits are :class:`ParsingVideos`.

    Args:
        config: ``root`` contains the csv files, ``features`` is a store whose ids are the names in them. ``missing``:
            reject videos without features, or leave them out with a note (many of LLP's are no longer available).

    Raises:
        DataError: a file is missing, damaged or contradicts another; names the file and the place.
    """
    root = check_llp(config)
    path = root / config.features
    store = read_store(path)
    if store.lengths is not None:
        raise DataError(f"{path}: videos of {format_span(store.span)} seconds; parsing (data.kind=llp) takes videos of "
                        "one length: extract them without --own-length")
    llp = _read_annotations(root, path, store)
    place = {name: number for number, name in enumerate(store.video_ids)}
    if len(place) != len(store.video_ids):
        raise DataError(f"{path}: {len(store.video_ids) - len(place)} ids occur twice; LLP's videos are found by id")
    splits, notes = {}, list(llp.notes)
    for name, split in llp.splits.items():
        if split.audible is not None and not (split.audible | split.visible).any():
            notes.append(f"{name}: the eval files mark no second in it")
        splits[name] = _videos(split, store, place, path, config.missing)
        lost = len(split.video_ids) - len(splits[name])
        if lost:
            notes.append(f"{name}: {lost} videos without features are left out")
    files = [*(WEAK_FILES[name] for name in splits), *(EVAL_FILES.values() if len(splits) > 1 else ())]
    records = {name: file_record(root / name) for name in files} | {"store": file_record(path)}
    return Dataset(
        name=config.name, categories=llp.categories, **splits, label_text=store.label_text,
        synthetic=store.provenance.get("made by") == MAKER, notes=tuple(notes),
        provenance={"features": store.provenance, "files": records},
    )


def _read_annotations(root: Path, path: Path, store: Features) -> LLP:
    """Read LLP with the class order and the number of segments of a store."""
    segments = store.audio.shape[1]
    try:
        llp = read_llp(root, segments, _class_order(path, store))
    except BeyondEndError as error:
        raise DataError(f"{path}: {segments} segments in a video, but {error}; segments must be seconds") from None
    timed = [split.audible | split.visible for split in llp.splits.values() if split.audible is not None]
    last = max((int(marks.nonzero()[:, 1].max()) + 1 for marks in timed if marks.any()), default=segments)
    if last < segments:
        raise DataError(f"{path}: {segments} segments in a video, but the last event ends at second {last}; segments "
                        "must be seconds")
    return llp


def _class_order(path: Path, store: Features) -> tuple[str, ...]:
    """Return LLP's names in the order of the store's label text; underscores and spaces are the same."""
    if store.categories is None:
        return CATEGORIES
    known = {name.replace("_", " "): name for name in CATEGORIES}
    given = [name.replace("_", " ") for name in store.categories]
    if set(given) != set(known):
        odd = sorted(set(given) ^ set(known))
        raise DataError(f"{path}: its classes are not LLP's 25; {odd[0]!r} is in one of the two only")
    return tuple(known[name] for name in given)


def _videos(split: Split, store: Features, place: dict[str, int], path: Path, missing: str) -> ParsingVideos:
    """Return the videos of a split that have features."""
    rows = [row for row, name in enumerate(split.video_ids) if name in place]
    absent = [name for name in split.video_ids if name not in place]
    if absent and missing == "refuse":
        raise DataError(f"{path}: {len(absent)} of the {len(split.video_ids)} videos of {split.path} have no features, "
                        f"first {absent[0]!r}; data.missing=drop leaves them out")
    if not rows:
        raise DataError(f"{path}: none of the videos of {split.path} is in it; ids must be those of the csv file")
    at = torch.tensor([place[split.video_ids[row]] for row in rows])
    timed = {} if split.audible is None else {"audible": split.audible[rows], "visible": split.visible[rows]}
    return ParsingVideos(
        audio=store.audio[at],
        visual=store.visual[at],
        category=torch.full((len(rows),), NO_EVENT),
        relevance=torch.zeros(len(rows), store.audio.shape[1]),
        row=torch.tensor(rows),
        video_ids=tuple(split.video_ids[row] for row in rows),
        text_nodes=store.audio.shape[1],
        labels=split.labels[rows],
        **timed,
    )
