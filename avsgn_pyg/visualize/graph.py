"""The attention graph of a video (Section 3.4): who listened to whom, over time, with truth and prediction below.

Letters: T segments, N nodes of a subgraph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.graph.schema import AUDIO, NODE_TYPES, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.visualize import lanes, strips
from avsgn_pyg.visualize.edges import MOST, Edges, strongest
from avsgn_pyg.visualize.events import EVENTS, Span, check_spans, draw_events, event_key, event_names
from avsgn_pyg.visualize.lanes import Panel
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH, styled, text_width, wrapped

Arrangement = Literal["beside", "stacked", "overlaid"]
#: What a subgraph is called.
TITLES: Final = {"av": "audio and visual", "vt": "visual and text", "at": "audio and text"}

_NAME_FONT, _TITLE_FONT, _TITLE_LINE, _NOTE_FONT, _NOTE_LINE = 7.0, 9.0, 0.16, 7.0, 0.13
_EDGE, _GAP, _AXIS, _KEY, _HEAD = 0.08, 0.12, 0.32, 0.17, 0.3
_NAME_PAD: Final = 4.0 / 72.0


def graph_figure(
    *,
    title: str,
    category: str,
    adjacency: Mapping[str, Float[np.ndarray, "_ _"]],
    seconds: int,
    frames: UInt8[np.ndarray, "T H W 3"] | None,
    waveform: Float[np.ndarray, "samples"] | None,
    predicted: Sequence[Span],
    truth: Sequence[Span] | None,
    share: float = 0.1,
    threshold: float | None = None,
    most: int = MOST,
    arrangement: Arrangement = "beside",
    note: str = "",
    width: float = TEXT_WIDTH,
) -> Figure:
    """Draw the strongest edges of a video's subgraphs, wider and darker by weight.

    Args:
        title: what the video is called.
        category: the predicted class.
        adjacency: subgraph -> [N, N] of one layer; row i weighs the messages into node i; the first of the subgraph's
            modalities in rows (and columns) 0 to T - 1.
        seconds: T.
        frames: the picture of each second, RGB, or ``None``: then its node is a square.
        waveform: mono samples spread over the T seconds, or ``None``: then a second's sound is a dot.
        predicted: the model's events.
        truth: the annotated events; ``None`` where nobody annotated.
        share: the part of each subgraph's edges that is drawn.
        threshold: in place of `share`, every edge of at least this weight.
        most: edges drawn of a subgraph at most.
        arrangement: the subgraphs ``beside`` each other, ``stacked``, or ``overlaid`` in one panel of three lanes.
        note: which layer this is, under the title.
        width: inches.

    Raises:
        ValueError: no subgraph or an unknown one, an adjacency that does not fit, events outside the video.
    """
    counts = node_counts(adjacency, seconds)
    check_spans("predicted", predicted, seconds)
    check_spans("truth", truth or (), seconds)
    if frames is not None and len(frames) != seconds:
        raise ValueError(f"there are {len(frames)} frames for {seconds} seconds; give one for each")
    if arrangement not in get_args(Arrangement):
        raise ValueError(f"arrangement={arrangement!r}; choose one of {', '.join(get_args(Arrangement))}")
    drawn = {name: strongest(weights, share=share, threshold=threshold, most=most)
             for name, weights in adjacency.items()}
    notes = [f"predicted class: {category}", *([note] if note else [])]
    spans = {"ground truth": truth, "prediction": predicted}
    events = {name: found for name, found in spans.items() if found is not None}
    with styled():
        drawing = _Drawing(seconds, counts, frames, waveform, events, drawn, adjacency, arrangement, width)
        return drawing.draw(title, notes)


def node_counts(adjacency: Mapping[str, np.ndarray], seconds: int) -> dict[str, int]:
    """Nodes of each modality, told from the subgraphs' sizes.

    Raises:
        ValueError: no subgraph, an unknown one, or sizes that contradict each other or the seconds.
    """
    if not adjacency or not set(adjacency) <= set(SUBGRAPHS):
        raise ValueError(f"adjacency names the subgraphs {sorted(adjacency)}; give some of {', '.join(SUBGRAPHS)}")
    counts = {AUDIO: seconds, VISUAL: seconds}
    for name, weights in adjacency.items():
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise ValueError(f"adjacency[{name!r}] is {list(weights.shape)}, and no square")
        rest = len(weights) - seconds
        if rest < 1 or counts.setdefault(SUBGRAPHS[name][1], rest) != rest:
            raise ValueError(f"adjacency[{name!r}] has {len(weights)} nodes, {seconds} seconds and "
                             f"{counts.get(TEXT, 'no')} text nodes do not make that many")
    return counts


def layers_of(
    adjacency: Mapping[str, Mapping[str, np.ndarray]], seconds: int
) -> tuple[list[str], dict[str, int]]:
    """Names of the layers, the same for every subgraph, and the nodes of each modality.

    Raises:
        ValueError: no layer, or layers or sizes that contradict each other.
    """
    layers = [list(found) for found in adjacency.values()]
    if not layers or not layers[0] or any(names != layers[0] for names in layers):
        named = {subgraph: list(found) for subgraph, found in adjacency.items()}
        raise ValueError(f"every subgraph needs the same layers, one at least; got {named}")
    counts = [node_counts({name: found[layer] for name, found in adjacency.items()}, seconds) for layer in layers[0]]
    if any(found != counts[0] for found in counts):
        raise ValueError(f"the layers differ in their nodes: {dict(zip(layers[0], counts, strict=True))}")
    return layers[0], counts[0]


class _Drawing:
    """One figure in the making: sizes first, then panels from left to right or from top to bottom."""

    def __init__(self, seconds: int, counts: Mapping[str, int], frames: np.ndarray | None, waveform: np.ndarray | None,
                 events: Mapping[str, Sequence[Span]], drawn: Mapping[str, Edges], adjacency: Mapping[str, np.ndarray],
                 arrangement: str, width: float) -> None:
        self.seconds, self.frames, self.waveform, self.events, self.drawn = seconds, frames, waveform, events, drawn
        self.adjacency, self.width, self.overlaid = adjacency, width, arrangement == "overlaid"
        groups = [tuple(drawn)] if self.overlaid else [(name,) for name in drawn]
        self.columns = len(groups) if arrangement == "beside" else 1
        names = (*events, *NODE_TYPES)
        self.left = _EDGE + max(text_width(name, _NAME_FONT) for name in names) + _NAME_PAD
        # Further panels repeat only the lanes' names.
        self.inner = _GAP + max(text_width(name, _NAME_FONT) for name in NODE_TYPES) + _NAME_PAD
        room = width - self.left - (self.columns - 1) * self.inner - 2 * _EDGE
        self.panel_width = room / self.columns
        second = self.panel_width / seconds
        heights = {VISUAL: lanes.NODE if frames is None else strips.frame_height(frames, second),
                   AUDIO: lanes.NODE if waveform is None else lanes.SOUND, TEXT: lanes.NODE}
        self.panels = [lanes.plan_panel(group, counts, seconds, heights) for group in groups]
        if self.columns > 1:
            # Panels beside each other end at one height.
            tallest = max(panel.height for panel in self.panels)
            between = [lanes.BETWEEN + tallest - panel.height for panel in self.panels]
            self.panels = [lanes.plan_panel(group, counts, seconds, heights, more)
                           for group, more in zip(groups, between, strict=True)]
        self.names = event_names(list(events.values()), seconds, second)
        # Stacked panels share one time axis, the last one's.
        below = len(events) * (EVENTS + strips.NEAR) + _AXIS
        self.below = [below] * len(groups) if self.columns > 1 else [0.0] * (len(groups) - 1) + [below]

    def draw(self, title: str, notes: Sequence[str]) -> Figure:
        room = self.width - 2 * _EDGE
        titles, key = wrapped(title, room, _TITLE_FONT), wrapped(event_key(self.names), room, _NOTE_FONT)
        lines = [line for note in notes for line in wrapped(note, room, _NOTE_FONT)]
        header = _EDGE + _TITLE_LINE * len(titles) + _NOTE_LINE * len(lines) + _KEY
        each = [_HEAD + panel.height + below for panel, below in zip(self.panels, self.below, strict=True)]
        height = header + (max(each) if self.columns > 1 else sum(each)) + _NOTE_LINE * len(key)
        figure = Figure(figsize=(self.width, height))
        texts = [(titles, _EDGE, _TITLE_FONT, COLOURS["ink"]),
                 (lines, _EDGE + _TITLE_LINE * len(titles), _NOTE_FONT, COLOURS["muted"])]
        for text, down, size, colour in texts:
            figure.text(_EDGE / self.width, 1 - down / height, "\n".join(text), va="top", size=size, color=colour)
        figure.text(_EDGE / self.width, _EDGE / height / 2, "\n".join(key), va="bottom", size=_NOTE_FONT)
        self._draw_key(figure, height - header)
        top, left = height - header, self.left
        for number, (panel, tall) in enumerate(zip(self.panels, each, strict=True)):
            lowest = self._draw_panel(figure, panel, left, top - _HEAD - panel.height)
            if self.below[number]:
                self._draw_events(figure, left, lowest, named=self.columns == 1 or not number)
            left += (self.panel_width + self.inner) if self.columns > 1 else 0.0
            top -= 0.0 if self.columns > 1 else tall
        return figure

    def _draw_panel(self, figure: Figure, panel: Panel, left: float, bottom: float) -> float:
        """Title, lanes and edges; answers with where the panel ends."""
        axes = strips.add_row(figure, (left, bottom, self.panel_width, panel.height), self.seconds)
        lanes.draw_lanes(axes, panel, self.frames, self.waveform)
        low, high = self._span(panel)
        for name in panel.subgraphs:
            # Edges that weigh much the same look much the same.
            lanes.draw_edges(axes, panel, name, self.drawn[name], (min(low, high / 2), high), dashes=self.overlaid)
        self._draw_head(axes, panel)
        return bottom

    def _draw_events(self, figure: Figure, left: float, top: float, *, named: bool) -> None:
        """Truth and prediction, then the time."""
        for name, spans in self.events.items():
            top -= strips.NEAR + EVENTS
            row = strips.add_row(figure, (left, top, self.panel_width, EVENTS), self.seconds)
            draw_events(row, spans, self.names)
            if named:
                strips.draw_name(row, name)
        strips.draw_time(row)

    def _span(self, panel: Panel) -> tuple[float, float]:
        """The weights of the faintest and of the strongest edge of a panel."""
        found = [self.drawn[name].weight for name in panel.subgraphs if len(self.drawn[name].weight)]
        if not found:
            return 0.0, 0.0
        return min(float(weight[-1]) for weight in found), max(float(weight[0]) for weight in found)

    def _draw_head(self, axes: Axes, panel: Panel) -> None:
        """What is drawn of how many, and between which weights."""
        count = sum(len(self.drawn[name].weight) for name in panel.subgraphs)
        total = sum(int(np.count_nonzero(self.adjacency[name])) for name in panel.subgraphs)
        low, high = self._span(panel)
        head = "all subgraphs" if self.overlaid else TITLES[panel.subgraphs[0]]
        weights = f", weight {low:.2g} to {high:.2g}" if count else ""
        axes.annotate(head, (0, panel.height), (0, 11.0), textcoords="offset points", size=_NAME_FONT + 0.5)
        axes.annotate(f"{count:,} of {total:,} edges{weights}", (0, panel.height), (0, 2.0),
                      textcoords="offset points", size=6.0, color=COLOURS["muted"])

    def _draw_key(self, figure: Figure, bottom: float) -> None:
        """What colours, widths and dashes mean, in one line."""
        axes = strips.add_row(figure, (_EDGE, bottom, self.width - 2 * _EDGE, _KEY), 1)
        scale, middle, at = self.width - 2 * _EDGE, _KEY / 2, 0.0
        marks = [(f"from {name}", {"color": COLOURS[name], "linewidth": 1.6}) for name in (VISUAL, AUDIO, TEXT)
                 if any(name in SUBGRAPHS[subgraph] for subgraph in self.drawn)]
        if self.overlaid:
            marks += [(TITLES[name], {"color": COLOURS["ink"], "linewidth": 0.9, "linestyle": lanes.DASHES[name]})
                      for name in self.drawn]
        for text, style in marks:
            axes.plot((at / scale, (at + 0.22) / scale), (middle, middle), **style)
            axes.text((at + 0.26) / scale, middle, text, size=6.5, va="center_baseline")
            at += 0.26 + text_width(text, 6.5) + 0.14
