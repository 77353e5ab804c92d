"""Find clips that are shorter than their annotation, and label their padded seconds.

Shapes: N annotated videos.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool
from torch import Tensor

from avsgn_pyg.common.config import DataConfig
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.ave import Annotations
from avsgn_pyg.data.rows import format_some
from avsgn_pyg.data.sources import ABSENT, Source

UNKNOWN = "clip lengths are not recorded, so events that end after their clip cannot be found"
DONE = {"keep": "their padded seconds count as the event (data.padded_events=background or drop changes this)",
        "background": "their padded seconds count as background", "drop": "left out"}


def find_padded(annotations: Annotations, source: Source, places: Tensor) -> tuple[Bool[Tensor, "N"], list[str]]:
    """Return which events end after their clip, and a sentence if there are any; none if lengths are not recorded."""
    if source.seconds is None:
        return torch.zeros(len(annotations), dtype=torch.bool), []
    seconds = _seconds(annotations, source, places)
    padded = annotations.end > seconds
    rows = [f"row {row} ({annotations.video_ids[row]}) ends at {int(annotations.end[row])}, its clip has "
            f"{int(seconds[row])} s" for row in padded.nonzero().flatten().tolist()]
    return padded, [f"events that end after their clip: {len(rows)}: {format_some(rows, most=20)}"] if rows else []


def label_padded(
    config: DataConfig, annotations: Annotations, source: Source, places: Tensor
) -> tuple[Annotations, Bool[Tensor, "N"], list[str]]:
    """Apply ``data.padded_events``: return the annotations to train on, the rows to leave out, and a warning.

    Raises:
        DataError: a setting other than ``keep`` without recorded lengths; or ``keep`` for a store of mixed lengths,
            which has no seconds for the end of such an event.
    """
    choice, files = config.padded_events, ", ".join(map(str, source.files))
    padded, found = find_padded(annotations, source, places)
    if choice != "keep" and source.seconds is None:
        raise DataError(f"{files}: {UNKNOWN}; for data.padded_events={choice}, extract the features again with "
                        "tools/extract_features.py; otherwise set data.padded_events=keep")
    if not found:
        return annotations, padded, []
    if choice == "keep" and source.lengths is not None:
        raise DataError(f"{files}: {found[0]}; correct the annotations, or set data.padded_events=background "
                        "or drop")
    if choice == "background":
        end = annotations.end.minimum(_seconds(annotations, source, places))
        some = annotations.start < end
        annotations = dataclasses.replace(annotations, start=annotations.start * some, end=end * some)
    return annotations, padded if choice == "drop" else torch.zeros_like(padded), [f"{found[0]}; {DONE[choice]}"]


def _seconds(annotations: Annotations, source: Source, places: Tensor) -> Tensor:
    return torch.where(places == ABSENT, annotations.segments, source.seconds[places])
