"""What the tests of several figures need."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


@pytest.fixture
def attention() -> Callable[[int, int], np.ndarray]:
    """[nodes, nodes] random attention whose rows sum to 1."""

    def draw(nodes: int, seed: int = 0) -> np.ndarray:
        scores = np.exp(np.random.default_rng(seed).normal(size=(nodes, nodes)))
        return (scores / scores.sum(1, keepdims=True)).astype(np.float32)

    return draw


@pytest.fixture
def texts_of() -> Callable[[Figure], list[str]]:
    """Everything that is written in a figure, of which no text may overlap another or leave the figure."""

    def read(figure: Figure) -> list[str]:
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        boxes = [text.get_window_extent(renderer) for text in texts]
        width, height = figure.bbox.size
        for text, box in zip(texts, boxes, strict=True):
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
            assert text.get_fontsize() >= 4.2, text
        for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
            # Half a pixel of slack: rotated extents are rounded outwards.
            apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
            assert apart, (one.get_text(), other.get_text())
        return [line for text in texts for line in text.get_text().split("\n")]

    return read
