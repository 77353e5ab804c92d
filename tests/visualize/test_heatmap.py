"""The heat maps of a video's adjacencies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from avsgn_pyg.visualize.heatmap import heatmap_figure
from avsgn_pyg.visualize.theme import TEXT_WIDTH


def made(seconds=10, rows=10, layers=("layer 1", "rollout"), subgraphs=("av", "vt", "at")):
    sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
    adjacency = {}
    for name, layer in itertools.product(subgraphs, layers):
        weights = np.random.default_rng(len(name + layer)).random((sizes[name],) * 2).astype(np.float32)
        adjacency.setdefault(name, {})[layer] = weights / weights.sum(1, keepdims=True)
    return {"title": "x4n0vSbGVzk, row 7 of AVE", "adjacency": adjacency, "seconds": seconds}


@pytest.mark.parametrize("parts", [
    made(), made(60, 24), made(600, 10), made(1, 24), made(layers=("layer 1", "layer 2", "rollout")),
    made(subgraphs=("vt",)),
])
def test_no_two_labels_overlap_and_none_leaves_the_figure(parts):
    figure = heatmap_figure(**parts)
    assert figure.get_figwidth() <= TEXT_WIDTH + 1e-9
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [*axes.texts, axes.title, axes._left_title, *axes.get_xticklabels(), *axes.get_yticklabels()]
    boxes = [(text, text.get_window_extent(renderer)) for text in texts if text.get_text()]
    width, height = figure.bbox.size
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
        assert apart, (one.get_text(), other.get_text())


def test_a_panel_shows_its_adjacency_on_the_scale_of_all():
    parts = made()
    panels = [axes for axes in heatmap_figure(**parts).axes if axes.images]
    wanted = [parts["adjacency"][name][layer] for layer in ("layer 1", "rollout") for name in ("av", "vt", "at")]
    highest = max(weights.max() for weights in wanted)
    for axes, weights in zip(panels, wanted, strict=True):
        assert np.array_equal(axes.images[0].get_array(), weights)
        assert axes.images[0].get_clim() == (0, pytest.approx(highest))


def test_a_border_stands_between_the_modalities_and_their_nodes_are_counted_anew():
    axes = heatmap_figure(**made(10, 4, subgraphs=("vt",))).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [9.5]
    labels = [(tick.get_position()[0], tick.get_text()) for tick in axes.get_xticklabels()]
    assert (0, "0") in labels and (10, "0") in labels
    names = [text.get_text() for text in axes.texts]
    assert names == ["from visual", "into visual", "from text", "into text"]


@pytest.mark.parametrize("adjacency", [{}, {"av": {}}])
def test_nothing_to_draw_is_refused(adjacency):
    with pytest.raises(ValueError, match="the same layers, one at least"):
        heatmap_figure(title="", adjacency=adjacency, seconds=10)
