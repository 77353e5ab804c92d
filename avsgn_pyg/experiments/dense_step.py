"""AVSGN's training step written by hand on plain tensors: what the model's step is compared with.

It reads a model's parameters by name and computes the same function (the tests hold the loss and every
gradient equal in float64) with what writing by hand buys: label text, the same for every video, is multiplied
into its neighbours' weights first; all that reads a stream is one product; Eq. 7's two weights are one.
No module is called. What is not the default network is refused, not approximated.

Letters: B videos, T segments, R text rows, C classes, d width in, D hidden width, h heads, e = d / h.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.config import CMGIConfig, CMSAConfig, Config, ConfigError, ModelConfig, ObjectiveConfig
from avsgn_pyg.engine.optim import build_optimizer
from avsgn_pyg.experiments.workload import Workload, random_videos, ready_batch
from avsgn_pyg.graph.schema import AUDIO, CATEGORY, NO_EVENT, RELEVANCE, VISUAL
from avsgn_pyg.graph.views import dense_view

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class DenseSettings:
    """What a config may choose; rates are zero outside training.

    Attributes:
        heads, residual: of CMSA.
        layers: of CMGI.
        attention, features, graph, head: dropout rates by site.
        relevance_weight, consistency_weight, margin: of Eq. 16 and 15.
    """

    heads: int
    residual: str
    layers: int
    attention: float
    features: float
    graph: float
    head: float
    relevance_weight: float
    consistency_weight: float
    margin: float

    @classmethod
    def of(cls, config: Config) -> DenseSettings:
        """The settings of `config`.

        Raises:
            ConfigError: it asks for something the hand-written step does not do; names the sections.
        """
        model, objective = config.model, config.objective
        done_model = ModelConfig(
            dim=model.dim, cmsa=CMSAConfig(heads=model.cmsa.heads, residual=model.cmsa.residual),
            cmgi=CMGIConfig(layers=model.cmgi.layers, backend=model.cmgi.backend),
            dropout=model.dropout.model_copy(update={"input": 0.0}),
        )
        numbers = objective.model_dump(include={"relevance_weight", "consistency_weight", "margin"})
        if (model, objective) != (done_model, ObjectiveConfig(**numbers)):
            raise ConfigError(
                "the hand-written step is the default network under full supervision; all that may differ is "
                "model.dim, model.cmsa.heads, model.cmsa.residual, model.cmgi.layers, model.dropout (not its "
                "input) and the objective's relevance_weight, consistency_weight and margin")
        numbers |= model.dropout.model_dump(exclude={"input"})
        return cls(heads=model.cmsa.heads, residual=model.cmsa.residual, layers=model.cmgi.layers, **numbers)


class HandStep:
    """The hand-written step on the workload's parameters, batch, clipping and optimizer; calling it takes one."""

    def __init__(self, workload: Workload, device: str = "cpu") -> None:
        torch.set_num_threads(workload.threads)
        config = workload.config(device)
        self.settings, self.recipe = DenseSettings.of(config), config.train
        model = workload.model(config).to(device)
        self.parameters = list(model.parameters())
        self.weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.optimizer = build_optimizer(model, self.recipe.learning_rate, self.recipe.weight_decay)
        small = dataclasses.replace(workload, videos=workload.batch_size)
        batch = ready_batch(random_videos(small).to(device), workload.batch_size)
        self.inputs = (dense_view(batch, AUDIO), dense_view(batch, VISUAL), batch[CATEGORY], batch[RELEVANCE])

    def loss(self) -> Tensor:
        """Eq. 16 of the batch."""
        return dense_loss(self.weights, *self.inputs, self.settings)

    def __call__(self) -> None:
        self.loss().backward()
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


def dense_loss(
    weights: Weights,
    audio: Float[Tensor, "B T d"],
    visual: Float[Tensor, "B T d"],
    category: Int[Tensor, "B"],
    relevance: Float[Tensor, "B T"],
    settings: DenseSettings,
) -> Float[Tensor, ""]:
    """Eq. 16 of the default network, ready for ``backward()``.

    Args:
        weights: parameters and buffers by the names :class:`avsgn_pyg.model.avsgn.AVSGN` gives them.
        audio, visual: features.
        category: class of each video, NO_EVENT where it has none.
        relevance: 1 where a second belongs to the event.
        settings: sizes and rates.
    """
    weights = _halved(weights)
    aligned = _align(weights, audio, visual, settings)
    audio, visual = _interact(weights, aligned, settings)
    return _loss(weights, audio, visual, category, relevance, settings)


def _halved(weights: Weights) -> Weights:
    """Keys' and values' weights by names of their own, cut once: a slice's gradient fills a whole matrix."""
    cut = {name: matrix.chunk(2) for name, matrix in weights.items() if name.endswith(".key_value.weight")}
    halves = {name.replace("key_value", part): half for name, pair in cut.items()
              for part, half in zip(("key", "value"), pair, strict=True)}
    return {**weights, **halves}


class _Read(NamedTuple):
    """All projections of one stream, from one product; each is [B, T, .]."""

    key: Tensor  # for queries of the other modality
    value: Tensor
    text_value: Tensor  # for queries of the text
    text_key: Tensor  # scores of the text's h R queries: these are multiplied into the key weights
    query: Tensor  # to the other modality
    text_query: Tensor  # scores of the text's h R keys: these are multiplied into the query weights


def _align(w: Weights, audio: Tensor, visual: Tensor, s: DenseSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 1-6: F_a, F_v, F_t, each [B, rows, D]."""
    bank = torch.cat((w["label_text.visual"], w["label_text.audio"]))
    text = torch.addmm(w["label_text.project.bias"][:, None], w["label_text.project.weight"], bank)
    visual = _intra(w, "cmsa.intra_visual", visual, text, s)
    audio = _intra(w, "cmsa.intra_audio", audio, text, s)
    of_visual = _read(w, "cmsa.inter_visual", "cmsa.inter_audio", 1, visual, text, s)
    of_audio = _read(w, "cmsa.inter_audio", "cmsa.inter_visual", 0, audio, text, s)
    answers = {}
    for name, own, other in (("visual", of_visual, of_audio), ("audio", of_audio, of_visual)):
        key, value, query = (_heads(rows, s.heads) for rows in (own.key, own.value, other.query))
        score = (query * (query.shape[-1] ** -0.5)) @ key.mT
        across = _mix(w, f"cmsa.inter_{name}.attend.0", score, value, s)
        answers[name] = (across, _mix(w, f"cmsa.inter_{name}.attend.1", _text_scores(own.text_key, s),
                                     _heads(own.text_value, s.heads), s))
    answers["text"] = tuple(_text_answer(w, f"cmsa.inter_text.attend.{number}", read.text_query, text, s)
                            for number, read in enumerate((of_audio, of_visual)))
    return tuple(_bottleneck(w, f"cmsa.inter_{name}.bottleneck", stream, answers[name], s)
                 for name, stream in (("audio", audio), ("visual", visual), ("text", text)))


def _intra(w: Weights, name: str, stream: Tensor, text: Tensor, s: DenseSettings) -> Tensor:
    width = stream.shape[-1]
    product = F.linear(stream, torch.cat((w[f"{name}.attend.value.weight"],
                                          _text_query(w, f"{name}.attend", text, s))))
    value, score = product.split((width, product.shape[-1] - width), dim=-1)
    answer = _mix(w, f"{name}.attend", _text_scores(score, s), _heads(value, s.heads), s)
    if s.residual in ("both", "intra"):
        return F.layer_norm(stream + answer, (width,), w[f"{name}.norm.weight"], w[f"{name}.norm.bias"])
    return answer


def _read(
    w: Weights, own: str, other: str, place: int, stream: Tensor, text: Tensor, s: DenseSettings
) -> _Read:
    """One product for all that is read of a stream; `place` is its place among the text's partners."""
    width = stream.shape[-1]
    to_text = f"cmsa.inter_text.attend.{place}"
    together = torch.cat((
        w[f"{own}.attend.0.key.weight"], w[f"{own}.attend.0.value.weight"], w[f"{own}.attend.1.value.weight"],
        _text_query(w, f"{own}.attend.1", text, s), w[f"{other}.attend.0.query.weight"],
        _text_key(w, to_text, text, s)))
    scores = s.heads * len(text)
    return _Read(*F.linear(stream, together).split((width, width, width, scores, width, scores), dim=-1))


def _text_query(w: Weights, name: str, text: Tensor, s: DenseSettings) -> Float[Tensor, "hR d"]:
    """``W_k^T (W_q t)`` by head: a stream times this is its scores under the text's queries."""
    query = F.linear(text, w[f"{name}.query.weight"]) * (text.shape[-1] // s.heads) ** -0.5
    key_weight = w[f"{name}.key.weight"].unflatten(0, (s.heads, -1))
    return (_heads(query, s.heads) @ key_weight).flatten(0, 1)


def _text_key(w: Weights, name: str, text: Tensor, s: DenseSettings) -> Float[Tensor, "hR d"]:
    """``W_q^T (W_k t)`` by head: a stream times this is the scores of its queries to the text."""
    key = F.linear(text, w[f"{name}.key.weight"]) * (text.shape[-1] // s.heads) ** -0.5
    return (_heads(key, s.heads) @ w[f"{name}.query.weight"].unflatten(0, (s.heads, -1))).flatten(0, 1)


def _text_answer(w: Weights, name: str, scores: Float[Tensor, "B T hR"], text: Tensor, s: DenseSettings) -> Tensor:
    """Attention of a stream to the text, whose values are multiplied into ``W_o`` first."""
    value = F.linear(text, w[f"{name}.value.weight"])
    values = (_heads(value, s.heads) @ w[f"{name}.out.weight"].T.unflatten(0, (s.heads, -1))).flatten(0, 1)
    weight = F.dropout(scores.unflatten(-1, (s.heads, -1)).softmax(-1), s.attention)
    return F.dropout(weight.flatten(-2) @ values, s.features)


def _text_scores(scores: Float[Tensor, "B T hR"], s: DenseSettings) -> Float[Tensor, "B h R T"]:
    return scores.unflatten(-1, (s.heads, -1)).permute(0, 2, 3, 1)


def _heads(rows: Float[Tensor, "*B N d"], heads: int) -> Float[Tensor, "*B h N e"]:
    return rows.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _mix(w: Weights, name: str, scores: Tensor, value: Float[Tensor, "B h T e"], s: DenseSettings) -> Tensor:
    mixed = F.dropout(scores.softmax(-1), s.attention) @ value
    return F.dropout(F.linear(mixed.transpose(1, 2).flatten(-2), w[f"{name}.out.weight"]), s.features)


def _bottleneck(w: Weights, name: str, stream: Tensor, answers: tuple, s: DenseSettings) -> Tensor:
    if s.residual in ("both", "inter"):
        answers = tuple(stream + answer for answer in answers)
    rows = F.linear(torch.cat(answers, dim=-1), w[f"{name}.weight"], w[f"{name}.bias"])
    return F.dropout(rows.relu(), s.features)


def _interact(w: Weights, aligned: tuple[Tensor, Tensor, Tensor], s: DenseSettings) -> tuple[Tensor, Tensor]:
    """Eq. 7-8: A* and V*. One batch of all three subgraphs was tried and is no faster on a CPU."""
    audio, visual, text = aligned
    audio_1, visual_1 = _subgraph(w, "av", audio, visual, s)
    visual_2, audio_2 = (_subgraph(w, name, stream, text, s)[0] for name, stream in (("vt", visual), ("at", audio)))
    return audio_1 + audio_2, visual_1 + visual_2


def _subgraph(w: Weights, name: str, first: Tensor, second: Tensor, s: DenseSettings) -> tuple[Tensor, ...]:
    x = torch.cat((first, second), dim=1)
    dim, eq7 = x.shape[-1], f"cmgi.adjacency.{name}.0"
    # x W_q (x W_k)^T = (x W_q W_k^T) x^T: one product a node in place of two, shared with the first layer's.
    pair = w[f"{eq7}.key.weight"].T @ w[f"{eq7}.query.weight"] * dim**-0.5
    for layer in range(s.layers):
        here = f"cmgi.layers.{name}.{layer}"
        matrix = w[f"{here}.conv.conv.lin.weight"]
        if layer == 0:
            query, hidden = F.linear(x, torch.cat((pair, matrix))).chunk(2, dim=-1)
            adjacency = (query @ x.mT).softmax(-1)
        else:
            hidden = F.linear(x, matrix)
        message = (adjacency @ hidden + w[f"{here}.conv.conv.bias"]).relu()
        x = F.layer_norm(x + F.dropout(message, s.graph), (dim,), w[f"{here}.norm.weight"], w[f"{here}.norm.bias"])
    return x.split((first.shape[1], second.shape[1]), dim=1)


def _loss(
    w: Weights, audio: Tensor, visual: Tensor, category: Tensor, relevance: Tensor, s: DenseSettings
) -> Tensor:
    """Eq. 9-16."""

    def linear(name: str, rows: Tensor) -> Tensor:
        return F.linear(rows, w[f"head.{name}.weight"], w[f"head.{name}.bias"])

    gate_audio, gate_visual = linear("audio_gate", audio).sigmoid(), linear("visual_gate", visual).sigmoid()
    fused = visual * gate_audio + audio * gate_visual
    gated = gate_audio * gate_visual * fused
    found = linear("classify.category", F.dropout(fused.amax(1), s.head))
    seconds = linear("classify.relevance", F.dropout(fused, s.head)).squeeze(-1)
    through_gates = linear("gate_category", F.dropout(gated.amax(1), s.head))
    events = (category != NO_EVENT).sum().clamp(min=1)
    classes = sum(F.cross_entropy(logits, category, ignore_index=NO_EVENT, reduction="sum") / events
                  for logits in (found, through_gates))
    gap = F.normalize(visual, dim=-1) - F.normalize(audio, dim=-1)
    distance = (gap.square().sum(-1) + 1e-8).sqrt()
    apart = (relevance * distance + (1 - relevance) * (s.margin - distance).clamp(min=0)).mean()
    when = F.binary_cross_entropy_with_logits(seconds, relevance)
    return classes + s.relevance_weight * when + s.consistency_weight * apart
