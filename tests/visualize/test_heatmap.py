"""The heat maps of a video's adjacencies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from avsgn_pyg.visualize.heatmap import heatmap_figure
from avsgn_pyg.visualize.theme import TEXT_WIDTH


def parts(seconds=10, rows=10, layers=("layer 1", "rollout"), subgraphs=("av", "vt", "at")):
    sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
    adjacency = {}
    for name, layer in itertools.product(subgraphs, layers):
        weights = np.random.default_rng(len(name + layer)).random((sizes[name],) * 2).astype(np.float32)
        adjacency.setdefault(name, {})[layer] = weights / weights.sum(1, keepdims=True)
    return {"title": "x4n0vSbGVzk, row 7 of AVE", "adjacency": adjacency, "seconds": seconds}


@pytest.mark.slow
@pytest.mark.parametrize("given", [parts(60, 24), parts(1, 24, layers=("layer 1",))])
def test_all_texts_are_readable(given, texts_of):
    figure = heatmap_figure(**given)
    assert figure.get_figwidth() <= TEXT_WIDTH + 1e-9
    assert given["title"] in texts_of(figure)


def test_blocks_of_seconds_share_one_scale_and_those_of_text_another():
    given = parts()
    panels = [axes for axes in heatmap_figure(**given).axes if axes.images]
    wanted = {f"{title}, {layer}": given["adjacency"][name][layer] for layer in ("layer 1", "rollout")
              for name, title in (("av", "audio and visual"), ("vt", "visual and text"), ("at", "audio and text"))}
    assert {axes.get_title(loc="left") for axes in panels} == set(wanted)
    tops = {"Blues": set(), "YlOrBr": set()}
    largest = dict.fromkeys(tops, 0.0)
    for axes in panels:
        weights, shown = wanted[axes.get_title(loc="left")], np.full((20, 20), np.nan)
        for image in axes.images:
            left, right, bottom, top = (round(edge + 0.5) for edge in image.get_extent())
            shown[top:bottom, left:right] = image.get_array()
            kind = image.get_cmap().name
            assert kind == ("Blues" if "and visual" in axes.get_title(loc="left") or top == left == 0 else "YlOrBr")
            tops[kind].add(image.get_clim()[1])
            largest[kind] = max(largest[kind], float(image.get_array().max()))
        assert np.array_equal(shown, weights) and axes.get_xlim() == (-0.5, 19.5) and axes.get_ylim() == (19.5, -0.5)
    assert {kind: len(found) for kind, found in tops.items()} == dict.fromkeys(tops, 1)
    assert {kind: found.pop() for kind, found in tops.items()} == pytest.approx(largest)


def test_a_line_separates_the_modalities_and_each_numbers_its_nodes_from_0():
    axes = next(axes for axes in heatmap_figure(**parts(10, 4, subgraphs=("vt",))).axes if axes.images)
    assert [line.get_xdata()[0] for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [9.5]
    labels = [(tick.get_position()[0], tick.get_text()) for tick in axes.get_xticklabels()]
    assert (0, "0") in labels and (10, "0") in labels
    assert {text.get_text() for text in axes.texts} == {"from visual", "into visual", "from text", "into text"}
