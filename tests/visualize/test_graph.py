"""The attention graph: which edges are drawn, from where to where, and that its texts can be read."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.graph import graph_figure
from avsgn_pyg.visualize.picture import Picture
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH

SPEECH = "Female speech, woman speaking"


@pytest.fixture
def draw(attention):
    def figure(seconds=10, rows=10, media=True, adjacency=None, text=(), **drawing):
        generator = np.random.default_rng(0)
        sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
        weights = adjacency or {name: attention(size, at) for at, (name, size) in enumerate(sizes.items())}
        return graph_figure(Picture(
            title="x4n0vSbGVzk, row 7 of AVE, val",
            category=SPEECH,
            relevance=np.ones(seconds, np.float32),
            gates={},
            tau=None,
            predicted=[Span(SPEECH, 1, 4), Span("Bark", 4, 5)],
            truth=[Span(SPEECH, 0, 5)],
            frames=generator.integers(0, 256, (seconds, 36, 64, 3)).astype(np.uint8) if media else None,
            waveform=generator.normal(size=seconds * 100).astype(np.float32) if media else None,
            adjacency={name: {"layers 1 to 2": found} for name, found in weights.items()},
            text=text,
        ), **drawing)

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


@pytest.mark.slow
@pytest.mark.parametrize(("arrangement", "seconds", "rows", "media", "axes"), [
    ("side-by-side", 10, 56, True, 3), ("stacked", 120, 10, True, 1), ("overlaid", 10, 56, False, 1),
])
def test_all_texts_are_readable_and_truth_and_prediction_are_below_each_column(
    arrangement, seconds, rows, media, axes, draw, texts_of
):
    figure = draw(seconds, rows, media, arrangement=arrangement)
    texts = texts_of(figure)
    assert figure.get_figwidth() == TEXT_WIDTH and {"attention: layers 1 to 2", "from text"} <= set(texts)
    assert texts.count("ground truth") == texts.count("prediction") == 1 and texts.count("time (s)") == axes
    # Of long videos no more edges are drawn than can be told apart.
    assert len(edges_of(figure, "av").get_paths()) == (40 if seconds == 10 else 150)


def ends_of(curve):
    """In which direction a curve leaves and arrives."""
    names = {(0, 1): "up", (0, -1): "down", (1, 0): "right", (-1, 0): "left"}
    return [names[tuple(np.sign(np.round(step, 6)).astype(int))] for step in (curve[1] - curve[0], curve[3] - curve[2])]


@pytest.mark.parametrize(("subgraph", "source", "target", "ends", "colour"), [
    ("av", 2, 17, ["up", "up"], "audio"),  # from the sound of second 2 into the picture of second 7
    ("av", 17, 2, ["down", "down"], "visual"),
    ("vt", 2, 17, ["down", "right"], "visual"),
    ("vt", 17, 2, ["left", "up"], "text"),
    ("at", 17, 2, ["left", "down"], "text"),
    ("at", 2, 5, ["down", "up"], "audio"),
    ("vt", 2, 5, ["up", "down"], "visual"),
    ("vt", 12, 15, ["right", "left"], "text"),
])
def test_an_edge_leads_from_its_source_to_its_target_in_its_sources_colour(
    subgraph, source, target, ends, colour, curves_of
):
    (curve,), (drawn,) = curves_of(subgraph, (source, target))
    assert ends_of(curve) == ends
    for node, place in ((source, curve[0]), (target, curve[3])):
        seconds = subgraph == "av" or node < 10
        assert place[0] == pytest.approx(node % 10 + 0.5, abs=0.31) if seconds else place[0] > 10.2
    light = 1 - np.array(to_rgb(COLOURS[colour]))
    assert 1 - drawn[:3] == pytest.approx(light * (1 - drawn[0]) / light[0], abs=1e-6)


def test_two_directions_between_two_nodes_lie_apart(curves_of):
    # Equal edges are drawn from the last target to the first.
    (one, other), _ = curves_of("av", (2, 17), (17, 2))
    assert np.abs(one - other[::-1]).max() > 0.05
    (one, other), _ = curves_of("vt", (2, 17), (17, 2))
    assert np.abs(one - other[::-1]).max() > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("arrangement", ["side-by-side", "stacked", "overlaid"])
def test_no_edge_runs_through_a_lane_of_other_nodes(arrangement, draw, monkeypatch):
    monkeypatch.setattr("avsgn_pyg.visualize.graph.MOST", 400)
    figure = draw(arrangement=arrangement, share=1.0)
    for subgraph, inside in (("av", (0, 10)), ("vt", (0, 20)), ("at", (0, 20))):
        for path in edges_of(figure, subgraph).get_paths():
            corners = path.vertices
            t = np.linspace(0, 1, 30)[1:-1, None]
            x, y = sum(weight * corner for weight, corner in zip(
                ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3), corners, strict=True)).T
            assert inside[0] <= x.min() and x.max() <= inside[1]
            heights = corners[[0, 3], 1]
            if subgraph == "av" and np.ptp(heights) > 0.3:  # between the lanes
                assert heights.min() <= y.min() and y.max() <= heights.max()


@pytest.mark.parametrize("arrangement", ["side-by-side", "overlaid"])
def test_a_share_of_the_edges_is_drawn_the_strongest_widest_darkest_and_on_top(arrangement, draw):
    figure = draw(arrangement=arrangement, share=0.05)
    for subgraph in ("av", "vt", "at"):
        lines = edges_of(figure, subgraph)
        assert len(lines.get_paths()) == 20 and np.all(np.diff(lines.get_linewidths()) >= 0)
    assert len({str(edges_of(figure, name).get_linestyle()) for name in ("av", "vt", "at")}) == (
        3 if arrangement == "overlaid" else 1)


@pytest.mark.slow
def test_a_weight_looks_the_same_in_every_panel_and_figure_and_the_key_shows_four(draw, texts_of):
    sharp, flat = np.eye(20, dtype=np.float32), np.full((20, 20), 0.05, np.float32)
    figure = draw(adjacency={"av": flat, "vt": sharp, "at": flat})
    widths = {name: set(np.round(edges_of(figure, name).get_linewidths(), 3)) for name in ("av", "vt", "at")}
    assert widths["av"] == widths["at"] and len(widths["av"]) == 1 and max(widths["vt"]) > 3 * max(widths["av"])
    alone = edges_of(draw(adjacency={"av": flat}), "av")
    assert np.array_equal(alone.get_linewidths(), edges_of(figure, "av").get_linewidths())
    assert np.array_equal(alone.get_edgecolors(), edges_of(figure, "av").get_edgecolors())
    assert {"weight 0.01", "weight 0.1", "weight 0.5", "weight 1"} <= set(texts_of(figure))


@pytest.mark.slow
def test_text_nodes_have_their_names_beside_the_time_axis(draw, texts_of):
    names = [f"+0.16 {name} ({how})" for how in ("seen", "heard") for name in ("Bark", "Cat", "Rain", "Sea", "Tractor")]
    for arrangement in ("side-by-side", "stacked", "overlaid"):
        figure = draw(arrangement=arrangement, text=names)
        assert {*names, "text"} <= set(texts_of(figure))
        assert all(text.get_position()[0] > 10 for axes in figure.axes for text in axes.texts
                   if text.get_text() in names)


@pytest.mark.slow
def test_of_many_text_nodes_the_names_of_the_strongest_are_written(draw, texts_of):
    weights = np.zeros((66, 66), np.float32)
    weights[3, [10, 65]] = 0.5
    names = [f"class {node}" for node in range(56)]
    texts = texts_of(draw(rows=56, adjacency={"vt": weights}, text=names, share=1.0))
    assert {"class 0", "class 55"} <= set(texts) and 5 < sum(text.startswith("class ") for text in texts) < 20


@pytest.mark.slow
def test_a_limit_on_the_edges_is_stated(draw, texts_of):
    note = "no more than the 150 strongest edges of a subgraph are drawn"
    assert note in texts_of(draw(share=1.0)) and note not in texts_of(draw(share=0.1))
