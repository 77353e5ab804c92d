"""One test for each equation: the code equals a plain float64 transcription of the formula.

The transcriptions read the weights of a module; they call no module.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine.zoo import Shape, build_model, build_objective
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.edges import subgraph_edges
from avsgn_pyg.graph.localization import Localization, decode
from avsgn_pyg.layers.convolution import Convolution
from avsgn_pyg.model.attention import CrossAttention
from avsgn_pyg.model.cmgi import CMGI, Adjacency, GraphLayer
from avsgn_pyg.model.cmsa import CMSA, InterAlignment, IntraAlignment, Streams
from avsgn_pyg.model.head import LocalizationHead
from avsgn_pyg.model.inputs import LabelText
from avsgn_pyg.model.losses import AVSGNObjective, class_loss, consistency_loss, relevance_loss

B, T, C, D = 3, 6, 4, 16
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def softmax(scores: Tensor) -> Tensor:
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def attn(module: CrossAttention, query: Tensor, source: Tensor) -> Tensor:
    """Eq. 1 with heads: softmax(Q W_q (K W_k)^T / sqrt(d_h)) V W_v, concatenated, W_o."""
    width, h = query.shape[-1], module.heads
    w_q, w_k, w_v = (w.T for w in (module.query.weight, *module.key_value.weight.chunk(2)))
    size = width // h
    heads = []
    for head in range(h):
        cut = slice(head * size, (head + 1) * size)
        q, k, v = query @ w_q[:, cut], source @ w_k[:, cut], source @ w_v[:, cut]
        heads.append(softmax(q @ k.mT / math.sqrt(size)) @ v)
    return torch.cat(heads, -1) @ module.out.weight.T


def layer_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt()


def linear(module: torch.nn.Linear, x: Tensor) -> Tensor:
    out = x @ module.weight.T
    return out if module.bias is None else out + module.bias


def streams(text_rows: int = T) -> Streams:
    return Streams(torch.randn(B, T, D), torch.randn(B, T, D), torch.randn(text_rows, D))


# --- Section 3.2 ---------------------------------------------------------------------------------


def test_text_projection_acts_on_the_label_axis():
    text = LabelText(torch.randn(C, D), torch.randn(C, D), rows=T)
    expected = text.project.weight @ torch.cat((text.visual, text.audio)) + text.project.bias[:, None]
    torch.testing.assert_close(text(torch.nn.Identity(), torch.nn.Identity()), expected)
    assert expected.shape == (T, D)


def test_per_class_text_slots_are_the_labels_themselves():
    text = LabelText(torch.randn(C, D), torch.randn(C, D), rows=None)
    rows = text(torch.nn.Identity(), torch.nn.Identity())
    assert torch.equal(rows, torch.cat((text.visual, text.audio))) and text.rows == 2 * C


# --- Section 3.3 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 4])
def test_eq1_scaled_dot_product_attention(heads: int):
    module = CrossAttention(D, heads, dropout=0.0)
    query, source = torch.randn(B, T, D), torch.randn(B, T + 2, D)
    torch.testing.assert_close(module(query, source), attn(module, query, source))


def test_eq1_rows_without_a_batch_axis_are_the_same_for_every_video():
    module = CrossAttention(D, 4, dropout=0.0)
    query, source = torch.randn(T, D), torch.randn(B, T, D)
    torch.testing.assert_close(module(query, source), attn(module, query.expand(B, T, D), source))


@pytest.mark.parametrize("residual", [False, True])
def test_eq2_and_eq3_intra_modal_attention(residual: bool):
    module = IntraAlignment(D, 4, residual=residual, text_queries=True, **NO_DROPOUT)
    video, text = torch.randn(B, T, D), torch.randn(T, D)
    attended = attn(module.attend, text.expand(B, T, D), video)
    torch.testing.assert_close(module(video, text), layer_norm(video + attended) if residual else attended)


def test_eq2_queried_by_the_seconds_when_text_has_one_row_a_class():
    module = IntraAlignment(D, 4, residual=False, text_queries=False, **NO_DROPOUT)
    video, text = torch.randn(B, T, D), torch.randn(2 * C, D)
    torch.testing.assert_close(module(video, text), attn(module.attend, video, text.expand(B, 2 * C, D)))


@pytest.mark.parametrize("residual", [False, True])
def test_eq4_to_eq6_inter_modal_attention_and_bottleneck(residual: bool):
    module = InterAlignment(D, 8, 4, residual=residual, partner_queries=(True, True), **NO_DROPOUT)
    stream, first, second = torch.randn(B, T, D), torch.randn(B, T, D), torch.randn(B, T, D)
    halves = [attn(attend, partner, stream) + (stream if residual else 0)
              for attend, partner in zip(module.attend, (first, second), strict=True)]
    expected = linear(module.bottleneck, torch.cat(halves, -1)).clamp(min=0)
    torch.testing.assert_close(module(stream, (first, second)), expected)


def test_eq4_to_eq6_have_their_own_number_of_heads():
    module = CMSA(D, 8, heads=4, inter_heads=1)
    heads = {name: part.heads for name, part in module.named_modules() if isinstance(part, CrossAttention)}
    assert {heads.pop(name) for name in ("intra_visual.attend", "intra_audio.attend")} == {4}
    assert len(heads) == 6 and set(heads.values()) == {1}


def test_cmsa_hands_every_equation_its_own_partners():
    module = CMSA(D, 8, residual="none", **NO_DROPOUT)
    audio, visual, text = streams()
    wide = text.expand(B, T, D)
    v, a = attn(module.intra_visual.attend, wide, visual), attn(module.intra_audio.attend, wide, audio)

    def phi(align: InterAlignment, stream: Tensor, first: Tensor, second: Tensor) -> Tensor:
        halves = [attn(m, p, stream) for m, p in zip(align.attend, (first, second), strict=True)]
        return linear(align.bottleneck, torch.cat(halves, -1)).clamp(min=0)

    out = module(Streams(audio, visual, text))
    torch.testing.assert_close(out.visual, phi(module.inter_visual, v, a, wide))  # Eq. 4
    torch.testing.assert_close(out.audio, phi(module.inter_audio, a, v, wide))  # Eq. 5
    torch.testing.assert_close(out.text, phi(module.inter_text, wide, a, v))  # Eq. 6


# --- Section 3.4 ---------------------------------------------------------------------------------


def subgraphs(as_list: bool = False) -> dict[str, Any]:
    """The edges of B complete videos."""
    batch = build_batch(torch.randn(B, T, D), torch.randn(B, T, D), text_nodes=T)
    return {name: subgraph_edges(batch, name, as_list=as_list) for name in ("av", "vt", "at")}


def by_video(first: Tensor, second: Tensor) -> Tensor:
    """X = [F_first ; F_second] of each video, [B, 2T, D]."""
    return torch.cat((first.view(B, T, D), second.view(B, T, D)), dim=1)


@pytest.mark.parametrize("as_list", [False, True])
def test_eq7_adjacency_is_a_softmax_over_sources(as_list: bool):
    module, edges = Adjacency(D), subgraphs(as_list)["av"]
    first, second = torch.randn(B * T, D), torch.randn(B * T, D)
    x = by_video(first, second)
    expected = softmax((x @ module.query.weight.T) @ (x @ module.key.weight.T).mT / math.sqrt(D))
    adjacency = edges.matrix(module(edges.join(first, second), edges)).to_dense()
    torch.testing.assert_close(adjacency, expected)
    torch.testing.assert_close(adjacency.sum(-1), torch.ones(B, 2 * T))


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(("residual", "norm"), [(False, "none"), (True, "layer")])
def test_eq8_graph_convolution(as_list: bool, residual: bool, norm: str):
    layer = GraphLayer(Convolution(D, "gcn", {"bias": False}), D, residual=residual, norm=norm, dropout=0.0)
    edges, first, second = subgraphs(as_list)["av"], torch.randn(B * T, D), torch.randn(B * T, D)
    x, weight = edges.join(first, second), torch.rand(B * (2 * T) ** 2)
    weight = weight if as_list else weight.view(B, 2 * T, 2 * T)
    nodes, adjacency = by_video(first, second), edges.matrix(weight).to_dense()
    update = torch.zeros_like(nodes)
    for i in range(2 * T):
        for j in range(2 * T):  # the message into i from j
            update[:, i] += adjacency[:, i, j, None] * (nodes[:, j] @ layer.conv.conv.lin.weight.T)
    update = update.clamp(min=0)
    expected = layer_norm(nodes + update) if residual else update
    torch.testing.assert_close(by_video(*edges.split(layer(x, edges, weight))), expected)


def test_sums_over_subgraphs():
    module, edges = CMGI(D, lambda subgraph: Convolution(D), dropout=0.0), subgraphs()
    audio, visual, text = (torch.randn(B * T, D) for _ in range(3))
    out = module({"audio": audio, "visual": visual, "text": text}, edges).nodes
    (a_av, v_av), _ = module.subgraph("av", audio, visual, edges["av"])
    (v_vt, t_vt), _ = module.subgraph("vt", visual, text, edges["vt"])
    (a_at, t_at), _ = module.subgraph("at", audio, text, edges["at"])
    torch.testing.assert_close(out["audio"], a_av + a_at)
    torch.testing.assert_close(out["visual"], v_av + v_vt)
    torch.testing.assert_close(out["text"], t_vt + t_at)


def test_without_subgraphs_the_features_stay_as_aligned():
    given = {name: torch.randn(B * T, D) for name in ("audio", "visual", "text")}
    nodes, adjacency = CMGI(D, lambda subgraph: Convolution(D), subgraphs=())(given, {})
    assert all(torch.equal(nodes[name], given[name]) for name in given) and adjacency == {}


# --- Section 3.5 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gates", ["scalar", "vector"])
def test_eq9_cross_gating_eq10_category_eq11_relevance(gates: str, bias: bool):
    head = LocalizationHead(D, C, gates=gates, dropout=0.0, bias=bias)
    assert sum(name.endswith("bias") for name, _ in head.named_parameters()) == 5 * bias
    audio, visual = torch.randn(B, T, D), torch.randn(B, T, D)
    g_a, g_v = sigmoid(linear(head.audio_gate, audio)), sigmoid(linear(head.visual_gate, visual))
    fused = visual * g_a + audio * g_v  # Eq. 9: the audio gate weighs vision
    out = head(audio, visual)
    torch.testing.assert_close(out.category, linear(head.classify.category, fused.max(1).values))  # Eq. 10
    torch.testing.assert_close(out.relevance, linear(head.classify.relevance, fused)[..., 0])  # Eq. 11
    torch.testing.assert_close(out.gate_category, linear(head.gate_category, (g_a * g_v * fused).max(1).values))
    assert g_a.shape[-1] == (1 if gates == "scalar" else D)


def test_relevance_of_segment_scores_is_the_log_odds_of_some_class_over_background():
    out = LocalizationHead(D, C, segment_scores=True, dropout=0.0)(torch.randn(B, T, D), torch.randn(B, T, D))
    p = softmax(out.segment_scores)
    torch.testing.assert_close(out.relevance, (p[..., :-1].sum(-1) / p[..., -1]).log())
    torch.testing.assert_close(out.category, out.segment_scores[..., :-1].max(1).values)


# --- Objectives ----------------------------------------------------------------------------------


CATEGORY = torch.tensor([2, -1, 0])  # the second video has no event
EVENT = torch.tensor([[1, 1, 0, 0, 0, 0], [0] * 6, [1] * 6]).double()


def localization(**given: Tensor) -> Localization:
    base = {"category": torch.randn(B, C), "relevance": torch.randn(B, T), "gate_category": torch.randn(B, C),
            "stages": {"cmgi": {"audio": torch.rand(B, T, D), "visual": torch.rand(B, T, D)}}}
    return Localization(**(base | given))


def log_loss(logits: Tensor) -> Tensor:
    """Mean of -log softmax at the class, over the two videos that have an event."""
    return -(softmax(logits)[0, 2].log() + softmax(logits)[2, 0].log()) / 2


def test_eq12_category_loss_is_the_cross_entropy_of_logits():
    output = localization()
    losses = AVSGNObjective(losses=("category",))(output, CATEGORY, EVENT)
    torch.testing.assert_close(losses["category"], log_loss(output.category))


def test_eq13_relevance_loss_is_the_binary_cross_entropy_of_logits():
    r = torch.randn(B, T)
    p = sigmoid(r)
    expected = -(EVENT * p.log() + (1 - EVENT) * (1 - p).log()).mean()
    torch.testing.assert_close(relevance_loss(r, EVENT), expected)


def test_eq13_threshold_decides_in_decoding_strictly():
    category, p = torch.tensor([[0.0, 3.0, 3.0]]), torch.tensor([[0.4, 0.5, 0.75]])
    r = (p / (1 - p)).log()
    assert decode(category, r, 0.5).tolist() == [[3, 3, 1]]  # first maximum; sigmoid(0) > 0.5 is false
    assert decode(category, r, 0.3).tolist() == [[1, 1, 1]]


def test_eq14_gate_loss_needs_only_the_class():
    output = localization()
    losses = AVSGNObjective(losses=("gate",))(output, CATEGORY, None)
    torch.testing.assert_close(losses["gate"], log_loss(output.gate_category))


def test_eq15_consistency_draws_event_seconds_together_and_holds_others_apart():
    audio, margin = torch.randn(B, T, D), 0.9
    visual = audio + torch.randn(B, T, D) * torch.linspace(0.2, 4, T)[:, None]  # distances on both sides of the margin
    a, v = audio / audio.norm(dim=-1, keepdim=True), visual / visual.norm(dim=-1, keepdim=True)
    distance = (v - a).norm(dim=-1)
    assert (distance[EVENT == 0] < margin - 0.1).any() and (distance[EVENT == 0] > margin).any()
    expected = (EVENT * distance + (1 - EVENT) * (margin - distance).clamp(min=0)).mean()
    found = consistency_loss(audio, visual, EVENT, margin)
    torch.testing.assert_close(found, expected)


def test_eq15_equal_rows_have_a_finite_gradient():
    audio = torch.randn(B, T, D, requires_grad=True)
    consistency_loss(audio, audio.detach().clone(), EVENT).backward()
    assert audio.grad.isfinite().all()


def test_eq16_full_objective():
    output, objective = localization(), AVSGNObjective(consistency_weight=0.25, margin=0.8)
    losses = objective(output, CATEGORY, EVENT)
    stage = output.stages["cmgi"]
    expected = (relevance_loss(output.relevance, EVENT) + class_loss(output.category, CATEGORY)
                + class_loss(output.gate_category, CATEGORY)
                + 0.25 * consistency_loss(stage["audio"], stage["visual"], EVENT, 0.8))
    assert tuple(losses) == ("relevance", "category", "gate", "consistency")
    torch.testing.assert_close(objective.total(losses), expected)


def pool(scores: Tensor, how: str, r: Tensor) -> Tensor:
    """MIL of Eq. 17 for one video, [T, C] -> [C], in loops."""
    out = []
    for c in range(scores.shape[1]):
        column = sorted(scores[:, c].tolist(), reverse=True)
        out.append({"max": column[0], "mean": sum(column) / len(column), "topk": sum(column[:2]) / 2,
                    "attention": float((softmax(r) * scores[:, c]).sum())}[how])
    return torch.tensor(out)


@pytest.mark.parametrize("how", ["max", "mean", "topk", "attention"])
def test_eq17_joint_score_and_pooling_eq18_weak_objective(how: str):
    output, objective = localization(), AVSGNObjective("weak", mil_pooling=how, mil_topk=2)
    joint = sigmoid(output.relevance)[..., None] * output.category[:, None]
    pooled = torch.stack([pool(s, how, r) for s, r in zip(joint, output.relevance, strict=True)])
    losses = objective(output, CATEGORY)
    assert tuple(losses) == ("mil", "gate")
    torch.testing.assert_close(losses["mil"], log_loss(pooled))
    torch.testing.assert_close(objective.total(losses), losses["mil"] + losses["gate"])


@pytest.mark.parametrize("how", ["max", "mean", "topk", "attention"])
def test_eq17_on_softmax_scores_as_printed(how: str):
    output, objective = localization(), AVSGNObjective("weak", mil_pooling=how, mil_topk=2, mil_scores="softmax")
    joint = sigmoid(output.relevance)[..., None] * softmax(output.category)[:, None]
    pooled = torch.stack([pool(s, how, r) for s, r in zip(joint, output.relevance, strict=True)])
    expected = -(pooled[0, 2].log() + pooled[2, 0].log()) / 2
    torch.testing.assert_close(objective(output, CATEGORY)["mil"], expected)


def test_table4_row_without_category_and_relevance_trains_29_scores_a_segment():
    scores = torch.randn(B, T, C + 1)
    losses = AVSGNObjective(losses=("segment", "gate"))(localization(segment_scores=scores), CATEGORY, EVENT)
    expected = torch.zeros(())
    for b in range(B):
        for t in range(T):
            label = int(CATEGORY[b]) if EVENT[b, t] else C
            expected -= softmax(scores)[b, t, label].log() / (B * T)
    torch.testing.assert_close(losses["segment"], expected)


# --- What the equations imply --------------------------------------------------------------------


def network(*overrides: str) -> torch.nn.Module:
    config = load_config(None, ("model.dim=16", *overrides))
    bank = SimpleNamespace(audio=torch.randn(C, D), visual=torch.randn(C, D))
    return build_model(config.model, Shape(D, D, T, C), bank).double().eval()


LITERAL = ("model.cmsa.residual=none", "model.cmgi.residual=false", "model.cmgi.norm=none")


def localize(model: torch.nn.Module, audio: Tensor, visual: Tensor) -> Localization:
    return model(build_batch(audio, visual, text_nodes=T))


def test_the_literal_equations_are_blind_to_time_order():
    model, audio, visual = network(*LITERAL), torch.randn(B, T, D), torch.randn(B, T, D)
    order = torch.randperm(T)
    before, after = localize(model, audio, visual), localize(model, audio[:, order], visual[:, order])
    assert (before.relevance - after.relevance).abs().max() < 1e-13  # not even permuted: unchanged


@pytest.mark.parametrize("residual", ["both", "intra"])
def test_the_value_residual_lets_the_order_through(residual: str):
    model = network(f"model.cmsa.residual={residual}")
    audio, visual = torch.randn(B, T, D), torch.randn(B, T, D)
    before = localize(model, audio, visual).relevance
    after = localize(model, audio.flip(1), visual.flip(1)).relevance
    assert (before - after).abs().max() > 1e-3


def test_a_residual_on_the_inter_stage_alone_comes_too_late():
    model = network(*LITERAL[1:], "model.cmsa.residual=inter")
    audio, visual = torch.randn(B, T, D), torch.randn(B, T, D)
    before = localize(model, audio, visual).relevance
    assert (before - localize(model, audio.flip(1), visual.flip(1)).relevance).abs().max() < 1e-13


@pytest.mark.parametrize("seen", [True, False])
def test_a_boundary_in_one_modality_only_is_visible(seen: bool):
    step = torch.randn(1, 2, D).repeat_interleave(T // 2, dim=1)
    constant = torch.randn(1, 1, D).expand(1, T, D).clone()
    audio, visual = (constant, step) if seen else (step, constant)
    model = network()
    model.label_text.project.weight.data.copy_(model.label_text.project.weight.data[:1].expand(T, -1))
    model.label_text.project.bias.data.zero_()  # one and the same text row: only the features can tell seconds apart
    r = localize(model, audio, visual).relevance[0]
    assert (r[: T // 2].mean() - r[T // 2 :].mean()).abs() > 1e-3
    blind = network(*LITERAL, "model.cmsa.intra_clip=false", "model.cmsa.intra_clap=false")
    blind.label_text.load_state_dict(model.label_text.state_dict())
    r = localize(blind, audio, visual).relevance[0]
    assert (r - r[0]).abs().max() < 1e-12  # without a value residual the same boundary is gone


def test_heads_return_logits_and_no_loss_squashes_twice():
    """Perfect, confident logits drive every class loss to zero, which a second softmax or sigmoid forbids."""
    sure = torch.nn.functional.one_hot(CATEGORY.clamp(min=0), C).double() * 100
    output = localization(category=sure, gate_category=sure, relevance=(EVENT * 2 - 1) * 100)
    losses = AVSGNObjective(losses=("category", "gate", "relevance"))(output, CATEGORY, EVENT)
    assert max(loss.item() for loss in losses.values()) < 1e-6
    assert AVSGNObjective("weak", losses=("mil",))(output, CATEGORY)["mil"] < 1e-6


def test_videos_without_an_event_do_not_poison_the_class_losses():
    output = localization(**{name: torch.randn(B, C, requires_grad=True) for name in ("category", "gate_category")})
    objective = AVSGNObjective()
    objective.total(objective(output, CATEGORY, EVENT)).backward()
    for logits in (output.category, output.gate_category):
        assert torch.equal(logits.grad[1], torch.zeros(C)) and logits.grad[0].abs().sum() > 0
    empty = objective(localization(), torch.full((B,), -1), EVENT * 0)
    assert empty["category"] == 0 and all(loss.isfinite() for loss in empty.values())


def test_the_weak_objective_never_reads_segment_labels():
    objective = build_objective(load_config(None, ("objective.supervision=weak",)).objective)
    output = localization()
    poison = torch.full((B, T), float("nan"))
    assert {name: loss.item() for name, loss in objective(output, CATEGORY, poison).items()} == \
        {name: loss.item() for name, loss in objective(output, CATEGORY, None).items()}
