"""The heat maps of a video's adjacencies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from avsgn_pyg.visualize.heatmap import heatmap_figure
from avsgn_pyg.visualize.picture import Picture
from avsgn_pyg.visualize.theme import TEXT_WIDTH


def video(seconds=10, rows=10, layers=("layer 1", "rollout"), subgraphs=("av", "vt", "at")):
    sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
    adjacency = {}
    for name, layer in itertools.product(subgraphs, layers):
        weights = np.random.default_rng(len(name + layer)).random((sizes[name],) * 2).astype(np.float32)
        adjacency.setdefault(name, {})[layer] = weights / weights.sum(1, keepdims=True)
    return Picture("x4n0vSbGVzk, row 7 of AVE", "Bark", np.ones(seconds, np.float32), {}, 0.5, (), adjacency=adjacency)


@pytest.mark.slow
@pytest.mark.parametrize("given", [video(60, 24), video(1, 24, layers=("layer 1",))])
def test_all_texts_are_readable(given, texts_of):
    figure = heatmap_figure(given)
    assert figure.get_figwidth() <= TEXT_WIDTH + 1e-9
    assert given.title in texts_of(figure)


def test_blocks_of_seconds_share_one_scale_and_those_of_text_another():
    given = video()
    panels = [axes for axes in heatmap_figure(given).axes if axes.images]
    wanted = {f"{title}, {layer}": given.adjacency[name][layer] for layer in ("layer 1", "rollout")
              for name, title in (("av", "audio and visual"), ("vt", "visual and text"), ("at", "audio and text"))}
    assert {axes.get_title(loc="left") for axes in panels} == set(wanted)
    tops = {"Blues": set(), "YlOrBr": set()}
    largest = dict.fromkeys(tops, 0.0)
    for axes in panels:
        title = axes.get_title(loc="left")
        weights, seconds = wanted[title], np.ones((20, 20), bool)
        seconds[:, 10:] = seconds[10:] = "and visual" in title
        for image, kind, where in zip(axes.images, tops, (seconds, ~seconds), strict=True):
            assert image.get_cmap().name == kind
            assert np.array_equal(np.ma.getmaskarray(image.get_array()), ~where)
            assert np.array_equal(image.get_array().data[where], weights[where])
            tops[kind].add(image.get_clim()[1])
            largest[kind] = max(largest[kind], float(weights[where].max(initial=0)))
        assert axes.get_xlim() == (-0.5, 19.5) and axes.get_ylim() == (19.5, -0.5)
    assert {kind: len(found) for kind, found in tops.items()} == dict.fromkeys(tops, 1)
    assert {kind: found.pop() for kind, found in tops.items()} == pytest.approx(largest)


def test_a_line_separates_the_modalities_and_each_numbers_its_nodes_from_0():
    axes = next(axes for axes in heatmap_figure(video(10, 4, subgraphs=("vt",))).axes if axes.images)
    assert [line.get_xdata()[0] for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [9.5]
    labels = [(tick.get_position()[0], tick.get_text()) for tick in axes.get_xticklabels()]
    assert (0, "0") in labels and (10, "0") in labels
    assert {text.get_text() for text in axes.texts} == {"from visual", "into visual", "from text", "into text"}
