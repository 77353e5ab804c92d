"""A video with a model's output: layers by name, figures and the page in a folder."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from avsgn_pyg.model.inputs import LabelText
from avsgn_pyg.visualize.edges import rollout
from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.files import write_graph, write_timeline
from avsgn_pyg.visualize.graph import graph_figure
from avsgn_pyg.visualize.heatmap import heatmap_figure
from avsgn_pyg.visualize.page import graph_page
from avsgn_pyg.visualize.picture import Picture, PictureError, named_layers, spans, text_names
from avsgn_pyg.visualize.timeline import timeline_figure


def adjacencies(layers):
    generator = torch.Generator().manual_seed(layers)
    return {name: tuple(torch.rand(1, size, size, generator=generator).softmax(-1) for _ in range(layers))
            for name, size in {"av": 8, "vt": 7, "at": 7}.items()}


@pytest.fixture
def picture() -> Picture:
    scores = np.linspace(0, 1, 4, dtype=np.float32)
    return Picture(
        title="a video", category="Bark", relevance=scores, gates={"audio": scores}, tau=0.5,
        predicted=spans(torch.tensor([1, 1, 0, 0]), ["Bark"]),
        adjacency=named_layers(adjacencies(2), layers=2, residual=True),
    )


@pytest.mark.parametrize(("given", "layers", "names"), [
    (3, 3, ["layer 1", "layer 2", "layer 3", "rollout"]), (1, 2, ["layers 1 to 2", "rollout"]), (1, 1, ["layer 1"]),
])
def test_layers_have_names_and_their_rollout_comes_last(given, layers, names):
    dense = adjacencies(given)
    sparse = {name: tuple(one.to_sparse() for one in found) for name, found in dense.items()}
    for adjacency in (dense, sparse):
        for residual in (True, False):
            found = named_layers(adjacency, layers=layers, residual=residual)["vt"]
            assert list(found) == names
            for name, matrix in zip(names, dense["vt"], strict=False):
                assert np.array_equal(found[name], matrix[0])
            if layers > 1:
                each = [found[name] for name in names[:-1]] * (layers // given)
                assert np.allclose(found["rollout"], rollout(each, residual=residual))


@pytest.mark.slow
def test_everything_is_written_in_every_format(picture, tmp_path):
    paths = [*write_timeline(picture, tmp_path / "new", ("png", "svg")),
             *write_graph(picture, tmp_path / "new", ("svg",))]
    assert [path.name for path in paths] == ["timeline.png", "timeline.svg", "graph.svg", "adjacency.svg", "graph.html"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_a_model_without_a_graph_still_has_a_timeline(picture):
    bare = dataclasses.replace(picture, adjacency={})
    assert timeline_figure(bare).axes
    for draw in (graph_figure, heatmap_figure, graph_page):
        with pytest.raises(PictureError, match="has no graph"):
            draw(bare)


@pytest.mark.parametrize(("changes", "says"), [
    ({"relevance": np.zeros(0, np.float32), "gates": {}}, "one or more seconds"),
    ({"relevance": np.full(4, 3.0, np.float32)}, "probabilities, not logits"),
    ({"gates": {"audio": np.full(4, -0.5, np.float32)}}, r"gates\['audio'\] lies in \[-0.5, -0.5\]"),
    ({"predicted": [Span("Bark", 3, 5)]}, r"predicted: Bark \[3, 5\)"),
    ({"waveform": np.zeros(0, np.float32)}, "waveform is empty"),
    ({"adjacency": {"av": {"layer 1": np.eye(9)}}}, r"\[9, 9\]"),
])
def test_what_cannot_be_drawn_is_an_error(picture, changes, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(picture, **changes)


def test_an_event_s_confidence_is_the_mean_of_its_class_over_its_seconds():
    scores = torch.tensor([[0.1, 0.9], [0.4, 0.2], [0.6, 0.3]])
    first, second = spans(torch.tensor([1, 0, 0]), ["Bark", "Cat"], scores)
    assert (first.label, second.label) == ("Cat", "Bark") and first.score == pytest.approx(0.9)
    assert second.score == pytest.approx(0.5) and spans(torch.tensor([0]), ["Bark"])[0].score is None


def test_text_nodes_are_labels_or_the_label_with_most_weight():
    bank = torch.zeros(2, 4)
    labels = LabelText(bank, bank, rows=None)
    assert text_names(["Bark", "Cat"], labels) == ("Bark (seen)", "Cat (seen)", "Bark (heard)", "Cat (heard)")
    mixtures = LabelText(bank, bank, rows=3)
    with torch.no_grad():
        mixtures.project.weight.copy_(torch.tensor([[0.1, 0.2, 0, 0], [0, 0.1, -0.3, 0.2], [0, 0, 0, 0.4]]))
    assert text_names(["Bark", "Cat"], mixtures) == ("+0.20 Cat (seen)", "−0.30 Bark (heard)", "+0.40 Cat (heard)")
    assert text_names(["Bark"], None) == ()
