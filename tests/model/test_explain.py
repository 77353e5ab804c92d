"""PyG's explainers run on a prediction, and a masked edge has no message."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.explain import CaptumExplainer, GNNExplainer, HeteroExplanation
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine.zoo import Shape, build_model, topology
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.model.explain import Explained, explain

T, D = 5, 8


def one_video(network, *settings: str, seconds: int = T):
    """A small model, and a video for it."""
    net = network(*settings)
    return net.model, build_batch(torch.randn(1, seconds, D), torch.randn(1, seconds, D), text_nodes=net.text_nodes,
                                  topology=topology(net.config))


@pytest.mark.parametrize("settings", [
    (), ("model.cmgi.conv=gat", "model.cmgi.relations=typed"),
    ("model.cmgi.topology=window", "model.cmgi.window=1"), ("model.cmgi.topk=2",),
], ids=["default", "typed gat", "window", "strongest edges"])
def test_gnn_explainer_explains_a_prediction(network, settings: tuple[str, ...]):
    model, video = one_video(network, *settings)
    explanation = explain(model, video, GNNExplainer(epochs=2))
    assert isinstance(explanation, HeteroExplanation) and explanation.validate()
    assert int(explanation.target) == int(model(video).category.argmax())
    for store in explanation.edge_stores:
        assert 0 <= store.edge_mask.min() and store.edge_mask.max() <= 1
        assert store.edge_mask.shape == store.edge_weight.shape == (store.num_edges,)
    assert explanation["audio", "av", "visual"].edge_mask.any()
    assert {name: mask.shape for name, mask in explanation.node_mask_dict.items()} == {
        "audio": (T, D), "visual": (T, D), "text": (4, D)}


def test_the_subgraph_has_the_strongest_edges(network):
    model, video = one_video(network)
    explanation = explain(model, video, GNNExplainer(epochs=2), node_mask_type=None, threshold_config=("topk", 4))
    part, rest = explanation.get_explanation_subgraph(), explanation.get_complement_subgraph()
    assert part.validate() and {store.num_edges for store in part.edge_stores} == {4}
    for whole, kept in zip(explanation.edge_stores, part.edge_stores, strict=True):
        assert torch.equal(whole.edge_index[:, whole.edge_mask > 0], kept.edge_index)
    assert rest["audio", "av", "visual"].num_edges == T * T - 4


def test_attributions_of_edges_add_up_to_what_all_messages_do(network):
    """Integrated gradients are complete: their sum is the difference to the model without messages."""
    model, video = one_video(network, "model.cmgi.subgraphs=[av]")
    captum = CaptumExplainer("IntegratedGradients", n_steps=6)
    explanation = explain(model, video, captum, node_mask_type=None)
    wrapped = Explained(model, video)
    for edge_type, edges in wrapped.inputs()[1].items():
        set_masks(wrapped.gates["__".join(edge_type)], torch.zeros(edges.shape[1]), edges, apply_sigmoid=False)
    done = (model(video).category - wrapped(*wrapped.inputs()))[0, explanation.target]
    assert abs(done) > 0.01
    torch.testing.assert_close(sum(mask.sum() for mask in explanation.edge_mask_dict.values()), done[0], rtol=0.02,
                               atol=0.002)


def test_a_second_is_explained_by_its_neighbours(network):
    """With messages between neighbours alone and CMSA as narrow, a far second has no part in it."""
    model, video = one_video(network, "model.cmgi.topology=window", "model.cmgi.window=1", "model.cmgi.layers=1",
                             "model.cmgi.subgraphs=[av]", "model.cmsa.inter_text=false", seconds=6)
    explanation = explain(model, video, CaptumExplainer("InputXGradient"), second=0, target=1, edge_mask_type=None)
    used = explanation["audio"].node_mask.abs().sum(-1) > 0
    assert used.tolist() == [True, True, True, False, False, False]
    assert explanation.prediction.shape == (1,) and 0 < explanation.prediction < 1


def test_the_model_is_as_before(network):
    model, video = one_video(network)
    model.train()
    explain(model, video, GNNExplainer(epochs=2))
    assert model.training and all(one.requires_grad and one.grad is None for one in model.parameters())
    assert not model.label_text._forward_hooks


def test_masks_of_zero_give_the_baseline_and_masks_of_one_the_video(network):
    model, video = one_video(network, "model.input_norm=true", "model.width=8")
    baseline = {name: torch.randn(D) for name in ("audio", "visual")}
    wrapped = Explained(model, video, baseline=baseline)
    x, edges = wrapped.inputs()
    torch.testing.assert_close(wrapped(x, edges), model(video).category)
    empty = build_batch(*(baseline[name].expand(1, T, D) for name in baseline), text_nodes=4)
    without = {**x, "audio": 0 * x["audio"], "visual": 0 * x["visual"]}
    torch.testing.assert_close(wrapped(without, edges), model(empty).category)
    explanation = explain(model, video, GNNExplainer(epochs=1), baseline=baseline)
    assert torch.equal(explanation["audio"].x, video["audio"].x)


def test_what_cannot_be_explained_is_an_error(network):
    model, video = one_video(network)
    with pytest.raises(ValueError, match=r"second=5.*0 to 4"):
        explain(model, video, second=5)
    with pytest.raises(ValueError, match=r"target=2.*0 \(background\) or 1"):
        explain(model, video, second=0, target=2)
    with pytest.raises(ValueError, match="2 videos"):
        explain(model, build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=4))
    other = build_model(load_config(None, ["model.name=avel"]).model, Shape(D, D, T, 2))
    with pytest.raises(ValueError, match="AVEL"):
        explain(other, video)


def test_edges_of_the_batch_are_explained(network):
    model, video = one_video(network)
    for relation in video.edge_types:
        video[relation].edge_index = video[relation].edge_index[:, ::2]
    wrapped = Explained(model, video)
    for relation in video.edge_types:
        assert set(map(tuple, wrapped.graph[relation].edge_index.T.tolist())) == \
            set(map(tuple, video[relation].edge_index.T.tolist()))
    torch.testing.assert_close(wrapped(*wrapped.inputs()), model(video).category)


def test_without_masks_it_equals_the_model_and_does_not_change_it(network):
    wrapped = Explained(*one_video(network))
    before = wrapped.model(wrapped.batch).category
    torch.testing.assert_close(wrapped(*wrapped.inputs()), before)
    gate = wrapped.gates["audio__av__visual"]
    edges = wrapped.graph["audio", "av", "visual"].edge_index
    set_masks(gate, torch.zeros(edges.shape[1]), edges, apply_sigmoid=False)
    assert not torch.allclose(wrapped(*wrapped.inputs()), before)
    assert torch.equal(wrapped.model(wrapped.batch).category, before)
    clear_masks(gate)
    torch.testing.assert_close(wrapped(*wrapped.inputs()), before)
    features, edges = wrapped.inputs()
    assert not torch.allclose(wrapped({**features, "text": 0 * features["text"]}, edges), before)


@pytest.mark.parametrize("settings", [(), ("model.cmgi.topology=cross_modal_only",)], ids=["complete", "a list"])
def test_a_masked_edge_carries_no_message(network, settings: tuple[str, ...]):
    """Only the target of the edge changes, as if its weight of Eq. 7 were zero."""
    wrapped = Explained(*one_video(network, "model.cmgi.subgraphs=[av]", "model.cmgi.layers=1", *settings))
    wrapped.read = lambda output: output.stages["cmgi"]["visual"]
    x, edges = wrapped.inputs()
    index = edges["audio", "av", "visual"]
    mask = ((index[0] != 2) | (index[1] != 1)).float()
    set_masks(wrapped.gates["audio__av__visual"], mask, index, apply_sigmoid=False)
    with torch.no_grad():
        changed = (wrapped(x, edges) - wrapped.model(wrapped.batch).stages["cmgi"]["visual"]).abs().amax(-1) > 1e-6
    assert changed.nonzero().tolist() == [[0, 1]]
