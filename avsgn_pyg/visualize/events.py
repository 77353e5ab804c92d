"""Events as boxes over time: where their names go, and what is written where there is no room for a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from avsgn_pyg.visualize.strips import TRACK, height_of, scale_of, seconds_of
from avsgn_pyg.visualize.theme import COLOURS, text_width

#: Inches of a row of events.
EVENTS: Final = 0.19

_FONT, _PAD = 6.5, 0.03
#: Inches of the shortest event that can still be seen.
_SHORTEST: Final = 0.01


class Span(NamedTuple):
    """One event of a row: its name, and the seconds [start, end)."""

    label: str
    start: float
    end: float


def event_names(rows: Sequence[Sequence[Span]], seconds: int, second: float) -> dict[str, str]:
    """What is written for each event's name: itself, or a number where some event has no room for its name."""
    names = dict.fromkeys(span.label for spans in rows for span in spans)
    fits = [_place(spans, at, span.label, seconds, second) is not None
            for spans in rows for at, span in enumerate(spans)]
    # Where there is only one name, some boxes can go without.
    if all(fits) or (len(names) == 1 and any(fits)):
        return {name: name for name in names}
    return {name: str(number) for number, name in enumerate(names, 1)}


def event_key(names: Mapping[str, str]) -> str:
    """The line that says which number is which event; empty where names stand in full."""
    return "   ".join(f"{short} {name}" for name, short in names.items() if short != name)


def draw_events(axes: Axes, spans: Sequence[Span], names: Mapping[str, str]) -> None:
    """Events as boxes; a name stands in its box, or beside it where that is free, or is left out."""
    seconds, second, height = seconds_of(axes), scale_of(axes), height_of(axes)
    axes.add_patch(Rectangle((0, 0), seconds, height, facecolor=TRACK, linewidth=0))
    style = {"size": _FONT, "va": "center_baseline"}
    for at, span in enumerate(spans):
        # Neighbours are told apart by a white edge, which would hide the shortest.
        wide = max(span.end - span.start, _SHORTEST / second)
        axes.add_patch(Rectangle((span.start, 0), wide, height, facecolor=COLOURS["event"], edgecolor="white",
                                 linewidth=0.6 if wide * second > 5 * _SHORTEST else 0.0))
        place = _place(spans, at, names[span.label], seconds, second)
        if place is not None:
            where, align, colour = place
            axes.text(where, height / 2, names[span.label], ha=align, color=colour, **style)
    if not spans and text_width("no event", _FONT) < seconds * second:
        axes.text(seconds / 2, height / 2, "no event", ha="center", color=COLOURS["muted"], style="italic", **style)


def _place(spans: Sequence[Span], at: int, text: str, seconds: int, second: float) -> tuple[float, str, str] | None:
    """Where an event's name goes: seconds, alignment and colour; in its box, right of it, left of it, or nowhere."""
    span, need, pad = spans[at], (text_width(text, _FONT) + 2 * _PAD) / second, _PAD / second
    if need <= span.end - span.start:
        return (span.start + span.end) / 2, "center", "white"
    ordered = sorted(spans, key=lambda other: other.start)
    place = ordered.index(span)
    after = ordered[place + 1].start if place + 1 < len(ordered) else seconds
    before = ordered[place - 1].end if place else 0.0
    # A name right of one event and one left of the next would meet, so only the last of a gap looks left.
    if need <= after - span.end:
        return span.end + pad, "left", COLOURS["ink"]
    if need <= span.start - before and not place:
        return span.start - pad, "right", COLOURS["ink"]
    return None


def check_spans(name: str, spans: Sequence[Span], seconds: int) -> None:
    """Refuse events that are empty or do not lie in the video."""
    for span in spans:
        if not 0 <= span.start < span.end <= seconds:
            raise ValueError(f"{name}: {span.label} [{span.start}, {span.end}) does not lie in [0, {seconds})")
