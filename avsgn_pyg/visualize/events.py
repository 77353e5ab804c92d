"""Events as boxes over time: where their names go, and what replaces a name that has no room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from avsgn_pyg.visualize.strips import NEAR, TRACK, Row, measures
from avsgn_pyg.visualize.theme import COLOURS, text_width

#: Inches of a row of events.
EVENTS: Final = 0.19
_FONT, _PAD = 6.5, 0.03
#: Inches between two rows of overlapping events.
_BETWEEN: Final = 0.02
#: Inches of the shortest event that can still be seen.
_SHORTEST: Final = 0.01


class Span(NamedTuple):
    """One event: its name, the seconds [start, end), whether it is both heard and seen throughout, its confidence."""

    label: str
    start: float
    end: float
    complete: bool = True
    score: float | None = None


def event_rows(truth: Sequence[Span] | None, predicted: Sequence[Span], seconds: int, second: float, above: float
               ) -> tuple[list[Row], str]:
    """Return the rows of annotated (``None``: not annotated) and predicted events, and the key of their numbers.

    Events that overlap lie in several rows below each other, of which the first is named. Names are replaced by
    numbers where some event has no room for its name.

    Args:
        second: inches of a second.
        above: inches over the first row.
    """
    given = {"truth": truth or (), "predicted": predicted}
    labels = dict.fromkeys(span.label for spans in given.values() for span in spans)
    lanes = {name: in_lanes(spans) for name, spans in given.items()}
    fits = [_place(lane, at, span.label, seconds, second) is not None
            for found in lanes.values() for lane in found for at, span in enumerate(lane)]
    # Where there is only one name, some boxes can go without.
    whole = all(fits) or (len(labels) == 1 and any(fits))
    names = {label: label if whole else str(number) for number, label in enumerate(labels, 1)}
    key = "" if whole else "   ".join(f"{number} {label}" for label, number in names.items())
    rows = []
    for title, name in (("ground truth", "truth"), ("prediction", "predicted"))[truth is None:]:
        for number, lane in enumerate(lanes[name]):
            gap = _BETWEEN if number else NEAR if rows else above
            rows.append(Row("" if number else title, EVENTS, gap, partial(_draw, spans=lane, names=names)))
    return rows, key


def in_lanes(spans: Sequence[Span]) -> list[list[Span]]:
    """Divide events among lanes so that none overlaps another in its lane; without events, there is one empty lane.

    All events of a label share a lane, unless they overlap each other.
    """
    parts: list[list[Span]] = []
    for label in dict.fromkeys(span.label for span in sorted(spans, key=lambda span: span.start)):
        parts += _first_fit([[span] for span in sorted(spans, key=lambda span: span.start) if span.label == label])
    return [sorted(lane, key=lambda span: span.start) for lane in _first_fit(parts)] or [[]]


def _first_fit(parts: Sequence[Sequence[Span]]) -> list[list[Span]]:
    """Put each part into the first lane with which it does not overlap."""
    lanes: list[list[Span]] = []
    for part in parts:
        free = (lane for lane in lanes if not any(one.start < other.end and other.start < one.end
                                                  for one in lane for other in part))
        lane = next(free, None)
        if lane is None:
            lanes.append(lane := [])
        lane += part
    return lanes


def _draw(axes: Axes, spans: Sequence[Span], names: Mapping[str, str]) -> None:
    """Draw events as boxes; a name is in its box, or next to it if there is room, or left out."""
    seconds, second, height = measures(axes)
    axes.add_patch(Rectangle((0, 0), seconds, height, facecolor=TRACK, linewidth=0))
    style = {"size": _FONT, "va": "center_baseline"}
    for at, span in enumerate(spans):
        # Neighbours are told apart by a white edge, which would hide the shortest.
        wide = max(span.end - span.start, _SHORTEST / second)
        axes.add_patch(Rectangle((span.start, 0), wide, height, facecolor=COLOURS["event"], edgecolor="white",
                                 linewidth=0.6 if wide * second > 5 * _SHORTEST else 0.0))
        if not span.complete and wide * second > 10 * _SHORTEST:  # hollow
            inner = 0.025 / second
            axes.add_patch(Rectangle((span.start + inner, 0.025), wide - 2 * inner, height - 0.05, facecolor=TRACK))
        # The confidence is left out where only the name has room.
        texts = [f"{names[span.label]} {span.score:.2f}"] if span.score is not None else []
        for text in (*texts, names[span.label]):
            if (place := _place(spans, at, text, seconds, second)) is not None:
                where, align, colour = place
                axes.text(where, height / 2, text, ha=align, color=colour, **style)
                break
    if not spans and text_width("no event", _FONT) < seconds * second:
        axes.text(seconds / 2, height / 2, "no event", ha="center", color=COLOURS["muted"], style="italic", **style)


def _place(spans: Sequence[Span], at: int, text: str, seconds: int, second: float) -> tuple[float, str, str] | None:
    """Return seconds, alignment and colour of an event's name: in its box, right of it, left of it, or nowhere."""
    span, need, pad = spans[at], (text_width(text, _FONT) + 2 * _PAD) / second, _PAD / second
    if need <= span.end - span.start:
        return (span.start + span.end) / 2, "center", "white" if span.complete else COLOURS["ink"]
    after = min((other.start for other in spans if other.start > span.start), default=seconds)
    if need <= after - span.end:
        return span.end + pad, "left", COLOURS["ink"]
    # A name right of one event and one left of the next would meet, so only the first may go to the left.
    if need <= span.start and span.start == min(other.start for other in spans):
        return span.start - pad, "right", COLOURS["ink"]
    return None
