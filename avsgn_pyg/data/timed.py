"""AVE, OV-AVE and AVE-PM as videos with timed events, from the folder of their published annotation files."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from pathlib import Path

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent
from avsgn_pyg.data.ave import SPLITS, Annotations, Splits, read_annotations, read_splits
from avsgn_pyg.data.by_id import read_avepm, read_ovave
from avsgn_pyg.data.files import BY_ID_FILES, SPLIT_FILES


def read_folder(root: str | Path, segments: int = 10) -> list[AnnotatedVideo]:
    """Return the videos of a folder of AVE, OV-AVE or AVE-PM, each `segments` seconds long, in file order.

    Rows of AVE with one id become one video with several events. If they are in different splits, the video is in test
    rather than val, and in val rather than train, so that no training video is evaluated on.

    Raises:
        DataError: the folder has the files of none of the three, or one of them is invalid.
    """
    root = Path(root)
    if (root / BY_ID_FILES["ov-ave"][0]).is_file():
        annotations, splits, _ = read_ovave(root)
    elif (root / "Annotations.txt").is_file():
        annotations = read_annotations(root / "Annotations.txt", segments)
        form = "order" if (root / SPLIT_FILES["order"].format("train")).is_file() else "txt"
        splits = read_splits(root, annotations, source=form)
    elif (root / BY_ID_FILES["ave-pm"][0]).is_file():
        annotations, splits = read_avepm(root, segments)
    else:
        raise DataError(f"{root}: expected the annotation files of AVE (Annotations.txt), OV-AVE "
                        f"({BY_ID_FILES['ov-ave'][0]}) or AVE-PM ({', '.join(BY_ID_FILES['ave-pm'])})")
    return _videos(annotations, splits)


def _videos(annotations: Annotations, splits: Splits) -> list[AnnotatedVideo]:
    split_of = {row: split for split, rows in splits.present().items() for row in rows.tolist()}
    events, found = defaultdict(list), defaultdict(set)
    for row, runs in enumerate(_runs(annotations)):
        label = annotations.categories[int(annotations.category[row])]
        events[annotations.video_ids[row]] += [TimedEvent(label, start, end) for start, end in runs]
        found[annotations.video_ids[row]].add(split_of.get(row))
    return [AnnotatedVideo(video_id, float(annotations.segments),
                           next((split for split in reversed(SPLITS) if split in found[video_id]), None),
                           tuple(dict.fromkeys(sorted(items, key=lambda event: (event.start, event.end, event.label)))))
            for video_id, items in events.items()]


def _runs(annotations: Annotations) -> list[list[tuple[float, float]]]:
    """Return start and end of every run of event seconds of every row, as annotated where times are not whole."""
    if annotations.times is not None:
        return [[(start, end)] for start, end in annotations.times.double().tolist()]
    found = []
    for seconds in annotations.relevance.bool().tolist():
        runs = (list(run) for there, run in groupby(range(len(seconds)), key=seconds.__getitem__) if there)
        found.append([(float(run[0]), float(run[-1] + 1)) for run in runs])
    return found
