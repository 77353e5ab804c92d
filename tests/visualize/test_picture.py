"""A video with a model's output: layers by name, figures and the page in a folder."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from avsgn_pyg.visualize.edges import rollout
from avsgn_pyg.visualize.picture import (
    Picture,
    PictureError,
    named_layers,
    spans,
    text_names,
    write_graph,
    write_timeline,
)


def attention(layers):
    generator = torch.Generator().manual_seed(layers)
    return {name: tuple(torch.rand(1, size, size, generator=generator).softmax(-1) for _ in range(layers))
            for name, size in {"av": 8, "vt": 7, "at": 7}.items()}


@pytest.fixture
def picture() -> Picture:
    scores = np.linspace(0, 1, 4, dtype=np.float32)
    return Picture(
        title="a video", category="Bark", relevance=scores, gates={"audio": scores}, tau=0.5,
        predicted=spans([(0, 2, 4)], ["Bark"]), adjacency=named_layers(attention(2), layers=2, residual=True),
    )


def test_layers_have_names_and_their_rollout_comes_last():
    found = named_layers(attention(3), layers=3, residual=True)["vt"]
    assert list(found) == ["layer 1", "layer 2", "layer 3", "rollout"]
    assert np.allclose(found["rollout"], rollout([found[f"layer {at}"] for at in (1, 2, 3)]))
    plain = named_layers(attention(3), layers=3, residual=False)["vt"]
    assert not np.allclose(plain["rollout"], found["rollout"])


def test_a_shared_adjacency_is_that_of_all_layers():
    found = named_layers(attention(1), layers=2, residual=True)["av"]
    assert list(found) == ["layers 1 to 2", "rollout"]
    assert np.allclose(found["rollout"], rollout([found["layers 1 to 2"]] * 2))
    assert list(named_layers(attention(1), layers=1, residual=True)["av"]) == ["layer 1"]


def test_sparse_adjacencies_are_drawn_as_dense_ones():
    dense = attention(1)
    sparse = {name: tuple(one.to_sparse() for one in found) for name, found in dense.items()}
    want, found = (named_layers(made, layers=2, residual=True) for made in (dense, sparse))
    assert all(np.array_equal(want["av"][layer], found["av"][layer]) for layer in want["av"])


def test_everything_is_written_in_every_format(picture, tmp_path):
    paths = [*write_timeline(picture, tmp_path / "new", ("png", "svg", "pdf")),
             *write_graph(picture, tmp_path / "new", ("svg",))]
    assert [path.name for path in paths] == ["timeline.png", "timeline.svg", "timeline.pdf", "graph.svg",
                                             "adjacency.svg", "graph.html"]
    assert all(path.stat().st_size > 1000 for path in paths)


@pytest.mark.parametrize(("options", "message"), [
    ({"layer": "layer 9"}, "this model has 'layer 1', 'layer 2', 'rollout'"),
    ({"share": 2.0}, "is no part of the edges"),
])
def test_what_cannot_be_drawn_is_an_error_and_nothing_is_written(picture, tmp_path, options, message):
    with pytest.raises(PictureError, match=message):
        write_graph(picture, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_model_without_a_graph_still_has_a_timeline(picture, tmp_path):
    bare = dataclasses.replace(picture, adjacency={})
    assert write_timeline(bare, tmp_path, ("svg",))
    for draw in (bare.graph, bare.heatmaps, bare.page):
        with pytest.raises(PictureError, match="has no graph"):
            draw()


def test_the_chosen_layer_is_drawn(picture):
    for layer in picture.layers:
        assert any(f"attention: {layer}" in text.get_text() for text in picture.graph(layer=layer).texts)


def test_labels_are_named_as_the_model_stacks_them():
    assert text_names(["cat", "dog"]) == ("cat (seen)", "dog (seen)", "cat (heard)", "dog (heard)")
