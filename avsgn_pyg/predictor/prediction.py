"""What a model says of one video: :class:`Prediction`, second by second and as events.

Letters: S seconds of the video, C event classes (background is index C).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.localization import events

#: How a second without an event is called.
BACKGROUND = "background"
#: Digits of a probability in files.
DIGITS = 6


class FoundEvent(NamedTuple):
    """A maximal run of seconds with one class.

    Attributes:
        category: the class's name.
        start, end: in seconds; the end of the last second of a video is the video's own end.
        confidence: mean of relevance times class probability over the run's seconds, in [0, 1]; no calibrated
            probability.
    """

    category: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """A video's answer; probabilities, float32 on the CPU.

    Attributes:
        name: the clip's file name, or what the caller called it.
        path: the clip; ``None`` for features.
        categories: C class names.
        duration: in seconds, not rounded.
        relevance: [S] probability that an event is both heard and seen in the second.
        category: [S, C] class probabilities, given that there is an event; rows sum to one.
        gates: ``audio`` and ``visual`` -> [S] in (0, 1), the mean over the width of vector gates; empty for models
            without gates.
        labels: [S] class of the second, C for background.
        tau: threshold of the relevance; ``None`` for models of C + 1 scores, which are decoded without one.
        seen: [S] share of the second's pictures that the video really has; ``None`` for features.
        heard: [S] share of the second that the sound track covers; ``None`` for features.
        padded: seconds that were added to fill the model's one window; they are in no other field.
        source: the checkpoint's folder.
        notes: sentences on the clip that a reader should see, such as a file that breaks off.
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

    def __len__(self) -> int:
        return len(self.relevance)

    @property
    def events(self) -> list[FoundEvent]:
        """Maximal runs of one class other than background, in time order."""
        found = []
        for index, start, end in events(self.labels, len(self.categories)):
            share = self.relevance[start:end] * self.category[start:end, index]
            found.append(FoundEvent(self.categories[index], float(start), self.end_of(end - 1), float(share.mean())))
        return found

    def end_of(self, second: int) -> float:
        """When a second ends: one second after its start, or with the video."""
        return float(min(second + 1, self.duration)) if second < self.duration else float(second + 1)

    def label(self, second: int) -> str:
        """Name of the second's class, or ``background``."""
        return (*self.categories, BACKGROUND)[int(self.labels[second])]

    def top(self, second: int, count: int) -> list[tuple[str, float]]:
        """The `count` most likely classes of a second with their probabilities, the likeliest first."""
        values, places = self.category[second].topk(min(count, len(self.categories)))
        return [(self.categories[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)]

    def marks(self, second: int) -> list[str]:
        """What the model had to do without in that second: ``no picture``, ``no sound``, or only a part."""
        shares = (("picture", self.seen), ("sound", self.heard))
        return [f"{'no' if share[second] == 0 else 'part of the'} {what}"
                for what, share in shares if share is not None and share[second] < 1]

    def table(self, top: int = 1) -> str:
        """The events, then every second, in columns for a terminal.

        Args:
            top: classes to show for each second.
        """
        lines = [*self._head(), ""]
        lines += _columns([("event", "start", "end", "confidence"), *self._event_rows()])
        gates = tuple(f"{name} gate" for name in self.gates)
        rows = [("second", "label", "relevance", *gates, "class" if top == 1 else f"{top} likeliest classes", "")]
        return "\n".join([*lines, "", *_columns([*rows, *self._second_rows(top)])])

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; probabilities with six digits."""
        return {
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "checkpoint": None if self.source is None else str(self.source),
            "duration": self.duration,
            "tau": self.tau,
            "padded": self.padded,
            "notes": list(self.notes),
            "categories": list(self.categories),
            "events": [{**event._asdict(), "confidence": round(event.confidence, DIGITS)} for event in self.events],
            "seconds": [self._second(second) for second in range(len(self))],
        }

    def _second(self, second: int) -> dict[str, Any]:
        shares = {"seen": self.seen, "heard": self.heard}
        return {
            "start": float(second),
            "end": self.end_of(second),
            "label": self.label(second),
            "relevance": _rounded(self.relevance[second]),
            "gates": {name: _rounded(gate[second]) for name, gate in self.gates.items()},
            **{name: None if share is None else _rounded(share[second]) for name, share in shares.items()},
            "category": [round(value, DIGITS) for value in self.category[second].tolist()],
        }

    def _head(self) -> Iterator[str]:
        decoded = f"none, {len(self.categories) + 1}-way scores" if self.tau is None else f"{self.tau:.4g}"
        source = "" if self.source is None else f" | {self.source}"
        yield f"{self.name} | {self.duration:.2f} s | tau: {decoded}{source}"
        yield from self.notes
        if self.padded:
            yield f"shorter than the model's window: {self.padded} s were added at the end and cut off again"

    def _event_rows(self) -> list[tuple[str, ...]]:
        rows = [(e.category, f"{e.start:.2f}", f"{e.end:.2f}", f"{e.confidence:.3f}") for e in self.events]
        return rows or [("none", "", "", "")]

    def _second_rows(self, top: int) -> Iterator[tuple[str, ...]]:
        for second in range(len(self)):
            label = self.label(second)
            classes = ", ".join(f"{name} {value:.2f}" for name, value in self.top(second, top))
            gates = (f"{float(gate[second]):.2f}" for gate in self.gates.values())
            yield (str(second), "-" if label == BACKGROUND else label, f"{float(self.relevance[second]):.2f}",
                   *gates, classes, ", ".join(self.marks(second)))


def _rounded(value: Tensor) -> float:
    return round(float(value), DIGITS)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
