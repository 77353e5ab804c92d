"""The F-scores of audio-visual video parsing (AVVP; Tian et al., ECCV 2020), as the field reports them.

Shapes: N videos, T segments, C event classes. Scores are percent. :mod:`avsgn_pyg.metrics.f_score` defines the F of a
video at segment and at event level; that of a split is the mean over its videos.

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

from jaxtyping import Bool, Int
from torch import Tensor

from avsgn_pyg.metrics.f_score import IOU, count_events, count_seconds, video_f

NAMES: Final = ("audio", "visual", "audio_visual", "type_av", "event_av")


def evaluate_parsing(
    audible: Bool[Tensor, "N T C"], visible: Bool[Tensor, "N T C"], true_audible: Bool[Tensor, "N T C"],
    true_visible: Bool[Tensor, "N T C"], *, iou: float = IOU,
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
    return {"segment": _scores(*(count_seconds(*pair) for pair in pairs)),
            "event": _scores(*(count_events(*pair, iou) for pair in pairs))}


def format_scores(scores: dict[str, dict[str, float]]) -> str:
    """Return both levels of :func:`evaluate_parsing` as a table."""
    lines = [" " * 14 + "".join(f"{head:>10}" for head in ("A", "V", "AV", "Type@AV", "Event@AV"))]
    lines += [f"{level + ' level':<14}" + "".join(f"{value:>10.2f}" for value in scores[level].values())
              for level in ("segment", "event")]
    return "\n".join(lines)


def _scores(audio: Int[Tensor, "3 N C"], visual: Int[Tensor, "3 N C"], both: Int[Tensor, "3 N C"]) -> dict[str, float]:
    single = [100.0 * video_f(counts).mean().item() for counts in (audio, visual, both)]
    event_av = 100.0 * video_f(audio + visual).mean().item()
    return dict(zip(NAMES, (*single, sum(single) / 3, event_av), strict=True))
