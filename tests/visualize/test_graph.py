"""The attention graph: which edges are drawn, from where to where, and that its texts can be read."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.graph import graph_figure
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH

SPEECH = "Female speech, woman speaking"


@pytest.fixture
def draw(attention):
    def figure(seconds=10, rows=10, media=True, **changes):
        generator = np.random.default_rng(0)
        sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
        return graph_figure(**{
            "title": "x4n0vSbGVzk, row 7 of AVE, val",
            "category": SPEECH,
            "adjacency": {name: attention(size, at) for at, (name, size) in enumerate(sizes.items())},
            "seconds": seconds,
            "frames": generator.integers(0, 256, (seconds, 36, 64, 3)).astype(np.uint8) if media else None,
            "waveform": generator.normal(size=seconds * 100).astype(np.float32) if media else None,
            "predicted": [Span(SPEECH, 1, 4), Span("Bark", 4, 5)],
            "truth": [Span(SPEECH, 0, 5)],
            **changes,
        })

    return figure


@pytest.fixture
def curves_of(draw):
    """The curves of a graph of single strong edges: start, two control points and end of each."""

    def curves(subgraph, *ends):
        weights = np.zeros((20, 20), np.float32)
        for source, target in ends:
            weights[target, source] = 1
        lines = edges_of(draw(adjacency={subgraph: weights}, media=False, share=1.0), subgraph)
        return [path.vertices for path in lines.get_paths()], lines.get_edgecolors()

    return curves


def edges_of(figure, subgraph):
    return next(lines for axes in figure.axes for lines in axes.collections if lines.get_gid() == subgraph)


@pytest.mark.parametrize(("arrangement", "seconds", "rows", "media", "axes"), [
    ("side-by-side", 10, 56, True, 3), ("stacked", 120, 10, True, 1), ("overlaid", 10, 56, False, 1),
])
def test_all_texts_are_readable_and_truth_and_prediction_are_below_each_column(
    arrangement, seconds, rows, media, axes, draw, texts_of
):
    figure = draw(seconds, rows, media, arrangement=arrangement, note="attention: layers 1 to 2")
    texts = texts_of(figure)
    assert figure.get_figwidth() == TEXT_WIDTH and {"attention: layers 1 to 2", "from text"} <= set(texts)
    assert texts.count("ground truth") == texts.count("prediction") == 1 and texts.count("time (s)") == axes
    # Of long videos no more edges are drawn than can be told apart.
    assert len(edges_of(figure, "av").get_paths()) == (40 if seconds == 10 else 150)


@pytest.mark.parametrize(("subgraph", "source", "target", "up", "colour"), [
    ("av", 2, 17, True, "audio"),  # from the sound of second 2 into the picture of second 7
    ("vt", 2, 17, False, "visual"),
    ("vt", 17, 2, True, "text"),
])
def test_an_edge_leads_from_its_source_to_its_target_in_its_sources_colour(
    subgraph, source, target, up, colour, curves_of
):
    (curve,), (drawn,) = curves_of(subgraph, (source, target))
    assert curve[0, 0] == pytest.approx(source % 10 + 0.5, abs=0.31)
    assert curve[-1, 0] == pytest.approx(target % 10 + 0.5, abs=0.31)
    assert (curve[-1, 1] > curve[0, 1]) == up
    assert curve[1, 0] == curve[0, 0] and curve[2, 0] == curve[3, 0]  # upright at both ends
    assert to_rgb(drawn) == pytest.approx(to_rgb(COLOURS[colour]))


def test_edges_within_a_lane_bend_out_of_the_way_and_two_directions_lie_apart(curves_of):
    # Equal edges are drawn from the last target to the first.
    (above, one, below, other), _ = curves_of("av", (12, 18), (2, 17), (2, 8), (17, 2))
    assert above[1:3, 1].min() > above[0, 1] + 0.1 and below[1:3, 1].max() < below[0, 1] - 0.1
    assert np.abs(one - other[::-1]).max() > 0.05


@pytest.mark.parametrize("arrangement", ["side-by-side", "overlaid"])
def test_a_share_of_the_edges_is_drawn_the_strongest_widest_darkest_and_on_top(arrangement, draw):
    figure = draw(arrangement=arrangement, share=0.05)
    for subgraph in ("av", "vt", "at"):
        lines = edges_of(figure, subgraph)
        assert len(lines.get_paths()) == 20 and np.all(np.diff(lines.get_linewidths()) >= 0)
    grey = lines.get_edgecolors()[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    sound = np.array([path.vertices[0, 1] for path in lines.get_paths()]) < 1.0
    assert all(source.sum() > 5 and np.all(np.diff(grey[source]) <= 1e-6) for source in (sound, ~sound))
    assert len({str(edges_of(figure, name).get_linestyle()) for name in ("av", "vt", "at")}) == (
        3 if arrangement == "overlaid" else 1)
