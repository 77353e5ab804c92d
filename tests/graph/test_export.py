"""The attention graph in file formats of other tools."""

from __future__ import annotations

import json

import networkx as nx
import pytest
import torch
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.export import save_attention, save_graph, to_networkx
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.views import to_heterodata

SECONDS, ROWS = 3, 2


def batch_and_output(videos: int = 1, layers: int = 1):
    """A batch, and an output with random attention."""
    batch = build_batch(
        torch.rand(videos, SECONDS, 4), torch.rand(videos, SECONDS, 5), text_nodes=ROWS,
        category=torch.full((videos,), 1), relevance=torch.tensor([[0.0, 1.0, 1.0]] * videos),
        row=torch.arange(videos) + 7,
    )
    sizes = {"av": 2 * SECONDS, "vt": SECONDS + ROWS, "at": SECONDS + ROWS}
    adjacency = {name: tuple(torch.rand(videos, size, size).softmax(-1) for _ in range(layers))
                 for name, size in sizes.items()}
    return batch, Localization(torch.zeros(videos, 2), torch.zeros(videos, SECONDS), adjacency=adjacency)


def test_the_networkx_graph_has_every_node_and_weight():
    batch, output = batch_and_output()
    graph = to_networkx(to_heterodata(batch, output))
    assert sorted(graph.nodes) == sorted([*(f"{name}:{at}" for name in ("audio", "visual") for at in range(SECONDS)),
                                          "text:0", "text:1"])
    assert graph.number_of_edges() == 36 + 25 + 25
    # Row i weighs the messages into node i: from the picture of second 2 into the sound of second 1.
    edge = graph.edges["visual:2", "audio:1", "av"]
    assert edge == {"subgraph": "av", "weight": pytest.approx(output.adjacency["av"][0][0, 1, SECONDS + 2].item())}
    both = {name: graph.edges["audio:0", "audio:2", name]["weight"] for name in ("av", "at")}
    assert both == {name: pytest.approx(output.adjacency[name][0][0, 2, 0].item()) for name in both}


@pytest.mark.parametrize(("name", "read"), [
    ("graph.graphml", nx.read_graphml),
    ("graph.json", lambda path: nx.node_link_graph(json.loads(path.read_text()), edges="edges")),
])
def test_a_saved_graph_can_be_read(tmp_path, name, read):
    data = to_heterodata(*batch_and_output())
    expected, found = to_networkx(data), read(save_graph(data, tmp_path / "new" / name))
    assert set(found.nodes) == set(expected.nodes)
    assert found.nodes["text:1"] == {"modality": "text", "number": 1}
    for one, other, key, values in expected.edges(keys=True, data=True):
        assert found.edges[one, other, key]["weight"] == pytest.approx(values["weight"])
    assert found.graph["row"] == 7 and found.graph["category"] == 1 and found.graph["relevance"] == "0 1 1"


def test_each_layer_has_its_files(tmp_path):
    paths = save_attention(*(found := batch_and_output(layers=2)), tmp_path)
    assert [path.name for path in paths[::3]] == ["graph-layer-1.graphml", "graph-layer-2.graphml"]
    second = nx.read_graphml(paths[3]).edges["audio:0", "audio:0", "av"]["weight"]
    assert second == pytest.approx(found[1].adjacency["av"][1][0, 0, 0].item())


def test_anything_but_a_graph_of_one_video_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="has 2 videos"):
        to_networkx(to_heterodata(*batch_and_output(videos=2)))
    with pytest.raises(ValueError, match="has 2 videos"):
        save_attention(*batch_and_output(videos=2), tmp_path)
    with pytest.raises(ValueError, match="edge_index"):
        to_networkx(HeteroData(audio={"x": torch.rand(2, 3)}))
    with pytest.raises(ValueError, match=r"\.graphml.*\.gexf"):
        save_graph(to_heterodata(*batch_and_output()), tmp_path / "graph.gexf")
    assert not list(tmp_path.iterdir())


def test_a_clip_has_its_prediction_and_neither_labels_nor_padding(tmp_path):
    facts = {"clip": "a.mp4", "predicted": "Bark 0 to 2 s"}
    graphml, as_json, path = save_attention(*(found := batch_and_output()), tmp_path, seconds=2, facts=facts)
    for graph in (nx.read_graphml(graphml), nx.node_link_graph(json.loads(as_json.read_text()), edges="edges")):
        assert graph.graph.items() >= facts.items()
        assert not {"category", "relevance", "row"} & set(graph.graph)
        assert len(graph.nodes) == 2 + 2 + ROWS and "audio:2" not in graph
        weight = graph.edges["visual:1", "audio:0", "av"]["weight"]
        assert weight == pytest.approx(found[1].adjacency["av"][0][0, 0, SECONDS + 1].item())
    data = torch.load(path, weights_only=False)
    assert type(data) is HeteroData and data.predicted == facts["predicted"]
    assert len(data["audio"].x) == 2 and "row" not in data
