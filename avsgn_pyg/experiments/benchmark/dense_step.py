"""AVSGN's training step written by hand on plain tensors, Eq. 1-11: an independent reference for the model's step.

It takes a model's parameters by name and computes the same outputs without modules, graphs or the trainer; a test
compares the loss and all gradients in float64.

Shapes: B videos, T segments, R text rows, C classes, d width of the features, D hidden width, h heads, e = d / h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.common.settings import CMGIConfig, CMSAConfig, ModelConfig
from avsgn_pyg.experiments.benchmark.workload import Engine, Workload
from avsgn_pyg.graph.localization import Localization


@dataclass(frozen=True)
class DenseNetwork:
    """The default network in training mode.

    Attributes:
        weights: parameters and buffers by the names that :class:`avsgn_pyg.model.avsgn.AVSGN` gives them.
        config: sizes and dropout rates.

    Raises:
        ConfigError: `config` describes another network.
    """

    weights: Mapping[str, Tensor]
    config: ModelConfig

    def __post_init__(self) -> None:
        cmsa, cmgi, dropout = self.config.cmsa, self.config.cmgi, self.config.dropout
        if self.config != ModelConfig(
                dim=self.config.dim, cmsa=CMSAConfig(heads=cmsa.heads, residual=cmsa.residual),
                cmgi=CMGIConfig(layers=cmgi.layers, backend=cmgi.backend),
                dropout=dropout.model_copy(update={"input": 0.0})):
            raise ConfigError("the hand-written step is of the default network: only model.dim, cmsa.heads, "
                              "cmsa.residual, cmgi.layers, cmgi.backend and dropout (except input) may differ")

    def forward(self, audio: Float[Tensor, "B T d"], visual: Float[Tensor, "B T d"]) -> Localization:
        """Return what the loss needs, by Eq. 1-11 and the logits of Eq. 14."""
        audio, visual = self.interact(*self.align(audio, visual))
        gate_a = self._linear("head.audio_gate", audio).sigmoid()
        gate_v = self._linear("head.visual_gate", visual).sigmoid()
        fused = visual * gate_a + audio * gate_v
        gated = gate_a * gate_v * fused
        return Localization(
            category=self._linear("head.classify.category", self._drop("head", fused.amax(1))),
            relevance=self._linear("head.classify.relevance", self._drop("head", fused)).squeeze(-1),
            gate_category=self._linear("head.gate_category", self._drop("head", gated.amax(1))),
            stages={"cmgi": {"audio": audio, "visual": visual}})

    def align(self, audio: Float[Tensor, "B T d"], visual: Float[Tensor, "B T d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return F_a, F_v and F_t of Eq. 2-6, [B, rows, D] each."""
        bank = torch.cat((self.weights["label_text.visual"], self.weights["label_text.audio"]))
        text = self._linear("label_text.project", bank.T).T
        audio, visual = self._intra("audio", audio, text), self._intra("visual", visual, text)
        return (self._inter("audio", audio, (visual, text)), self._inter("visual", visual, (audio, text)),
                self._inter("text", text, (audio, visual)))

    def interact(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"],
                 text: Float[Tensor, "B R D"]) -> tuple[Tensor, Tensor]:
        """Return A* and V* of Eq. 7-8, [B, T, D] each."""
        audio_av, visual_av = self._subgraph("av", audio, visual)
        audio_at, _ = self._subgraph("at", audio, text)
        visual_vt, _ = self._subgraph("vt", visual, text)
        return audio_av + audio_at, visual_av + visual_vt

    def _intra(self, name: str, stream: Tensor, text: Tensor) -> Tensor:
        answer = self._drop("features", self._attend(f"cmsa.intra_{name}.attend", text, stream))
        if self.config.cmsa.residual in ("inter", "none"):
            return answer
        return self._norm(f"cmsa.intra_{name}.norm", stream + answer)

    def _inter(self, name: str, stream: Tensor, partners: tuple[Tensor, Tensor]) -> Tensor:
        answers = [self._drop("features", self._attend(f"cmsa.inter_{name}.attend.{number}", partner, stream))
                   for number, partner in enumerate(partners)]
        if self.config.cmsa.residual in ("both", "inter"):
            answers = [stream + answer for answer in answers]
        return self._drop("features", self._linear(f"cmsa.inter_{name}.bottleneck", torch.cat(answers, -1)).relu())

    def _attend(self, name: str, query: Float[Tensor, "*#B Q d"], source: Float[Tensor, "*#B K d"]) -> Tensor:
        """Return Eq. 1; text, which has no batch axis, is multiplied into the other side's weights first."""
        by_head = (self.config.cmsa.heads, -1)
        to_query, to_out = self.weights[f"{name}.query.weight"], self.weights[f"{name}.out.weight"]
        to_key, to_value = self.weights[f"{name}.key_value.weight"].chunk(2)

        def project(rows: Tensor, weight: Tensor) -> Float[Tensor, "*B h n e"]:
            return F.linear(rows, weight).unflatten(-1, by_head).transpose(-2, -3)

        if query.dim() < source.dim():
            scores = torch.einsum("hqd,bkd->bhqk", project(query, to_query) @ to_key.unflatten(0, by_head), source)
        elif query.dim() > source.dim():
            scores = torch.einsum("bqd,hkd->bhqk", query, project(source, to_key) @ to_query.unflatten(0, by_head))
        else:
            scores = project(query, to_query) @ project(source, to_key).mT
        weight = self._drop("attention", (scores * (len(to_query) // by_head[0]) ** -0.5).softmax(-1))
        return F.linear((weight @ project(source, to_value)).transpose(-2, -3).flatten(-2), to_out)

    def _subgraph(self, name: str, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nodes of both modalities after Eq. 7, as ``x (W_q W_k^T) x^T``, and every layer of Eq. 8."""
        x, eq7 = torch.cat((first, second), dim=1), f"cmgi.adjacency.{name}.0"
        pair = self.weights[f"{eq7}.query.weight"].T @ self.weights[f"{eq7}.key.weight"] * x.shape[-1] ** -0.5
        adjacency = (x @ pair @ x.mT).softmax(-1)
        for layer in (f"cmgi.layers.{name}.{number}" for number in range(self.config.cmgi.layers)):
            hidden = F.linear(x, self.weights[f"{layer}.conv.conv.lin.weight"])
            message = (adjacency @ hidden + self.weights[f"{layer}.conv.conv.bias"]).relu()
            x = self._norm(f"{layer}.norm", x + self._drop("graph", message))
        return x.split((first.shape[1], second.shape[1]), dim=1)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _drop(self, site: str, x: Tensor) -> Tensor:
        return F.dropout(x, getattr(self.config.dropout, site))


class DenseStep:
    """The step by hand, on the trainer's parameters, videos, objective, clipping and optimizer; a call takes one."""

    def __init__(self, workload: Workload) -> None:
        self.engine = Engine.of(workload.but(videos=workload.batch_size))
        self.model = self.engine.parts.model
        weights = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        self.network = DenseNetwork(weights, self.engine.config.model)

    def loss(self) -> Tensor:
        """Return Eq. 16 of all videos."""
        videos, objective = self.engine.train, self.engine.objective
        outputs = self.network.forward(videos.audio, videos.visual)
        return objective.total(objective(outputs, videos.category, videos.relevance))

    def __call__(self) -> None:
        self.loss().backward()
        if self.engine.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.engine.recipe.clip_norm)
        self.engine.parts.optimizer.step()
        self.engine.parts.optimizer.zero_grad()
