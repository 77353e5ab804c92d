"""The result for one video, :class:`Prediction`, per second and as events.

Shapes: S seconds of the video, C event classes (background is index C).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.graph.localization import events

#: Label of a second without an event.
BACKGROUND = "background"
#: Digits of a probability in files.
DIGITS = 6


class FoundEvent(NamedTuple):
    """A maximal run of seconds with one class; `start` and `end` in seconds, the last second ends with the video.

    `confidence` is the mean over its seconds of relevance times class probability, in [0, 1]; it is not calibrated.
    """

    category: str
    start: float
    end: float
    confidence: float


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
        tau: threshold of the relevance; ``None`` for models with C + 1 scores, which are decoded without one.
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

    def __len__(self) -> int:
        return len(self.relevance)

    @property
    def events(self) -> list[FoundEvent]:
        """Maximal runs of one class other than background, in time order."""
        found = []
        for index, start, end in events(self.labels, len(self.categories)):
            score = self.relevance[start:end] * self.category[start:end, index]
            found.append(FoundEvent(self.categories[index], float(start), self.end_of(end - 1), float(score.mean())))
        return found

    def end_of(self, second: int) -> float:
        """Return the end of a second: one second after its start, or the end of the video."""
        return float(min(second + 1, self.duration)) if second < self.duration else float(second + 1)

    def label(self, second: int) -> str:
        """Return the name of the second's class, or ``background``."""
        return (*self.categories, BACKGROUND)[int(self.labels[second])]

    def top(self, second: int, count: int) -> list[tuple[str, float]]:
        """Return the `count` most likely classes of a second with their probabilities, in descending order."""
        values, places = self.category[second].topk(min(count, len(self.categories)))
        return [(self.categories[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)]

    def missing(self, second: int) -> list[str]:
        """Return what the file lacks in a second, such as ``no picture`` or ``part of the sound``."""
        shares = (("picture", self.seen), ("sound", self.heard))
        return [f"{'no' if share[second] == 0 else 'part of the'} {what}"
                for what, share in shares if share is not None and share[second] < 1]

    def table(self, top: int = 1) -> str:
        """Return the events, then every second with its `top` likeliest classes, in columns for a terminal."""
        decoding = f"none, {len(self.categories) + 1}-way scores" if self.tau is None else f"{self.tau:.4g}"
        source = "" if self.source is None else f" | {self.source}"
        lines = [f"{self.name} | {self.duration:.2f} s | tau: {decoding}{source}", *self.notes]
        if self.padded:
            lines.append(f"shorter than the model's window: {self.padded} s of padding were added and removed again")
        found = [(e.category, f"{e.start:.2f}", f"{e.end:.2f}", f"{e.confidence:.3f}") for e in self.events]
        event_rows = [("event", "start", "end", "confidence"), *(found or [("none", "", "", "")])]
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
            "events": [{**event._asdict(), "confidence": round(event.confidence, DIGITS)} for event in self.events],
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


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
