"""The LLP annotation files: which events a video contains, and when each is audible and visible.

Shapes: N videos, T segments of one second, C event classes. LLP's classes are not exclusive and have no background.

Tab-separated files with a header, in two forms (Tian et al., *Unified Multisensory Perception*, ECCV 2020)::

    AVVP_train.csv, AVVP_val_pd.csv, AVVP_test_pd.csv      filename  event_labels                    without times
    AVVP_eval_audio.csv, AVVP_eval_visual.csv              filename  onset  offset  event_labels     of val and test

A ``filename`` is ``<video>_<start>_<end>``; the video's own id may contain underscores or begin with ``-``, and times
may have a fraction. The eval files have one event per line, in whole seconds ``[onset, offset)``. ``docs/parsing.md``
lists the oddities of the published files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.ave import class_index
from avsgn_pyg.data.files import read_table
from avsgn_pyg.tasks.parsing.checks import EVAL_FILES, WEAK_FILES

#: The field's class order (that of the published code's output layer).
CATEGORIES: Final = (
    "Speech", "Car", "Cheering", "Dog", "Cat", "Frying_(food)", "Basketball_bounce", "Fire_alarm", "Chainsaw", "Cello",
    "Banjo", "Singing", "Chicken_rooster", "Violin_fiddle", "Vacuum_cleaner", "Baby_laughter", "Accordion",
    "Lawn_mower", "Motorcycle", "Helicopter", "Acoustic_guitar", "Telephone_bell_ringing", "Baby_cry_infant_cry",
    "Blender", "Clapping",
)
FULL_FILE: Final = "AVVP_dataset_full.csv"
WEAK_HEADER: Final = ("filename", "event_labels")
EVAL_HEADER: Final = ("filename", "onset", "offset", "event_labels")


@dataclass(frozen=True)
class Split:
    """The annotated videos of one split.

    Attributes:
        path: the file of video-level labels.
        video_ids: its ``filename`` column; no duplicates.
        labels: [N, C] 1 if the video contains the event, in either modality.
        audible, visible: [N, T, C] True in the seconds in which the event is audible, or visible; ``None`` for train.
    """

    path: Path
    video_ids: tuple[str, ...]
    labels: Float[Tensor, "N C"]
    audible: Bool[Tensor, "N T C"] | None = None
    visible: Bool[Tensor, "N T C"] | None = None


@dataclass(frozen=True)
class LLP:
    """The whole data set as annotated.

    Attributes:
        categories: C class names in index order.
        splits: by name, those that have a file.
        notes: what was found in the files and what was done about it.
    """

    categories: tuple[str, ...]
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()


class BeyondEndError(DataError):
    """Raised when an event ends after T: the file or T is wrong."""


def split_name(name: str) -> tuple[str, float, float]:
    """Split ``<video>_<start>_<end>`` from the right, because a video's id may contain underscores; times in seconds.

    Raises:
        DataError: the name does not have this form, or end is not after start.
    """
    match = re.fullmatch(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", name)
    if match is None or float(match[2]) >= float(match[3]):
        raise DataError(f"{name!r} is not <video>_<start>_<end>, such as BjCEufrlXm4_20_30")
    return match[1], float(match[2]), float(match[3])


def read_llp(root: str | Path, segments: int = 10, categories: Sequence[str] = CATEGORIES) -> LLP:
    """Read the published files of a folder; only train is required.

    Args:
        root: contains :data:`WEAK_FILES`, :data:`EVAL_FILES`, and optionally :data:`FULL_FILE`, which is then compared.

    Raises:
        DataError: errors of :func:`read_split`; a video in two splits; labels that contradict the file of the full
            data set; an event's time that is not a whole second of 0..T (:class:`BeyondEndError` after T); a video that
            neither eval file mentions.
    """
    root, categories = Path(root), tuple(categories)
    present = {name: root / file for name, file in WEAK_FILES.items() if (root / file).is_file() or name == "train"}
    splits = {name: read_split(path, categories) for name, path in present.items()}
    _check_overlap(splits)
    if (root / FULL_FILE).is_file():
        _check_agreement(read_split(root / FULL_FILE, categories), splits)
    timed = [name for name in splits if name != "train"]
    ids = [video for name in timed for video in splits[name].video_ids]
    if not ids:
        return LLP(categories, splits)
    files = [root / name for name in EVAL_FILES.values()]
    found, mentioned, notes = [], set(), []
    for path in files:
        marks, names, empty = _read_times(path, ids, segments, categories)
        found.append(marks)
        mentioned |= names
        if empty:
            notes.append(f"{path.name}: {empty} empty events (their offset is not after their onset)")
    silent = [video for video in ids if video not in mentioned]
    if silent:
        raise DataError(f"{files[0]}, {files[1]}: {len(silent)} of {len(ids)} videos are in neither file, first "
                        f"{silent[0]!r}")
    parts = zip(timed, *(marks.split([len(splits[name].video_ids) for name in timed]) for marks in found), strict=True)
    splits |= {name: replace(splits[name], audible=audible, visible=visible) for name, audible, visible in parts}
    others = sorted(mentioned - set(ids))
    unknown = [f"eval files: {len(others)} videos are in no split and left out, such as {others[0]}"] if others else []
    return LLP(categories, splits, (*notes, *_differences(splits), *unknown))


def read_split(path: str | Path, categories: Sequence[str] = CATEGORIES) -> Split:
    """Read a file of video-level labels; a label that is repeated in a line counts once.

    Raises:
        DataError: file and line of a wrong header or field count, a malformed or repeated name, or an
            unknown label.
    """
    path, index = Path(path), {name: number for number, name in enumerate(categories)}
    lines: dict[str, str] = {}
    labels = []
    for where, (name, events) in read_table(path, WEAK_HEADER, "\t"):
        try:
            split_name(name)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        if name in lines:
            raise DataError(f"{where}: {name!r} is already in {lines[name]}")
        lines[name] = where
        row = torch.zeros(len(index))
        row[[class_index(event, index, where) for event in events.split(",")]] = 1.0
        labels.append(row)
    if not labels:
        raise DataError(f"{path}: no videos in it")
    return Split(path, tuple(lines), torch.stack(labels))


def _read_times(
    path: Path, video_ids: Sequence[str], segments: int, categories: Sequence[str]
) -> tuple[Bool[Tensor, "N T C"], set[str], int]:
    """Read an eval file: seconds with an event, all videos of the file, and the number of empty events.

    A line whose offset is not after its onset marks no second, as in the published evaluation; lines of a class may
    overlap or repeat.
    """
    place = {name: number for number, name in enumerate(video_ids)}
    index = {name: number for number, name in enumerate(categories)}
    marks, names, empty = torch.zeros(len(place), segments, len(index), dtype=torch.bool), set(), 0
    for where, (name, *times, event) in read_table(path, EVAL_HEADER, "\t"):
        column, (start, end) = class_index(event, index, where), (_second(text, segments, where) for text in times)
        names.add(name)
        if name in place:
            marks[place[name], start:end, column] = True
            empty += start >= end
    return marks, names, empty


def _second(text: str, segments: int, where: str) -> int:
    if not text.isdecimal() or int(text) > segments:
        kind = BeyondEndError if text.isdecimal() else DataError
        raise kind(f"{where}: {text!r} is not a whole second from 0 to {segments}")
    return int(text)


def _check_overlap(splits: dict[str, Split]) -> None:
    first: dict[str, str] = {}
    for name, split in splits.items():
        for video in split.video_ids:
            if first.setdefault(video, name) != name:
                raise DataError(f"{split.path}: {video!r} is in the {first[video]} split too")


def _check_agreement(full: Split, splits: dict[str, Split]) -> None:
    place = {video: number for number, video in enumerate(full.video_ids)}
    for split in splits.values():
        for video, labels in zip(split.video_ids, split.labels, strict=True):
            if video not in place or not torch.equal(full.labels[place[video]], labels):
                raise DataError(f"{split.path}: {video!r} is not in {full.path}, or has other events there")


def _differences(splits: dict[str, Split]) -> Iterator[str]:
    """Yield notes on videos whose timed events differ from their video-level labels; scores use the timed events."""
    for name, split in splits.items():
        if split.audible is not None:
            events = (split.audible | split.visible).any(1).float()
            count = int((events != split.labels).any(-1).sum())
            if count:
                yield (f"{name}: {count} of {len(events)} videos have other events in the eval files than in "
                       f"{split.path.name}; scores are taken against the eval files")
