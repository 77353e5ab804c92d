"""The F-scores of audio-visual video parsing (AVVP; Tian et al., ECCV 2020), as the field reports them.

Shapes: N videos, T segments, C event classes. Scores are percent.

    segment level   true positives are seconds of a class that are predicted and true
    event level     an event is a maximal run of seconds of one class. A predicted event with IoU >= 0.5 to a true one
                    of its class is a true positive, any other a false one; a true event without such a match is missed

    F of one class of one video   2 TP / (2 TP + FP + FN), if the class is predicted or true in that video
    F of a video                  mean over *those* classes (not over all C); 1 if there are none
    F of a split                  mean over the videos

================  =========================================================================================
``audio``         of the audible events
``visual``        of the visible events
``audio_visual``  of the seconds in which an event is both (the product of both predictions, and of both truths)
``type_av``       Type@AV: the mean of the three above
``event_av``      Event@AV: TP, FP and FN of audio and visual are added for each class of a video, then F as above
================  =========================================================================================

A class is averaged within a video and never over the split, so a rare class weighs little.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from avsgn_pyg.graph.localization import events, overlap

NAMES: Final = ("audio", "visual", "audio_visual", "type_av", "event_av")


def evaluate_parsing(
    audible: Bool[Tensor, "N T C"], visible: Bool[Tensor, "N T C"], true_audible: Bool[Tensor, "N T C"],
    true_visible: Bool[Tensor, "N T C"], *, iou: float = 0.5,
) -> dict[str, dict[str, float]]:
    """Return ``segment`` and ``event`` -> the five scores of predicted events of both modalities, by name.

    Raises:
        ValueError: the four differ in shape, there is no video, or `iou` lies outside (0, 1].
    """
    shapes = [list(part.shape) for part in (audible, visible, true_audible, true_visible)]
    if any(shape != shapes[0] for shape in shapes) or not audible.numel():
        raise ValueError(f"predictions and truth must be four blocks [N, T, C] of one shape, not empty; got {shapes}")
    if not 0.0 < iou <= 1.0:
        raise ValueError(f"iou={iou} must lie in (0, 1]: it is an intersection over union")
    pairs = ((audible, true_audible), (visible, true_visible), (audible & visible, true_audible & true_visible))
    return {"segment": _scores(*(_count_seconds(*pair) for pair in pairs)),
            "event": _scores(*(_count_events(*pair, iou) for pair in pairs))}


def format_scores(scores: dict[str, dict[str, float]]) -> str:
    """Return both levels of :func:`evaluate_parsing` as a table."""
    lines = [" " * 14 + "".join(f"{head:>10}" for head in ("A", "V", "AV", "Type@AV", "Event@AV"))]
    lines += [f"{level + ' level':<14}" + "".join(f"{value:>10.2f}" for value in scores[level].values())
              for level in ("segment", "event")]
    return "\n".join(lines)


def _scores(audio: Int[Tensor, "3 N C"], visual: Int[Tensor, "3 N C"], both: Int[Tensor, "3 N C"]) -> dict[str, float]:
    single = [_mean_f(counts) for counts in (audio, visual, both)]
    return dict(zip(NAMES, (*single, sum(single) / 3, _mean_f(audio + visual)), strict=True))


def _mean_f(counts: Int[Tensor, "3 N C"]) -> float:
    hits, wrong, missed = counts
    found = 2 * hits.double()
    whole = found + wrong + missed
    present = whole > 0
    each = torch.where(present, found / whole.clamp_min(1), 0.0).sum(-1)
    classes = present.sum(-1)
    return 100.0 * torch.where(classes > 0, each / classes.clamp_min(1), 1.0).mean().item()


def _count_seconds(predicted: Bool[Tensor, "N T C"], true: Bool[Tensor, "N T C"]) -> Int[Tensor, "3 N C"]:
    """Return true positives, false positives and misses of every class of every video."""
    return torch.stack([(predicted & true).sum(1), (predicted & ~true).sum(1), (~predicted & true).sum(1)])


def _count_events(predicted: Bool[Tensor, "N T C"], true: Bool[Tensor, "N T C"], iou: float) -> Int[Tensor, "3 N C"]:
    counts = torch.zeros(3, len(predicted), predicted.shape[-1], dtype=torch.int64)
    for video, category in (predicted | true).any(1).nonzero().tolist():
        found, truth = (events(marks[video, :, category].long(), 0) for marks in (predicted, true))
        hits = sum(any(overlap(one, other) >= iou for other in truth) for one in found)
        missed = sum(all(overlap(one, other) < iou for one in found) for other in truth)
        counts[:, video, category] = torch.tensor([hits, len(found) - hits, missed])
    return counts
