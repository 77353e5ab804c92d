"""The F-scores of audio-visual video parsing (AVVP; Tian et al., ECCV 2020), as the field reports them.

Letters: N videos, T segments, C event classes. Scores are percent.

    segment level   true positives are seconds of a class that are predicted and true
    event level     an event is a maximal run of seconds of one class. A predicted event with IoU >= 0.5 to a true one
                    of its class is a true positive, any other a false one; a true event that none meets so is missed

    F of one class of one video   2 TP / (2 TP + FP + FN), where the class is predicted or true in that video
    F of a video                  mean over *those* classes (not over all C); 1 where there is none
    F of a split                  mean over the videos

=============  ============================================================================================
``audio``      of the events heard
``visual``     of the events seen
``audio_visual``  of the seconds in which an event is both (the product of the two answers, and of the two truths)
``type_av``    Type@AV: the mean of the three above
``event_av``   Event@AV: TP, FP and FN of audio and visual are added for each class of a video, then F as above
=============  ============================================================================================

What to know when reading them: a video counts alike however many events it holds; a class is averaged within a video
and never over the split, so a rare class weighs little, and a single false class halves a video of one event; a video
without audio-visual events scores 1 in ``audio_visual`` if none is predicted and 0 otherwise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from avsgn_pyg.localization import events


class ParsingScores(NamedTuple):
    """Five F-scores of one level, percent; see the module."""

    audio: float
    visual: float
    audio_visual: float
    type_av: float
    event_av: float


@dataclass(frozen=True)
class ParsingReport:
    """Both levels' scores.

    Attributes:
        segment, event: the two levels.
        videos: how many were scored.
        iou: from which events match.
    """

    segment: ParsingScores
    event: ParsingScores
    videos: int
    iou: float

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        levels = {name: getattr(self, name)._asdict() for name in ("segment", "event")}
        return {**asdict(self), **levels}

    def table(self) -> str:
        """Both levels in columns."""
        heads = ("A", "V", "AV", "Type@AV", "Event@AV")
        lines = [f"{'':<14}" + "".join(f"{head:>10}" for head in heads)]
        for name in ("segment", "event"):
            lines.append(f"{name + ' level':<14}" + "".join(f"{value:>10.2f}" for value in getattr(self, name)))
        return "\n".join(lines)


class _Counts(NamedTuple):
    """True positives, false positives and misses of every class of every video."""

    hits: Int[Tensor, "N C"]
    wrong: Int[Tensor, "N C"]
    missed: Int[Tensor, "N C"]

    def plus(self, other: _Counts) -> _Counts:
        return _Counts(*(one + two for one, two in zip(self, other, strict=True)))


def evaluate_parsing(
    heard: Bool[Tensor, "N T C"],
    seen: Bool[Tensor, "N T C"],
    true_heard: Bool[Tensor, "N T C"],
    true_seen: Bool[Tensor, "N T C"],
    *,
    iou: float = 0.5,
) -> ParsingReport:
    """Score predicted events of both modalities against the annotated ones.

    Raises:
        ValueError: the four do not have one shape, there is no video, or `iou` lies outside (0, 1].
    """
    shapes = [list(part.shape) for part in (heard, seen, true_heard, true_seen)]
    if any(shape != shapes[0] for shape in shapes) or not heard.numel():
        raise ValueError(f"predictions and truth must be four blocks [N, T, C] of one shape, not empty; got {shapes}")
    if not 0.0 < iou <= 1.0:
        raise ValueError(f"iou={iou} must lie in (0, 1]: it is an intersection over union")
    pairs = ((heard, true_heard), (seen, true_seen), (heard & seen, true_heard & true_seen))
    segment = _scores(*(_seconds(*pair) for pair in pairs))
    event = _scores(*(_events(*pair, iou) for pair in pairs))
    return ParsingReport(segment, event, len(heard), iou)


def _scores(audio: _Counts, visual: _Counts, both: _Counts) -> ParsingScores:
    single = [_mean_f(counts) for counts in (audio, visual, both)]
    return ParsingScores(*single, sum(single) / 3, _mean_f(audio.plus(visual)))


def _mean_f(counts: _Counts) -> float:
    found = 2 * counts.hits.double()
    whole = found + counts.wrong + counts.missed
    there = whole > 0
    each = torch.where(there, found / whole.clamp_min(1), 0.0).sum(-1)
    classes = there.sum(-1)
    return 100.0 * torch.where(classes > 0, each / classes.clamp_min(1), 1.0).mean().item()


def _seconds(predicted: Bool[Tensor, "N T C"], true: Bool[Tensor, "N T C"]) -> _Counts:
    return _Counts((predicted & true).sum(1), (predicted & ~true).sum(1), (~predicted & true).sum(1))


def _events(predicted: Bool[Tensor, "N T C"], true: Bool[Tensor, "N T C"], iou: float) -> _Counts:
    hits, wrong, missed = torch.zeros(3, len(predicted), predicted.shape[-1], dtype=torch.int64)
    for video, event in (predicted | true).any(1).nonzero().tolist():
        answers, truth = (_runs(marks[video, :, event]) for marks in (predicted, true))
        meets = _overlaps(answers, truth) >= iou
        hits[video, event] = int(meets.any(1).sum())
        wrong[video, event] = len(answers) - int(hits[video, event])
        missed[video, event] = int((~meets.any(0)).sum())
    return _Counts(hits, wrong, missed)


def _runs(marks: Bool[Tensor, "T"]) -> Int[Tensor, "E 2"]:
    """Start and end of the maximal runs."""
    found = [(event.start, event.end) for event in events(marks.long(), 0)]
    return torch.tensor(found, dtype=torch.int64).view(-1, 2)


def _overlaps(one: Int[Tensor, "E 2"], other: Int[Tensor, "F 2"]) -> Float[Tensor, "E F"]:
    """Intersection over union of every pair."""
    start, end = torch.maximum(one[:, None, 0], other[None, :, 0]), torch.minimum(one[:, None, 1], other[None, :, 1])
    shared = (end - start).clamp_min(0).double()
    joint = (one[:, 1] - one[:, 0])[:, None] + (other[:, 1] - other[:, 0])[None] - shared
    return shared / joint
