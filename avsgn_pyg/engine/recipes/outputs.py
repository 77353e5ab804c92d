"""The outputs of an evaluation: a line for each video in ``predictions.csv``, all numbers in ``predictions.npz``."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import atomic, write_text
from avsgn_pyg.common.text import csv_cell
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.engine.evaluator import GATES
from avsgn_pyg.graph.localization import Localization, ensemble
from avsgn_pyg.graph.views import length_mask

COLUMNS: Final = ("row", "video_id", "true_class", "predicted_class", "confidence", "accuracy", "true_labels",
                  "predicted_labels", "predicted_events", "relevance", "audio_gate", "visual_gate")
NPZ: Final = "predictions.npz"


def write_predictions(
    folder: Path, videos: Videos, found: Localization, categories: Sequence[str], tau: float
) -> None:
    """Write both files; the CSV has the labels that `tau` decodes."""
    write_text(folder / "predictions.csv", _csv(videos, found, categories, tau))
    with atomic(folder / NPZ) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **_arrays(videos, found, categories))


def score_together(folders: Sequence[Path], tau: float) -> tuple[metrics.Report, Int[Tensor, "N"]] | None:
    """Score the ensemble of several evaluations of the same videos, from their files; needs neither model nor data.

    Returns:
        The report, without an interval, and the number of right segments of each video; ``None`` if an evaluation was
        written without ``predictions.npz``, by version 0.2.0.

    Raises:
        DataError: a file is damaged, or of other videos than the first.
    """
    paths = [folder / NPZ for folder in folders]
    if not all(path.is_file() for path in paths):
        return None
    first, *others = saved = [_read(path) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        if first["categories"] != other["categories"] or not torch.equal(first["row"], other["row"]):
            raise DataError(f"{path}: of other videos or classes than {paths[0]}")
    category, relevance = first["true_category"], first["true_relevance"]
    mask = length_mask(first["seconds"], relevance.shape[1])
    found = ensemble([Localization(each["category_logits"], each["relevance_logits"], mask=mask,
                                   segment_scores=each.get("segment_logits")) for each in saved])
    report = metrics.evaluate(found.category, found.relevance, category, relevance, tau=tau, bootstrap=0, mask=mask,
                              categories=first["categories"], segment_scores=found.segment_scores)
    target = metrics.segment_targets(category, metrics.zero_padding(relevance, mask), len(first["categories"]))
    return report, ((metrics.labels(found, tau) == target) & mask).sum(-1)


def _read(path: Path) -> dict[str, Any]:
    """The arrays of a file: text as lists, numbers as tensors."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: array.tolist() if array.dtype.kind == "U" else torch.from_numpy(array)
                    for name, array in arrays.items()}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as predictions ({error}); remove its folder to have it "
                        "rewritten") from None


def _csv(videos: Videos, found: Localization, categories: Sequence[str], tau: float) -> str:
    """CSV: labels are names joined by ``|``; events (``name start-end`` in seconds), relevance and gates likewise."""
    names = (*categories, metrics.BACKGROUND)
    records = metrics.video_records(
        found.category, found.relevance, videos.category.cpu(), videos.relevance.cpu(),
        categories=categories, tau=tau, segment_scores=found.segment_scores, mask=videos.mask)
    by_second = (found.relevance.sigmoid(), *(found.gates.get(name) for name in GATES))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for n, (row, video, record) in enumerate(zip(videos.row.tolist(), videos.video_ids, records, strict=True)):
        events = (f"{names[event.category]} {event.start}-{event.end}" for event in record.predicted_events)
        labelled = ("|".join(names[label] for label in side) for side in (record.true_labels, record.predicted_labels))
        cells = (row, video, record.true_class or "", record.predicted_class, f"{record.confidence:.6f}",
                 f"{record.accuracy:.1f}", *labelled, "|".join(events),
                 *(_joined(None if rows is None else rows[n], len(record.true_labels)) for rows in by_second))
        writer.writerow(map(csv_cell, cells))
    return text.getvalue()


def _joined(rows: Tensor | None, seconds: int) -> str:
    """One number for each second of a video, without its padding."""
    return "" if rows is None else "|".join(f"{value:.4f}" for value in rows.flatten()[:seconds].tolist())


def _arrays(videos: Videos, found: Localization, categories: Sequence[str]) -> dict[str, np.ndarray]:
    """The outputs and labels of every video, by name; logits, so that nothing is lost."""
    tensors = {"row": videos.row, "seconds": videos.seconds, "true_category": videos.category,
               "true_relevance": videos.relevance, "category_logits": found.category,
               "relevance_logits": found.relevance, "segment_logits": found.segment_scores}
    tensors |= {f"{name}_gate": gate[..., 0] for name, gate in found.gates.items()}
    return {"video_id": np.array(videos.video_ids), "categories": np.array(categories),
            **{name: tensor.cpu().numpy() for name, tensor in tensors.items() if tensor is not None}}
