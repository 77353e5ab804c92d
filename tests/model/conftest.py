"""Section 3 in plain loops, video by video: the expected output of the network for the edges of a video.

Nothing here calls the package: parameters are those of the model and settings those of its config. Of the layers of
Eq. 8 only GraphConv, that of the shipped recipe, is written out; any other is a new layer of the table, run on an
ordinary [2, E] list of edges.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.common.config import load_config
from avsgn_pyg.common.settings import ModelConfig
from avsgn_pyg.engine.zoo import Shape, build_model
from avsgn_pyg.layers.convs import build_conv
from avsgn_pyg.model.avsgn import AVSGN

MEMBERS = {"av": ("audio", "visual"), "vt": ("visual", "text"), "at": ("audio", "text")}
D, CLASSES = 8, 2


@pytest.fixture
def double():
    """The default dtype is float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@dataclass(frozen=True)
class Network:
    """A model in evaluation, and the settings it was built with."""

    model: AVSGN
    config: ModelConfig

    @property
    def text_nodes(self) -> int:
        return self.model.label_text.rows

    def expected(self, video: HeteroData) -> dict[str, Tensor]:
        """The output of Section 3 for one video, by name."""
        return Section3(self.model, self.config).localize(video)


@pytest.fixture(scope="session")
def network() -> Callable[..., Network]:
    """``network("model.cmgi.conv=gat", segments=4)``: a small model; with `segments` its text rows are seconds.

    With `file`, the model of a YAML file at small widths.
    """

    def build(*settings: str, file: Path | None = None, segments: int | None = None,
              classes: int = CLASSES) -> Network:
        slots = [] if file else [f"model.text.slots={'per_class' if segments is None else 'segments'}"]
        config = load_config(file, ["model.dim=8", "model.cmsa.heads=2", *slots, *settings]).model
        bank = SimpleNamespace(audio=torch.randn(classes, D), visual=torch.randn(classes, D))
        model = build_model(config, Shape(D, D, segments or 9, classes), bank).to(torch.get_default_dtype())
        with torch.no_grad():  # layers start with biases of zero, which would hide what happens to them
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        return Network(model.eval(), config)

    return build


@functools.cache
def layer_of_the_table(name: str, width: int, options: tuple) -> nn.Module:
    """A new layer, which is called with parameters of the model."""
    return build_conv(name, width, dict(options)).eval()


def softmax(scores: Tensor) -> Tensor:
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    out = x @ layer.weight.T
    return out if layer.bias is None else out + layer.bias


def layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


@dataclass
class Section3:
    """The equations of one model; T seconds, R text rows, D width."""

    model: AVSGN
    config: ModelConfig

    # --- 3.2 and 3.3 ---

    def adapt(self, steps: nn.Module, x: Tensor) -> Tensor:
        for step in steps:
            if isinstance(step, nn.LayerNorm):
                x = layer_norm(step, x)
            if isinstance(step, nn.Linear):
                x = linear(step, x)
        return x

    def text(self) -> Tensor:
        """Phi_t acts on the label axis; with one row a class there is none."""
        bank = self.model.label_text
        labels = torch.cat((self.adapt(self.model.adapt_visual, bank.visual),
                            self.adapt(self.model.adapt_audio, bank.audio)))
        if self.config.text.slots == "per_class":
            return labels
        return bank.project.weight @ labels + bank.project.bias[:, None]

    def attend(
        self, module: nn.Module, query: Tensor, source: Tensor, heads: int, *, seconds: bool = False
    ) -> Tensor:
        """Eq. 1 with heads. Between `seconds` of two modalities there may be a window, and scores by distance."""
        width = query.shape[-1]
        to_key, to_value = module.key_value.weight[:width], module.key_value.weight[width:]
        apart = torch.arange(len(source)) - torch.arange(len(query))[:, None]
        out = []
        for head in range(heads):
            of_head = slice(head * width // heads, (head + 1) * width // heads)
            q, k, v = query @ module.query.weight[of_head].T, source @ to_key[of_head].T, source @ to_value[of_head].T
            scores = q @ k.T / math.sqrt(width // heads)
            if seconds and self.config.time_encoding == "relative":
                table = self.model.cmsa_time
                scores = scores + table.score[head][apart.clamp(-table.reach, table.reach) + table.reach]
            if seconds and self.config.cmgi.topology == "window":
                scores = scores.masked_fill(apart.abs() > self.config.cmgi.window, -math.inf)
            out.append(softmax(scores) @ v)
        return torch.cat(out, dim=-1) @ module.out.weight.T

    def intra(self, module: nn.Module | None, stream: Tensor, text: Tensor) -> Tensor:
        """Eq. 2 and 3; with one text row a class the seconds are the queries."""
        if module is None:
            return stream
        query, source = (text, stream) if self.config.text.slots == "segments" else (stream, text)
        out = self.attend(module.attend, query, source, self.config.cmsa.heads)
        return layer_norm(module.norm, stream + out) if self.config.cmsa.residual in ("both", "intra") else out

    def inter(self, module: nn.Module, on: bool, stream: Tensor, *partners: Tensor, text: bool) -> Tensor:
        """Eq. 4 to 6; `text` says whether the stream is the label text, whose partners are both seconds."""
        if not on:
            return linear(module.bottleneck, stream).relu()
        halves = []
        for number, (attend, partner) in enumerate(zip(module.attend, partners, strict=True)):
            between_seconds = not text and number == 0
            partner_queries = between_seconds or self.config.text.slots == "segments"
            query, source = (partner, stream) if partner_queries else (stream, partner)
            heads = self.config.cmsa.inter_heads or self.config.cmsa.heads
            attended = self.attend(attend, query, source, heads, seconds=between_seconds)
            halves.append(stream + attended if self.config.cmsa.residual in ("both", "inter") else attended)
        return linear(module.bottleneck, torch.cat(halves, dim=-1)).relu()

    def timed(self, encoding: nn.Module, rows: Tensor) -> Tensor:
        if self.config.time_encoding == "learned":
            return rows + encoding.position[: len(rows)]
        if self.config.time_encoding == "sinusoidal":
            wave = [[(math.sin if column % 2 == 0 else math.cos)(t / 1e4 ** ((column - column % 2) / rows.shape[1]))
                     for column in range(rows.shape[1])] for t in range(len(rows))]
            return rows + encoding.scale * torch.tensor(wave)
        return rows

    def align(self, video: HeteroData) -> dict[str, Tensor]:
        audio = self.timed(self.model.time_audio, self.adapt(self.model.adapt_audio, video["audio"].x))
        visual = self.timed(self.model.time_visual, self.adapt(self.model.adapt_visual, video["visual"].x))
        text, cmsa, on = self.text(), self.model.cmsa, self.config.cmsa
        visual, audio = self.intra(cmsa.intra_visual, visual, text), self.intra(cmsa.intra_audio, audio, text)
        return {"audio": self.inter(cmsa.inter_audio, on.inter_audio, audio, visual, text, text=False),
                "visual": self.inter(cmsa.inter_visual, on.inter_visual, visual, audio, text, text=False),
                "text": self.inter(cmsa.inter_text, on.inter_text, text, audio, visual, text=True)}

    # --- 3.4 ---

    def edges(self, video: HeteroData, subgraph: str) -> list[tuple[int, int]]:
        """Every edge that the video has in one subgraph, as (source, target); the second modality stands below."""
        first, second = MEMBERS[subgraph]
        below = {first: 0, second: video[first].num_nodes}
        return [(j + below[source], i + below[target])
                for source, name, target in video.edge_types if name == subgraph
                for j, i in video[source, name, target].edge_index.T.tolist()]

    def weights(self, x: Tensor, edges: list[tuple[int, int]], subgraph: str, adjacency: nn.Module,
                seconds: int) -> dict[int, Tensor]:
        """Eq. 7, and the strongest edges after it: number of an edge -> its weight."""
        found = {}
        for node in range(len(x)):
            into = [number for number, (_, i) in enumerate(edges) if i == node]
            if not into:
                continue
            query = adjacency.query.weight @ x[node]
            scores = torch.stack([query @ (adjacency.key.weight @ x[edges[number][0]]) / math.sqrt(x.shape[1])
                                  + self.time_score(subgraph, *edges[number], seconds) for number in into])
            weights = dict(zip(into, softmax(scores), strict=True))
            if self.config.cmgi.topk is not None:
                kept = sorted(weights, key=lambda number: -float(weights[number]))[: self.config.cmgi.topk]
                weights = {number: weights[number] / sum(weights[one] for one in kept) for number in kept}
            found.update(weights)
        return found

    def time_score(self, subgraph: str, source: int, target: int, seconds: int) -> Tensor | float:
        """The score of an edge by its distance in time, or of its relation where text takes part."""
        if self.config.time_encoding != "relative":
            return 0.0
        into, of = int(target >= seconds), int(source >= seconds)
        table = self.model.cmgi.time[subgraph].relations[f"{into}{of}"]
        if "text" in (MEMBERS[subgraph][into], MEMBERS[subgraph][of]):
            return table.score[0, 0]
        apart = (source - of * seconds) - (target - into * seconds)
        return table.score[0, max(-table.reach, min(table.reach, apart)) + table.reach]

    def message(self, layer: nn.Module, subgraph: str, x: Tensor, edges: list[tuple[int, int]],
                weights: dict[int, Tensor], seconds: int) -> Tensor:
        """Eq. 8: one layer for all edges, or one for each relation and its targets."""
        if self.config.cmgi.relations == "shared":
            return self.convolve(layer, x, [edges[number] for number in weights], list(weights.values()))
        into = []
        for t in (0, 1):
            parts = []
            for s in (0, 1):
                of = [number for number in weights
                      if (edges[number][0] >= seconds) == s and (edges[number][1] >= seconds) == t]
                parts.append(self.convolve(layer.convs[f"{t}{s}"], x, [edges[number] for number in of],
                                           [weights[number] for number in of]))
            into.append(sum(parts)[seconds:] if t else sum(parts)[:seconds])
        return torch.cat(into)

    def convolve(self, layer: nn.Module, x: Tensor, edges: list[tuple[int, int]], weights: list[Tensor]) -> Tensor:
        if layer.name == "graph":  # that of the shipped recipe: W_r x_i + W_n sum_j A_ij x_j + b
            rows = [torch.zeros_like(row) for row in x]
            for (source, target), edge_weight in zip(edges, weights, strict=True):
                rows[target] = rows[target] + edge_weight * x[source]
            return linear(layer.conv.lin_rel, torch.stack(rows)) + linear(layer.conv.lin_root, x)
        index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T
        weight = torch.stack(weights) if weights else x.new_zeros(0)
        given = {layer.attention: weight if layer.attention == "edge_weight" else weight[:, None]}
        own = {**dict(layer.conv.named_parameters()), **dict(layer.conv.named_buffers())}
        options = self.config.cmgi.conv_options if isinstance(self.config.cmgi.conv, str) else {}
        stock = layer_of_the_table(layer.name, x.shape[1], tuple(options.items()))
        return torch.func.functional_call(stock, own, (x, index), given)

    def interact(self, video: HeteroData, aligned: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        cmgi, settings, parts, matrices = self.model.cmgi, self.config.cmgi, {name: [] for name in aligned}, {}
        for subgraph in settings.subgraphs:
            first, second = MEMBERS[subgraph]
            x, seconds = torch.cat((aligned[first], aligned[second])), len(aligned[first])
            edges, weights = self.edges(video, subgraph), {}
            for number, layer in enumerate(cmgi.layers[subgraph]):
                if number == 0 or settings.adjacency == "per_layer":
                    weights = self.weights(x, edges, subgraph, cmgi.adjacency[subgraph][number], seconds)
                    matrix = torch.zeros(len(x), len(x))
                    for edge, weight in weights.items():
                        matrix[edges[edge][1], edges[edge][0]] += weight
                    matrices[f"{subgraph}{number}"] = matrix
                message = self.message(layer.conv, subgraph, x, edges, weights, seconds).relu()
                x = x + message if settings.residual else message
                x = layer_norm(layer.norm, x) if settings.norm == "layer" else x
            parts[first].append(x[:seconds])
            parts[second].append(x[seconds:])
        return {name: sum(given) if given else aligned[name] for name, given in parts.items()}, matrices

    # --- 3.5 ---

    def localize(self, video: HeteroData) -> dict[str, Tensor]:
        streams, matrices = self.interact(video, self.align(video))
        head, audio, visual = self.model.head, streams["audio"], streams["visual"]
        g_a, g_v = (1 / (1 + (-linear(gate, rows)).exp())
                    for gate, rows in ((head.audio_gate, audio), (head.visual_gate, visual)))
        fused = visual * g_a + audio * g_v
        found = {"gate_category": linear(head.gate_category, (g_a * g_v * fused).max(0).values)}
        if self.config.head.segment_scores:
            scores = linear(head.classify.scores, fused)
            found["segment_scores"], found["category"] = scores, scores[:, :-1].max(0).values
            found["relevance"] = scores[:, :-1].exp().sum(-1).log() - scores[:, -1]
        else:
            found["category"] = linear(head.classify.category, fused.max(0).values)
            found["relevance"] = linear(head.classify.relevance, fused)[:, 0]
        return {**found, "gate audio": g_a, "gate visual": g_v, **streams, **matrices}
