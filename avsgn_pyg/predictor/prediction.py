"""The result for one video, :class:`Prediction`, per second and as events.

Shapes: S seconds of the video, C event classes (background is index C).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.graph.localization import events

#: Label of a second without an event.
BACKGROUND = "background"
#: Digits of a probability in files.
DIGITS = 6
#: Digits of the times of events that do not begin and end with seconds.
TIMES = 3
#: Seconds that a track may lack at an edge, because codecs work in blocks.
ROUNDING = 0.1


class FoundEvent(NamedTuple):
    """A maximal run of seconds with one class, or one of several events with float times; `start` and `end` in seconds.

    `confidence` is in [0, 1] and not calibrated: the mean over its seconds of relevance times class probability, or the
    score of the event. No event ends after the video.
    `seen` and `heard` are the fractions of its time in which the file has a picture and sound; ``None`` for features.
    """

    category: str
    start: float
    end: float
    confidence: float
    seen: float | None = None
    heard: float | None = None

    @property
    def note(self) -> str:
        """What the file lacks during the event, such as ``no sound`` or ``picture for 40%``; usually empty."""
        shares = (("picture", self.seen), ("sound", self.heard))
        return ", ".join(f"no {what}" if share == 0 else f"{what} for {min(max(round(100 * share), 1), 99)}%"
                         for what, share in shares if share is not None and share < 1)

    def __str__(self) -> str:
        return f"{self.category} {self.start:g}-{self.end:g} s{f' [{self.note}]' if self.note else ''}"

    @property
    def label(self) -> str:
        """The class, with the note in brackets: ``bell [no sound]``."""
        return f"{self.category} [{self.note}]" if self.note else self.category

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the note, with six digits."""
        values = {name: round(value, DIGITS) if name in ("confidence", "seen", "heard") and value is not None else value
                  for name, value in self._asdict().items()}
        return values | {"note": self.note}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Events and scores of one video; all tensors are float32 on the CPU.

    Attributes:
        name, path: name and path of the clip; for features, the caller's name and ``None``.
        categories: C class names.
        duration: in seconds, not rounded.
        relevance: [S] probability that an event is both audible and visible in the second.
        category: [S, C] class probabilities, given that there is an event; each row sums to one.
        gates: ``audio`` and ``visual`` -> [S] in (0, 1), vector gates averaged over their width; empty for models
            without gates.
        labels: [S] class of the second, C for background.
        found: the events of a model that finds several at once (``data.kind=dense``), whose `relevance` is the
            probability of the likeliest class, and `category` that of each class; ``None``: runs of `labels`.
        tau: threshold of the relevance, or of the scores in `found`; ``None`` for models with C + 1 scores, which are
            decoded without one.
        seen, heard: [S] fraction of each second that the video and the audio track contain; ``None`` for features.
        padded: seconds of padding that filled the model's window; the other fields do not contain them.
        source: folder of the checkpoint.
        notes: remarks on the file, such as that it is cut short.
    """

    name: str
    path: Path | None
    categories: tuple[str, ...]
    duration: float
    relevance: Float[Tensor, "S"]
    category: Float[Tensor, "S C"]
    gates: Mapping[str, Float[Tensor, "S"]]
    labels: Int[Tensor, "S"]
    tau: float | None
    seen: Float[Tensor, "S"] | None = None
    heard: Float[Tensor, "S"] | None = None
    padded: int = 0
    source: Path | None = None
    notes: tuple[str, ...] = ()
    found: tuple[Detection, ...] | None = None

    def __len__(self) -> int:
        return len(self.relevance)

    @property
    def events(self) -> list[FoundEvent]:
        """Maximal runs of one class other than background, or the events that the model found, in time order."""
        return self.between(0, len(self))

    def between(self, first: int, last: int) -> list[FoundEvent]:
        """Return the events, or their parts, in the seconds [first, last)."""
        if self.found is not None:
            return [*self._found_between(first, last)]
        found = []
        runs = events(self.labels[first:last], len(self.categories))
        for index, start, end in ((index, first + start, first + end) for index, start, end in runs):
            score = self.relevance[start:end] * self.category[start:end, index]
            shares = (self._share(what, start, end) for what in ("seen", "heard"))
            found.append(FoundEvent(self.categories[index], float(start), self.end_of(end - 1), float(score.mean()),
                                    *shares))
        return found

    def _found_between(self, first: int, last: int) -> Iterator[FoundEvent]:
        last = min(last, self.duration)
        for category, start, end, score in sorted(self.found, key=lambda event: event.start):
            start, end = max(round(start, TIMES), float(first)), min(round(end, TIMES), last)
            if start < end:
                shares = (self._share(what, start, end) for what in ("seen", "heard"))
                yield FoundEvent(self.categories[category], start, end, score, *shares)

    def end_of(self, second: int) -> float:
        """Return the end of a second: one second after its start, or the end of the video."""
        return float(min(second + 1, self.duration)) if second < self.duration else float(second + 1)

    def label(self, second: int) -> str:
        """Return the name of the second's class, those of all its events joined by `` + ``, or ``background``."""
        if self.found is not None:
            names = [event.category for event in self.between(second, second + 1)
                     if event.end - event.start >= (self.end_of(second) - second) / 2]
            return " + ".join(dict.fromkeys(names)) or BACKGROUND
        return (*self.categories, BACKGROUND)[int(self.labels[second])]

    def top(self, second: int, count: int) -> list[tuple[str, float]]:
        """Return the `count` most likely classes of a second with their probabilities, in descending order."""
        values, places = self.category[second].topk(min(count, len(self.categories)))
        return [(self.categories[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)]

    def missing(self, second: int) -> list[str]:
        """Return what the file lacks in a second, such as ``no picture`` or ``part of the sound``."""
        shares = (("picture", self._share("seen", second)), ("sound", self._share("heard", second)))
        return [f"{'no' if share == 0 else 'part of the'} {what}"
                for what, share in shares if share is not None and share < 1]

    def _share(self, track: str, start: float | int, end: float | int | None = None) -> float | None:
        """Return the fraction of the time [start, end), by default a second, that a track covers; 1 if nearly all."""
        given, covered, length = getattr(self, track), 0.0, 0.0
        if given is None:
            return None
        end = start + 1 if end is None else end
        for second in range(int(start), min(math.ceil(end), len(self))):
            part, share = self.end_of(second) - second, float(given[second])
            if track == "seen" and part < 1 and second:
                # A frame stands for the time around it, which may lie behind the end of a short last second.
                share = max(share, part * float(given[second - 1]))
            shown = min(end, second + part) - max(start, second)
            covered += shown * (1.0 if share >= part - ROUNDING else share / part)
            length += shown
        return covered / length

    def table(self, top: int = 1) -> str:
        """Return the events, then every second with its `top` likeliest classes, in columns for a terminal."""
        decoding = f"none, {len(self.categories) + 1}-way scores" if self.tau is None else f"{self.tau:.4g}"
        source = "" if self.source is None else f" | {self.source}"
        lines = [f"{self.name} | {self.duration:.2f} s | tau: {decoding}{source}", *self.notes]
        if self.padded:
            lines.append(f"shorter than the model's window: {self.padded} s of padding were added and removed again")
        found = [(e.category, f"{e.start:.2f}", f"{e.end:.2f}", f"{e.confidence:.3f}", *shares(e), e.note)
                 for e in self.events]
        event_rows = [("event", "start", "end", "confidence", "seen", "heard", ""), *(found or [("none", *[""] * 6)])]
        return "\n".join([*lines, "", *_columns(event_rows), "", *_columns([*self._second_rows(top)])])

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; probabilities have six digits."""
        return {
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "checkpoint": None if self.source is None else str(self.source),
            "duration": self.duration,
            "tau": self.tau,
            "padded": self.padded,
            "notes": list(self.notes),
            "categories": list(self.categories),
            "events": [event.as_dict() for event in self.events],
            "seconds": [self._second(second) for second in range(len(self))],
        }

    def _second(self, second: int) -> dict[str, Any]:
        def value(scores: Tensor | None) -> float | None:
            return None if scores is None else round(float(scores[second]), DIGITS)

        return {
            "start": float(second),
            "end": self.end_of(second),
            "label": self.label(second),
            "relevance": value(self.relevance),
            "gates": {name: value(gate) for name, gate in self.gates.items()},
            "seen": value(self.seen),
            "heard": value(self.heard),
            "note": ", ".join(self.missing(second)),
            "category": [round(share, DIGITS) for share in self.category[second].tolist()],
        }

    def _second_rows(self, top: int) -> Iterator[tuple[str, ...]]:
        gates = (f"{name} gate" for name in self.gates)
        yield "second", "label", "relevance", *gates, "class" if top == 1 else f"{top} likeliest classes", ""
        for second in range(len(self)):
            label = self.label(second)
            scores = (f"{float(values[second]):.2f}" for values in (self.relevance, *self.gates.values()))
            classes = ", ".join(f"{name} {value:.2f}" for name, value in self.top(second, top))
            yield (str(second), "-" if label == BACKGROUND else label, *scores, classes,
                   ", ".join(self.missing(second)))


def shares(event: FoundEvent) -> list[str]:
    """Return `seen` and `heard` with two digits, or empty for features."""
    return ["" if share is None else f"{share:.2f}" for share in (event.seen, event.heard)]


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
