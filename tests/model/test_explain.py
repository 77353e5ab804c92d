"""PyG's Explainer runs on a prediction from end to end, and its masks mean what they say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer, HeteroExplanation

from avsgn_pyg.config import load_config
from avsgn_pyg.graph.build import build_batch, build_video, collate
from avsgn_pyg.model.explain import Explained
from avsgn_pyg.zoo import Shape, build_model

T, C, D = 5, 3, 8
LENGTHS = (5, 3)


def explained(*overrides: str, mixed: bool = False) -> Explained:
    config = load_config(None, ["model.dim=16", "model.text.slots=per_class", *overrides]).model
    model = build_model(config, Shape(D, D, T, C), SimpleNamespace(audio=torch.randn(C, D), visual=torch.randn(C, D)))
    audio, visual = torch.randn(2, T, D), torch.randn(2, T, D)
    if mixed:
        batch = collate([build_video(audio[n, :t], visual[n, :t], text_nodes=2 * C, category=0,
                                     relevance=torch.ones(t), row=n) for n, t in enumerate(LENGTHS)])
    else:
        batch = build_batch(audio, visual, text_nodes=2 * C, category=torch.zeros(2, dtype=torch.int64),
                            relevance=torch.ones(2, T), row=torch.arange(2))
    return Explained(model.eval(), batch)


@pytest.mark.parametrize("overrides", [
    (), ("model.cmgi.conv=gat", "model.cmgi.relations=typed"), ("model.cmgi.topology=window", "model.cmgi.window=1"),
], ids=["default", "typed gat", "window"])
@pytest.mark.parametrize("mixed", [False, True])
def test_gnn_explainer_explains_a_prediction(overrides: tuple[str, ...], mixed: bool):
    wrapped = explained(*overrides, mixed=mixed)
    explainer = Explainer(wrapped, GNNExplainer(epochs=3), explanation_type="model", edge_mask_type="object",
                          node_mask_type="attributes", model_config=wrapped.config)
    explanation = explainer(*wrapped.inputs())
    assert isinstance(explanation, HeteroExplanation)
    explanation.validate_masks()
    for edge_type in wrapped.graph.edge_types:
        mask = explanation[edge_type].edge_mask
        assert mask.shape == (wrapped.graph[edge_type].num_edges,) and 0 <= mask.min() and mask.max() <= 1
    assert explanation["audio", "av", "visual"].edge_mask.any() and explanation["audio"].node_mask.any()


def test_without_masks_it_is_the_model_itself():
    wrapped = explained()
    torch.testing.assert_close(wrapped(*wrapped.inputs()), wrapped.model(wrapped.batch).category)
    assert not any(layer._forward_pre_hooks for subgraph in wrapped.model.cmgi.subgraphs.values()
                   for layer in subgraph.layers)


@pytest.mark.parametrize("overrides", [(), ("model.cmgi.topology=cross_modal_only",)])
def test_an_edge_that_is_masked_out_is_heard_no_more(overrides: tuple[str, ...]):
    """Sounds are altered in one second; with every edge out of it closed, vision's answer stays."""
    wrapped = explained("model.cmgi.subgraphs=[av]", "model.cmsa.inter_visual=false", "model.cmgi.layers=1", *overrides)
    wrapped.read = lambda answer: answer.stages["cmgi"]["visual"]
    x, edges = wrapped.inputs()
    louder = {**x, "audio": x["audio"] + torch.nn.functional.one_hot(torch.tensor(2), 2 * T)[:, None]}
    open_to = wrapped(x, edges), wrapped(louder, edges)
    gate = wrapped.gates["audio__av__visual"]
    closed = edges["audio", "av", "visual"][0] != 2
    gate.explain, gate._edge_mask, gate._apply_sigmoid = True, closed.float(), False
    with torch.no_grad():
        one, two = wrapped(x, edges), wrapped(louder, edges)
    assert not torch.allclose(*open_to)
    # Attention still shifts among the other sources: Eq. 7 is normalised before it is masked.
    assert (one - two).abs().max() < (open_to[0] - open_to[1]).abs().max()
