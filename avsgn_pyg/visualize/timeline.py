"""Fig. 4 of the paper: what a model heard and saw in each second of a video, and what it made of it.

Pictures and the visual score, sound and the audio score, the relevance with its threshold, then truth and
prediction, over one time axis. A modality's score is ``s_r x gate`` (Section 4.4): the relevance of the second times
the gate of that modality. The threshold tau cuts the relevance itself, so its line stands there alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.visualize import strips
from avsgn_pyg.visualize.events import EVENTS, Span, check_spans, draw_events, event_key, event_names
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH, styled, text_width, wrapped

_NAMES: Final = ("frames", "visual score", "sound", "audio score", "relevance", "ground truth", "prediction")
_NAME_FONT, _TITLE_FONT, _TITLE_LINE, _NOTE_FONT, _NOTE_LINE = 7.0, 9.0, 0.16, 7.0, 0.13
_EDGE, _GAP, _AXIS = 0.08, 0.1, 0.32


class _Row(NamedTuple):
    """`above`: the white over it, less where it belongs to the row before; `named`: how much its name is beside of."""

    name: str
    height: float
    above: float
    draw: Callable[[Axes], None]
    named: float


def timeline_figure(
    *,
    title: str,
    category: str,
    frames: UInt8[np.ndarray, "T H W 3"] | None,
    waveform: Float[np.ndarray, "samples"] | None,
    relevance: Float[np.ndarray, "T"],
    gates: Mapping[str, Float[np.ndarray, "T"]],
    tau: float | None,
    predicted: Sequence[Span],
    truth: Sequence[Span] | None,
    width: float = TEXT_WIDTH,
) -> Figure:
    """Draw a video's scores and events over time; what is missing leaves its row out.

    Args:
        title: what the video is called, at the top left.
        category: the predicted class, under the title.
        frames: the picture of each second, RGB; where they do not fit beside each other only some are drawn.
        waveform: mono samples at any rate, spread over the T seconds.
        relevance: ``s_r``, probability that the event is heard and seen in a second.
        gates: ``audio`` and ``visual``, each in [0, 1]; the mean over features where gates are vectors.
        tau: the relevance above which a second belongs to the event; ``None`` for models that need none.
        predicted: the model's events, empty where it found none.
        truth: the annotated events, empty where there is none, ``None`` where nobody annotated.
        width: inches.

    Raises:
        ValueError: no second at all, parts of another length, scores outside [0, 1], events outside the video.
    """
    seconds = len(relevance)
    _check(seconds, frames, waveform, relevance, gates, predicted, truth)
    names = [name for name in _NAMES if not (name == "ground truth" and truth is None)]
    left = _EDGE + max(text_width(name, _NAME_FONT) for name in names) + 4.0 / 72.0
    right = strips.scale_width(tau if tau is not None else 0.0) + _EDGE
    second = (width - left - right) / seconds
    events = [spans for spans in (truth, predicted) if spans is not None]
    labels = event_names(events, seconds, second)

    scores = partial(_score_row, second=second)
    rows: list[_Row] = []
    if frames is not None:
        height = strips.frame_height(frames, second)
        rows.append(_Row("frames", height, _GAP, partial(strips.draw_frames, frames=frames), height))
    if "visual" in gates:
        rows.append(scores("visual score", relevance * gates["visual"], COLOURS["visual"], near=frames is not None))
    if waveform is not None:
        rows.append(_Row("sound", strips.SOUND, _GAP, partial(strips.draw_sound, waveform=waveform), strips.SOUND))
    if "audio" in gates:
        rows.append(scores("audio score", relevance * gates["audio"], COLOURS["audio"], near=waveform is not None))
    rows.append(scores("relevance", relevance, COLOURS["muted"], tau=tau))
    for name, spans in (("ground truth", truth), ("prediction", predicted)):
        if spans is not None:
            draw = partial(draw_events, spans=spans, names=labels)
            above = strips.NEAR if rows[-1].name == "ground truth" else _GAP
            rows.append(_Row(name, EVENTS, above, draw, EVENTS))

    with styled():
        return _put_together(rows, seconds, width, left, right, title, f"predicted class: {category}",
                             event_key(labels))


def _score_row(name: str, scores: Float[np.ndarray, "T"], colour: str, *, second: float, tau: float | None = None,
               near: bool = False) -> _Row:
    draw = partial(strips.draw_scores, scores=scores, colour=colour, tau=tau)
    return _Row(name, strips.score_height(second), strips.NEAR if near else _GAP, draw, strips.BARS)


def _put_together(rows: Sequence[_Row], seconds: int, width: float, left: float, right: float, title: str, note: str,
                  key: str) -> Figure:
    """Header, rows from top to bottom, the time axis, and the key of the events' numbers."""
    room = width - 2 * _EDGE
    titles = wrapped(title, room, _TITLE_FONT)
    notes, keys = (wrapped(text, room, _NOTE_FONT) for text in (note, key))
    header = _EDGE + _TITLE_LINE * len(titles) + _NOTE_LINE * len(notes)
    footer = _AXIS + _NOTE_LINE * len(keys)
    height = header + sum(row.above + row.height for row in rows) + footer
    figure = Figure(figsize=(width, height))
    figure.text(_EDGE / width, 1 - _EDGE / height, "\n".join(titles), va="top", size=_TITLE_FONT)
    figure.text(_EDGE / width, 1 - (_EDGE + _TITLE_LINE * len(titles)) / height, "\n".join(notes), va="top",
                size=_NOTE_FONT, color=COLOURS["muted"])
    figure.text(_EDGE / width, _EDGE / height, "\n".join(keys), va="bottom", size=_NOTE_FONT)
    top = height - header
    for row in rows:
        top -= row.above + row.height
        axes = strips.add_row(figure, (left, top, width - left - right, row.height), seconds)
        row.draw(axes)
        strips.draw_name(axes, row.name, _NAME_FONT, height=row.named)
    strips.draw_time(axes)
    return figure


def _check(seconds: int, frames: np.ndarray | None, waveform: np.ndarray | None, relevance: np.ndarray,
           gates: Mapping[str, np.ndarray], predicted: Sequence[Span], truth: Sequence[Span] | None) -> None:
    if not seconds:
        raise ValueError("relevance is empty: a timeline needs a second or more")
    strips.check_scores("relevance", relevance, seconds)
    for name, gate in gates.items():
        strips.check_scores(f"gates[{name!r}]", gate, seconds)
    if frames is not None and len(frames) != seconds:
        raise ValueError(f"there are {len(frames)} frames for {seconds} seconds; give one for each")
    if waveform is not None and not len(waveform):
        raise ValueError("waveform is empty; give None where there is no sound")
    check_spans("predicted", predicted, seconds)
    check_spans("truth", truth or (), seconds)
