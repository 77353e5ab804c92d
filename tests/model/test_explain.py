"""PyG's Explainer runs on a prediction, and a masked edge has no message."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer, HeteroExplanation
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.model.explain import Explained
from avsgn_pyg.zoo import topology

T, D = 5, 8


def explained(network, *settings: str, lengths: tuple[int, ...] = (T, T)) -> Explained:
    net = network(*settings)
    batch = build_batch(torch.randn(sum(lengths), D), torch.randn(sum(lengths), D), lengths=torch.tensor(lengths),
                        text_nodes=net.text_nodes, topology=topology(net.config))
    return Explained(net.model, batch)


@pytest.mark.parametrize(("settings", "lengths"), [
    ((), (T, T)), ((), (T, 3)), (("model.cmgi.conv=gat", "model.cmgi.relations=typed"), (T, T)),
    (("model.cmgi.topology=window", "model.cmgi.window=1"), (T, T)), (("model.cmgi.topk=2",), (T, 3)),
], ids=["default", "mixed lengths", "typed gat", "window", "strongest edges"])
def test_gnn_explainer_explains_a_prediction(network, settings: tuple[str, ...], lengths: tuple[int, ...]):
    wrapped = explained(network, *settings, lengths=lengths)
    explainer = Explainer(wrapped, GNNExplainer(epochs=3), explanation_type="model", edge_mask_type="object",
                          node_mask_type="attributes", model_config=wrapped.config)
    explanation = explainer(*wrapped.inputs())
    assert isinstance(explanation, HeteroExplanation)
    explanation.validate_masks()
    for edge_type in wrapped.graph.edge_types:
        mask = explanation[edge_type].edge_mask
        assert mask.shape == (wrapped.graph[edge_type].num_edges,) and 0 <= mask.min() and mask.max() <= 1
    assert explanation["audio", "av", "visual"].edge_mask.any() and explanation["audio"].node_mask.any()


def test_edges_of_the_batch_are_explained(network):
    net = network()
    batch = build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=net.text_nodes)
    for relation in batch.edge_types:
        batch[relation].edge_index = batch[relation].edge_index[:, ::2]
    wrapped = Explained(net.model, batch)
    for relation in batch.edge_types:
        assert set(map(tuple, wrapped.graph[relation].edge_index.T.tolist())) == \
            set(map(tuple, batch[relation].edge_index.T.tolist()))
    torch.testing.assert_close(wrapped(*wrapped.inputs()), net.model(batch).category)


def test_without_masks_it_equals_the_model_and_does_not_change_it(network):
    wrapped = explained(network)
    before = wrapped.model(wrapped.batch).category
    torch.testing.assert_close(wrapped(*wrapped.inputs()), before)
    gate = wrapped.gates["audio__av__visual"]
    edges = wrapped.graph["audio", "av", "visual"].edge_index
    set_masks(gate, torch.zeros(edges.shape[1]), edges, apply_sigmoid=False)
    assert not torch.allclose(wrapped(*wrapped.inputs()), before)
    assert torch.equal(wrapped.model(wrapped.batch).category, before)
    clear_masks(gate)
    torch.testing.assert_close(wrapped(*wrapped.inputs()), before)


@pytest.mark.parametrize("settings", [(), ("model.cmgi.topology=cross_modal_only",)], ids=["complete", "a list"])
def test_a_masked_edge_carries_no_message(network, settings: tuple[str, ...]):
    """Only the target of the edge changes, as if its weight of Eq. 7 were zero."""
    wrapped = explained(network, "model.cmgi.subgraphs=[av]", "model.cmgi.layers=1", *settings)
    wrapped.read = lambda output: output.stages["cmgi"]["visual"]
    x, edges = wrapped.inputs()
    index = edges["audio", "av", "visual"]
    mask = ((index[0] != 2) | (index[1] != 1)).float()
    set_masks(wrapped.gates["audio__av__visual"], mask, index, apply_sigmoid=False)
    with torch.no_grad():
        changed = (wrapped(x, edges) - wrapped.model(wrapped.batch).stages["cmgi"]["visual"]).abs().amax(-1) > 1e-6
    assert changed.nonzero().tolist() == [[0, 1]]
