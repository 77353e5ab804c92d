"""The hand-written step is the model: same loss, same gradient in every parameter."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.config import Config, ConfigError, load_config
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.experiments.dense_step import DenseSettings, dense_loss
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.schema import NO_EVENT, RELEVANCE
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.zoo import Shape, build_model, build_objective

B, T, C, WIDTH = 5, 6, 4, 32
NO_DROPOUT = [f"model.dropout.{site}=0" for site in ("attention", "features", "graph", "head")]


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_model(config: Config) -> AVSGN:
    text = LabelText(torch.randn(C, WIDTH), torch.randn(C, WIDTH))
    model = build_model(config.model, Shape(WIDTH, WIDTH, T, C), text)
    for parameter in model.parameters():  # no bias and no norm stays where it could hide
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def make_inputs() -> dict[str, torch.Tensor]:
    return {
        "audio": torch.randn(B, T, WIDTH),
        "visual": torch.randn(B, T, WIDTH),
        "category": torch.tensor([0, 3, NO_EVENT, 2, 2]),
        "relevance": torch.randint(0, 2, (B, T)).double(),
    }


def both_losses(config: Config, model: AVSGN, inputs: dict) -> tuple[torch.Tensor, torch.Tensor]:
    batch = build_batch(**inputs, text_nodes=T, row=torch.arange(B))
    batch[RELEVANCE] = inputs["relevance"]
    objective = build_objective(config.objective)
    ours = objective.total(objective(model(batch), inputs["category"], inputs["relevance"]))
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return ours, dense_loss(weights, **inputs, settings=DenseSettings.of(config))


@pytest.mark.parametrize("changes", [
    [],
    ["model.cmsa.residual=none"],
    ["model.cmsa.residual=intra", "model.cmgi.layers=3"],
    ["model.cmsa.residual=inter", "model.cmgi.backend=native", "model.cmsa.heads=2"],
    ["objective.relevance_weight=6", "objective.consistency_weight=0.5", "objective.margin=0.7"],
])
def test_loss_and_every_gradient_equal_the_models(changes):
    config = load_config(None, ["model.dim=16", *NO_DROPOUT, *changes])
    model = make_model(config)
    ours, by_hand = both_losses(config, model, make_inputs())
    torch.testing.assert_close(by_hand, ours, rtol=1e-12, atol=1e-12)
    names, parameters = zip(*model.named_parameters(), strict=True)
    expected = torch.autograd.grad(ours, parameters)
    found = torch.autograd.grad(by_hand, parameters)
    for name, theirs, mine in zip(names, expected, found, strict=True):
        assert theirs.abs().max() > 1e-9, f"{name}: a gradient of zero would prove nothing"
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-12), name


def test_values_are_dropped_where_the_model_drops_them_at_the_same_rates(monkeypatch):
    """Sites are told apart by size and rate: no two rates are equal, nor B, T, heads and widths."""
    config = load_config(None, ["model.dim=16", "model.dropout.attention=0.1", "model.dropout.features=0.2",
                                "model.dropout.graph=0.3", "model.dropout.head=0.4"])
    sites: list[tuple[int, float]] = []
    drop, attend = F.dropout, F.scaled_dot_product_attention

    def dropout(values: torch.Tensor, p: float = 0.5, training=True, inplace=False) -> torch.Tensor:
        if training and p:
            sites.append((values.numel(), p))
        return drop(values, p, training, inplace)

    def attention(query, key, value, attn_mask=None, dropout_p=0.0):
        sites.append(((query @ key.mT).numel(), dropout_p))
        return attend(query, key, value, attn_mask, dropout_p)

    monkeypatch.setattr(F, "dropout", dropout)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    model, inputs = make_model(config), make_inputs()
    batch = build_batch(**inputs, text_nodes=T, row=torch.arange(B))
    model(batch)
    by_model = sorted(sites)
    sites.clear()
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    dense_loss(weights, **inputs, settings=DenseSettings.of(config))
    assert sorted(sites) == by_model
    assert {rate for _, rate in sites} == {0.1, 0.2, 0.3, 0.4} and len(sites) == 28


@pytest.mark.parametrize("change", [
    "model.cmgi.conv=gat", "model.head.gates=vector", "model.dropout.input=0.1", "objective.supervision=weak",
    "model.time_encoding=relative", "objective.label_smoothing=0.1",
])
def test_another_network_is_refused(change):
    with pytest.raises(ConfigError, match="hand-written step is the default network"):
        DenseSettings.of(load_config(None, [change]))
