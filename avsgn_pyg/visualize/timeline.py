"""Fig. 4 of the paper: frames, sound, the scores of each second, and the events of a video.

Frames and the visual score, sound and the audio score, the relevance with its threshold, then truth and prediction,
over one time axis. A modality's score is ``s_r x gate`` (Section 4.4): the relevance of the second times the gate of
that modality. As it is at most the relevance and often half of it, both rows of scores have one scale of their own. The
threshold tau applies to the relevance itself, so its line is in that row alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.visualize import strips
from avsgn_pyg.visualize.events import event_rows
from avsgn_pyg.visualize.picture import Picture
from avsgn_pyg.visualize.strips import Row
from avsgn_pyg.visualize.theme import COLOURS, EDGE, TEXT_WIDTH, start_figure, styled

_NAMES = ("frames", "visual score", "sound", "audio score", "relevance", "prediction")
_GAP = 0.1
#: What a file has of each modality.
MEDIA: Final = {AUDIO: "sound", VISUAL: "picture"}


@styled()
def timeline_figure(picture: Picture) -> Figure:
    """Draw a video's scores and events over time; a row without data is left out, and missing times are hatched.

    If frames do not fit next to each other, only some are drawn.
    """
    seconds, truth, relevance = picture.seconds, picture.truth, picture.relevance
    frames, waveform = picture.frames, picture.waveform
    left = EDGE + strips.names_width(_NAMES if truth is None else (*_NAMES, "ground truth"))
    across = TEXT_WIDTH - left - strips.scale_width(picture.tau) - EDGE
    second = across / seconds
    rows: list[Row] = []

    def add_media(name: str, modality: str, height: float, draw: Callable[[Axes], None] | None) -> None:
        def draw_all(axes: Axes) -> None:
            if draw is not None:
                draw(axes)
            strips.draw_missing(axes, picture.missing.get(modality, ()), f"no {MEDIA[modality]}")

        if draw is not None or picture.missing.get(modality):
            rows.append(Row(name, height, _GAP, draw_all))

    def add_scores(name: str, scores: np.ndarray, colour: str, near: str = "", **look: float | None) -> None:
        above = strips.NEAR if rows and rows[-1].name == near else _GAP
        draw = partial(strips.draw_scores, scores=scores, colour=COLOURS[colour], **look)
        rows.append(Row(name, strips.score_height(second), above, draw, strips.BARS / 2))

    scores = {modality: relevance * gate for modality, gate in picture.gates.items()}
    top = strips.scale_top(*scores.values()) if scores else 1.0
    add_media("frames", VISUAL, strips.SOUND if frames is None else strips.frame_height(frames, second),
              None if frames is None else partial(strips.draw_frames, frames=frames))
    if VISUAL in scores:
        add_scores("visual score", scores[VISUAL], VISUAL, "frames", top=top)
    add_media("sound", AUDIO, strips.SOUND,
              None if waveform is None else partial(strips.draw_sound, waveform=waveform))
    if AUDIO in scores:
        add_scores("audio score", scores[AUDIO], AUDIO, "sound", top=top)
    add_scores("relevance", relevance, "muted", tau=picture.tau)
    events, key = event_rows(truth, picture.predicted, seconds, second, _GAP)
    rows += events
    body = sum(row.above + row.height for row in rows) + strips.AXIS
    notes = [f"predicted class: {picture.category}", *picture.notes]
    figure, top = start_figure(picture.title, TEXT_WIDTH, body, notes=notes, key=key)
    strips.draw_rows(figure, rows, left, top, across, seconds, start=picture.start)
    return figure
