"""Fig. 4 of the paper: frames, sound, the scores of each second, and the events of a video.

Frames and the visual score, sound and the audio score, the relevance with its threshold, then truth and prediction,
over one time axis. A modality's score is ``s_r x gate`` (Section 4.4): the relevance of the second times the gate of
that modality. As it is at most the relevance and often half of it, both rows of scores have one scale of their own. The
threshold tau applies to the relevance itself, so its line is in that row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.visualize import strips
from avsgn_pyg.visualize.events import Span, event_rows
from avsgn_pyg.visualize.strips import Row
from avsgn_pyg.visualize.theme import COLOURS, EDGE, TEXT_WIDTH, start_figure, styled

_NAMES = ("frames", "visual score", "sound", "audio score", "relevance", "prediction")
_GAP = 0.1
#: What a file has of each modality.
MEDIA: Final = {AUDIO: "sound", VISUAL: "picture"}


@styled()
def timeline_figure(
    *, title: str, category: str, frames: UInt8[np.ndarray, "T H W 3"] | None,
    waveform: Float[np.ndarray, "samples"] | None, relevance: Float[np.ndarray, "T"],
    gates: Mapping[str, Float[np.ndarray, "T"]], tau: float | None, predicted: Sequence[Span],
    truth: Sequence[Span] | None, notes: Sequence[str] = (), start: int = 0,
    missing: Mapping[str, Sequence[tuple[float, float]]] = MappingProxyType({}), width: float = TEXT_WIDTH,
) -> Figure:
    """Draw a video's scores and events over time; what is missing leaves its row out.

    Args:
        title: name of the video, at the top left.
        category: the predicted class, below the title.
        frames: the picture of each second, RGB; if they do not fit next to each other, only some are drawn.
        waveform: mono samples at any rate, spread over the T seconds.
        relevance: ``s_r``, probability that the event is heard and seen in a second.
        gates: ``audio`` and ``visual``, each in [0, 1]; the mean over features if gates are vectors.
        tau: the relevance above which a second belongs to the event; ``None`` for models without a threshold.
        predicted: the model's events, possibly none.
        truth: the annotated events, possibly none; ``None`` without annotation.
        notes: remarks on the video, such as that it has no sound, below the class.
        start: second of the video at which the axis begins; events and `missing` count from there.
        missing: ``audio`` and ``visual`` -> the times [start, end) without sound or picture, which are hatched.
        width: inches.

    Raises:
        ValueError: no second, parts of another length, scores outside [0, 1], events outside the video.
    """
    seconds = len(relevance)
    if not seconds:
        raise ValueError("relevance is empty: a timeline needs one or more seconds")
    strips.check_scores("relevance", relevance, seconds)
    for name, gate in gates.items():
        strips.check_scores(f"gates[{name!r}]", gate, seconds)
    strips.check_frames(frames, seconds)
    if waveform is not None and not len(waveform):
        raise ValueError("waveform is empty; give None if there is no sound")

    left = EDGE + strips.names_width(_NAMES if truth is None else (*_NAMES, "ground truth"))
    across = width - left - strips.scale_width(tau) - EDGE
    second = across / seconds
    rows: list[Row] = []

    def add_media(name: str, modality: str, height: float, draw: Callable[[Axes], None] | None) -> None:
        def draw_all(axes: Axes) -> None:
            if draw is not None:
                draw(axes)
            strips.draw_missing(axes, missing.get(modality, ()), f"no {MEDIA[modality]}")

        if draw is not None or missing.get(modality):
            rows.append(Row(name, height, _GAP, draw_all))

    def add_scores(name: str, scores: np.ndarray, colour: str, near: str = "", **look: float | None) -> None:
        above = strips.NEAR if rows and rows[-1].name == near else _GAP
        draw = partial(strips.draw_scores, scores=scores, colour=COLOURS[colour], **look)
        rows.append(Row(name, strips.score_height(second), above, draw, strips.BARS / 2))

    scores = {modality: relevance * gate for modality, gate in gates.items()}
    top = strips.scale_top(*scores.values()) if scores else 1.0
    add_media("frames", VISUAL, strips.SOUND if frames is None else strips.frame_height(frames, second),
              None if frames is None else partial(strips.draw_frames, frames=frames))
    if VISUAL in scores:
        add_scores("visual score", scores[VISUAL], VISUAL, "frames", top=top)
    add_media("sound", AUDIO, strips.SOUND,
              None if waveform is None else partial(strips.draw_sound, waveform=waveform))
    if AUDIO in scores:
        add_scores("audio score", scores[AUDIO], AUDIO, "sound", top=top)
    add_scores("relevance", relevance, "muted", tau=tau)
    events, key = event_rows(truth, predicted, seconds, second, _GAP)
    rows += events
    body = sum(row.above + row.height for row in rows) + strips.AXIS
    figure, top = start_figure(title, width, body, notes=[f"predicted class: {category}", *notes], key=key)
    strips.draw_rows(figure, rows, left, top, across, seconds, start=start)
    return figure
