"""The LLP annotation files (audio-visual video parsing): which events a video holds, and when each is heard and seen.

Letters: N videos, T segments of one second, C event classes. LLP's classes are not exclusive and have no background.

Two forms of tab-separated files with a header (Tian et al., *Unified Multisensory Perception*, ECCV 2020)::

    AVVP_train.csv, AVVP_val_pd.csv, AVVP_test_pd.csv      filename  event_labels                    what is in a video
    AVVP_eval_audio.csv, AVVP_eval_visual.csv              filename  onset  offset  event_labels     when, val and test

A ``filename`` is ``<video>_<start>_<end>``; the video's own id may hold underscores, begin with ``-``, and times may
have a fraction. The eval files name one event a line, in whole seconds ``[onset, offset)``. ``docs/parsing.md`` lists
what is odd in the published files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from avsgn_pyg.data.files import read_text
from avsgn_pyg.errors import DataError
from avsgn_pyg.parsing.checks import EVAL_FILES, WEAK_FILES

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
class WeakLabels:
    """The events of videos, without times.

    Attributes:
        video_ids: the ``filename`` column, each once.
        labels: [N, C] 1 where the video holds the event, in whichever modality.
    """

    path: Path
    video_ids: tuple[str, ...]
    labels: Float[Tensor, "N C"]


@dataclass(frozen=True)
class SegmentLabels:
    """When each event is heard and seen; an audio-visual event is both in the same second.

    Attributes:
        audio: [N, T, C] True where the event is heard.
        visual: [N, T, C] True where it is seen.
    """

    audio: Bool[Tensor, "N T C"]
    visual: Bool[Tensor, "N T C"]


@dataclass(frozen=True)
class LLP:
    """The whole data set as annotated.

    Attributes:
        categories: C class names in index order.
        weak: split -> its videos.
        segments: ``val`` and ``test`` -> [N, T, C] of the same videos in the same order.
        notes: what was found in the files and what was done about it.
    """

    categories: tuple[str, ...]
    weak: dict[str, WeakLabels]
    segments: dict[str, SegmentLabels]
    notes: tuple[str, ...] = ()


class BeyondEndError(DataError):
    """A time after the last of T segments: the file is wrong, or T is."""


class _Line(NamedTuple):
    number: int
    fields: tuple[str, ...]


def split_name(name: str) -> tuple[str, float, float]:
    """``<video>_<start>_<end>`` taken apart from the right, since a video's id may hold underscores; seconds.

    Raises:
        DataError: other than a video and two growing times.
    """
    match = re.fullmatch(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", name)
    if match is None or float(match[2]) >= float(match[3]):
        raise DataError(f"{name!r} is not <video>_<start>_<end>, such as BjCEufrlXm4_20_30")
    return match[1], float(match[2]), float(match[3])


def read_weak(path: str | Path, categories: Sequence[str] = CATEGORIES) -> WeakLabels:
    """Read a file of video-level labels; a label that stands twice in a line counts once.

    Raises:
        DataError: file and line of a wrong header or field count, a name of another form or that stands twice, or an
            unknown label.
    """
    path, index = Path(path), {name: number for number, name in enumerate(categories)}
    names, labels = {}, []
    for line in _lines(path, WEAK_HEADER):
        name, events = line.fields
        try:
            split_name(name)
        except DataError as error:
            raise DataError(f"{path}, line {line.number}: {error}") from None
        if name in names:
            raise DataError(f"{path}, line {line.number}: {name!r} stands in line {names[name]} already")
        names[name] = line.number
        row = torch.zeros(len(index))
        row[[_index(path, line.number, event, index) for event in events.split(",")]] = 1.0
        labels.append(row)
    if not labels:
        raise DataError(f"{path}: no videos in it")
    return WeakLabels(path, tuple(names), torch.stack(labels))


def read_segments(
    audio: str | Path, visual: str | Path, video_ids: Sequence[str], segments: int = 10,
    categories: Sequence[str] = CATEGORIES,
) -> tuple[SegmentLabels, tuple[str, ...]]:
    """The segment labels of `video_ids`, and what is odd in the two files.

    A line ``[onset, offset)`` that is empty or runs backwards marks no second, as in the published evaluation; lines of
    a class may overlap or repeat. Lines of videos that are not among `video_ids` are left out.

    Raises:
        DataError: file and line of another header, a wrong field count, a time that is no whole second of 0..T, an
            unknown event; or a video that neither file mentions. A time after T is a :class:`BeyondEndError`.
    """
    place = {name: number for number, name in enumerate(video_ids)}
    index = {name: number for number, name in enumerate(categories)}
    found, notes, mentioned = [], [], set()
    for path in (Path(audio), Path(visual)):
        marks = torch.zeros(len(place), segments, len(index), dtype=torch.bool)
        empty = 0
        for line in _lines(path, EVAL_HEADER):
            name, *times, event = line.fields
            column = _index(path, line.number, event, index)
            start, end = (_second(path, line.number, text, segments) for text in times)
            if name in place:
                marks[place[name], start:end, column] = True
                empty += start >= end
                mentioned.add(name)
        if empty:
            notes.append(f"{path.name}: {empty} events without a second (their offset is not after their onset)")
        found.append(marks)
    silent = [name for name in video_ids if name not in mentioned]
    if silent:
        raise DataError(f"{audio}, {visual}: {len(silent)} of {len(place)} videos are in neither, first {silent[0]!r}")
    return SegmentLabels(*found), tuple(notes)


def read_llp(root: str | Path, segments: int = 10, categories: Sequence[str] = CATEGORIES) -> LLP:
    """Read the published files of a folder. Only the splits there are; train is required.

    Args:
        root: holds :data:`WEAK_FILES`, :data:`EVAL_FILES`, and perhaps :data:`FULL_FILE`, which is then compared.

    Raises:
        DataError: of :func:`read_weak` and :func:`read_segments`; a video in two splits; labels that contradict
            the file of the full data set.
    """
    root, categories = Path(root), tuple(categories)
    present = {split: root / name for split, name in WEAK_FILES.items() if (root / name).is_file() or split == "train"}
    weak = {split: read_weak(path, categories) for split, path in present.items()}
    _refuse_overlap(weak)
    if (root / FULL_FILE).is_file():
        _refuse_contradiction(read_weak(root / FULL_FILE, categories), weak)
    judged = [split for split in weak if split != "train"]
    ids = [name for split in judged for name in weak[split].video_ids]
    if not ids:
        return LLP(categories, weak, {})
    files = [root / name for name in EVAL_FILES.values()]
    both, notes = read_segments(*files, ids, segments, categories)
    sizes = [len(weak[split].video_ids) for split in judged]
    parts = zip(judged, both.audio.split(sizes), both.visual.split(sizes), strict=True)
    timed = {split: SegmentLabels(audio, visual) for split, audio, visual in parts}
    return LLP(categories, weak, timed, (*notes, *_differing(weak, timed), *_strangers(files, ids)))


def _lines(path: Path, header: tuple[str, ...]) -> list[_Line]:
    """The lines below the header, whatever their endings."""
    text = read_text(path)
    rows = [_Line(number, tuple(line.split("\t"))) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows or rows[0].fields != header:
        raise DataError(f"{path}: begins with {rows[0].fields if rows else 'nothing'}; LLP's has the columns {header}")
    for number, fields in rows[1:]:
        if len(fields) != len(header):
            raise DataError(f"{path}, line {number}: {len(fields)} fields instead of {len(header)}, split at tabs")
    return rows[1:]


def _index(path: Path, number: int, event: str, index: dict[str, int]) -> int:
    if event not in index:
        near = difflib.get_close_matches(event, index, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(index)}"
        raise DataError(f"{path}, line {number}: unknown event {event!r}; {hint}")
    return index[event]


def _second(path: Path, number: int, text: str, segments: int) -> int:
    if not text.isdecimal() or int(text) > segments:
        kind = BeyondEndError if text.isdecimal() else DataError
        raise kind(f"{path}, line {number}: {text!r} is no whole second of 0..{segments}")
    return int(text)


def _refuse_overlap(weak: dict[str, WeakLabels]) -> None:
    first: dict[str, str] = {}
    for split, videos in weak.items():
        for name in videos.video_ids:
            if first.setdefault(name, split) != split:
                raise DataError(f"{videos.path}: {name!r} is in the {first[name]} split too")


def _refuse_contradiction(full: WeakLabels, weak: dict[str, WeakLabels]) -> None:
    place = {name: number for number, name in enumerate(full.video_ids)}
    for videos in weak.values():
        for name, row in zip(videos.video_ids, videos.labels, strict=True):
            if name not in place or not torch.equal(full.labels[place[name]], row):
                raise DataError(f"{videos.path}: {name!r} is not in {full.path}, or with other events there")


def _differing(weak: dict[str, WeakLabels], timed: dict[str, SegmentLabels]) -> list[str]:
    """Videos whose events with times are others than those without; scores are taken against the former."""
    notes = []
    for split, labels in timed.items():
        union = (labels.audio | labels.visual).any(1).float()
        count = int((union != weak[split].labels).any(-1).sum())
        if count:
            notes.append(f"{split}: {count} of {len(union)} videos have other events in the eval files than in "
                         f"{weak[split].path.name}; scores are taken against the eval files")
    return notes


def _strangers(files: Sequence[Path], ids: Sequence[str]) -> list[str]:
    named = {line.fields[0] for path in files for line in _lines(path, EVAL_HEADER)}
    others = sorted(named - set(ids))
    return [f"eval files: {len(others)} videos are in no split and left out, such as {others[0]}"] if others else []
