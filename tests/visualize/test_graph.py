"""The attention graph: which edges are drawn, from where to where, and that its words can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.graph import graph_figure, layers_of, node_counts
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH, save_figure

SPEECH = "Female speech, woman speaking"
ARRANGEMENTS = ("beside", "stacked", "overlaid")
WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def attention(nodes, seed):
    scores = np.exp(np.random.default_rng(seed).normal(size=(nodes, nodes)))
    return (scores / scores.sum(1, keepdims=True)).astype(np.float32)


def made(seconds=10, rows=10, media=True, **changes):
    generator = np.random.default_rng(0)
    sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
    return {
        "title": "x4n0vSbGVzk, row 7 of AVE, val",
        "category": SPEECH,
        "adjacency": {name: attention(size, at) for at, (name, size) in enumerate(sizes.items())},
        "seconds": seconds,
        "frames": generator.integers(0, 256, (seconds, 36, 64, 3)).astype(np.uint8) if media else None,
        "waveform": generator.normal(size=seconds * 100).astype(np.float32) if media else None,
        "predicted": [Span(SPEECH, 1, 4), Span("Bark", 4, 5)],
        "truth": [Span(SPEECH, 0, 5)],
        **changes,
    }


def drawn_texts(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [*axes.texts, axes.title, axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
    return [(text, text.get_window_extent(renderer)) for text in texts if text.get_text()]


def edges_of(figure, subgraph):
    return next(lines for axes in figure.axes for lines in axes.collections
                if isinstance(lines, LineCollection) and lines.get_gid() == subgraph)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize(("seconds", "rows", "media"), [(10, 10, True), (10, 56, False), (120, 10, True)])
def test_no_two_labels_overlap_and_none_leaves_the_figure(arrangement, seconds, rows, media):
    figure = graph_figure(**made(seconds, rows, media), arrangement=arrangement, note="attention: layers 1 to 2")
    assert figure.get_figwidth() == TEXT_WIDTH
    boxes = drawn_texts(figure)
    width, height = figure.bbox.size
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
        assert text.get_fontsize() >= 6.0
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
        assert apart, (one.get_text(), other.get_text())


def single(subgraph, source, target, nodes=20):
    """A graph with one strong edge."""
    weights = np.zeros((nodes, nodes), np.float32)
    weights[target, source] = 1
    return made(adjacency={subgraph: weights}, media=False)


@pytest.mark.parametrize(("subgraph", "source", "target", "up", "colour"), [
    ("av", 2, 17, True, "audio"),  # from the sound of second 2 into the picture of second 7
    ("av", 17, 2, False, "visual"),
    ("vt", 2, 17, False, "visual"),
    ("vt", 17, 2, True, "text"),
    ("at", 2, 17, True, "audio"),
])
def test_an_edge_leads_from_its_source_to_its_target_in_its_sources_colour(subgraph, source, target, up, colour):
    lines = edges_of(graph_figure(**single(subgraph, source, target)), subgraph)
    (curve,) = lines.get_segments()
    assert curve[0, 0] == pytest.approx(source % 10 + 0.5, abs=0.31)
    assert curve[-1, 0] == pytest.approx(target % 10 + 0.5, abs=0.31)
    assert (curve[-1, 1] > curve[0, 1]) == up
    assert to_rgb(lines.get_colors()[0]) == pytest.approx(to_rgb(COLOURS[colour]))


def test_edges_within_a_lane_bend_out_of_the_way():
    figures = [graph_figure(**single("av", *ends)) for ends in ((12, 18), (2, 8))]
    above, below = (edges_of(figure, "av").get_segments()[0] for figure in figures)
    assert above[:, 1].max() > above[0, 1] + 0.1 and above[:, 1].min() >= above[0, 1] - 1e-6
    assert below[:, 1].min() < below[0, 1] - 0.1 and below[:, 1].max() <= below[0, 1] + 1e-6


def test_the_two_directions_between_two_nodes_lie_apart():
    weights = np.zeros((20, 20), np.float32)
    weights[2, 17] = weights[17, 2] = 1
    one, other = edges_of(graph_figure(**made(adjacency={"av": weights}, share=1.0)), "av").get_segments()
    assert np.abs(one - other[::-1]).max() > 0.05


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_share_of_the_edges_is_drawn_the_strongest_widest_and_on_top(arrangement):
    figure = graph_figure(**made(), arrangement=arrangement, share=0.05)
    for subgraph in ("av", "vt", "at"):
        lines = edges_of(figure, subgraph)
        assert len(lines.get_segments()) == 20
        assert np.all(np.diff(lines.get_linewidths()) >= 0)
    assert any("20 of 400 edges" in text.get_text() or "60 of 1,200 edges" in text.get_text()
               for text, _ in drawn_texts(figure))


def test_weight_reads_without_colour():
    lines = edges_of(graph_figure(**made()), "av")
    grey = lines.get_colors()[:, :3] @ WEIGHTS
    sound = np.array([segment[0, 1] for segment in lines.get_segments()]) < 1.0
    for source in (sound, ~sound):
        assert source.sum() > 5
        assert np.all(np.diff(grey[source]) <= 1e-6)


def test_long_videos_draw_no_blot():
    figure = graph_figure(**made(120))
    assert len(edges_of(figure, "av").get_segments()) == 150


def test_a_threshold_can_leave_nothing():
    figure = graph_figure(**made(threshold=2.0))
    assert "0 of 400 edges" in [text.get_text() for text, _ in drawn_texts(figure)]


def test_overlaid_subgraphs_differ_in_their_dashes():
    figure = graph_figure(**made(), arrangement="overlaid")
    dashes = {name: str(edges_of(figure, name).get_linestyle()) for name in ("av", "vt", "at")}
    assert len(set(dashes.values())) == 3
    assert sum(isinstance(lines, LineCollection) for axes in figure.axes for lines in axes.collections) == 3


def test_truth_and_prediction_stand_under_each_panel():
    def rows(figure):
        return [text.get_text() for text, _ in drawn_texts(figure) if text.get_text() in ("ground truth", "prediction")]

    assert rows(graph_figure(**made())) == ["ground truth", "prediction"]
    assert rows(graph_figure(**made(truth=None))) == ["prediction"]
    assert len([axes for axes in graph_figure(**made()).axes if axes.get_xlabel()]) == 3
    assert len([axes for axes in graph_figure(**made(), arrangement="stacked").axes if axes.get_xlabel()]) == 1


def test_a_figure_is_the_same_file_every_time(tmp_path):
    once, again = (save_figure(graph_figure(**made()), tmp_path / f"{name}.svg").read_bytes() for name in "ab")
    assert once == again


def test_node_counts_are_told_from_the_sizes():
    assert node_counts(made(10, 7)["adjacency"], 10) == {"audio": 10, "visual": 10, "text": 7}
    assert node_counts({"av": attention(20, 0)}, 10) == {"audio": 10, "visual": 10}


@pytest.mark.parametrize(("adjacency", "message"), [
    ({}, "give some of av, vt, at"),
    ({"xy": attention(20, 0)}, "give some of av, vt, at"),
    ({"av": attention(21, 0)}, "21 nodes"),
    ({"vt": attention(10, 0)}, "10 nodes, 10 seconds"),
    ({"vt": attention(15, 0), "at": attention(16, 0)}, "16 nodes, 10 seconds and 5 text nodes"),
    ({"av": np.zeros((20, 10), np.float32)}, "no square"),
])
def test_adjacencies_that_fit_no_video_are_refused(adjacency, message):
    with pytest.raises(ValueError, match=message):
        graph_figure(**made(adjacency=adjacency))


def test_layers_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="layers differ in their nodes"):
        layers_of({"vt": {"layer 1": attention(15, 0), "layer 2": attention(16, 0)}}, 10)


def test_an_unknown_arrangement_is_refused():
    with pytest.raises(Exception, match="arrangement"):
        graph_figure(**made(), arrangement="round")
