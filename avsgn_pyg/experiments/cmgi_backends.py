"""CMGI of Eq. 7-8 as printed: by hand as stacked matrices, and the model's on either backend.

``stacked`` is what the backends are compared with: a dense form by hand, the three subgraphs as one batch, every
product a `bmm`. The tests hold values and every gradient of all three equal in float64.

Letters: B videos, T segments, N = 2T nodes, D width, G = 3B graphs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.edges import subgraph_edges
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.layers.convolution import Convolution
from avsgn_pyg.model.cmgi import CMGI

FORMS = ("stacked", "blocks", "native")


@dataclass(frozen=True)
class Case:
    """One size, B, T and D, and the form that runs it."""

    videos: int
    segments: int
    dim: int = 256
    form: str = "stacked"
    layers: int = 2
    device: str = "cpu"
    seed: int = 0

    def on(self, form: str) -> Case:
        """The same size in another form."""
        return dataclasses.replace(self, form=form)

    @property
    def edges(self) -> int:
        """Edges of one subgraph in the whole batch."""
        return self.videos * (2 * self.segments) ** 2


def forward_backward(case: Case) -> Callable[[], tuple[Tensor, ...]]:
    """One pass of the case; calling the answer gives A*, V*, T* and the gradients of streams and parameters."""
    torch.manual_seed(case.seed)

    def conv(_: str) -> Convolution:
        return Convolution(case.dim, "gcn", {"bias": False}, backend="auto" if case.form == "stacked" else case.form)

    model = CMGI(case.dim, conv, layers=case.layers, residual=False, norm="none", dropout=0.0,
                 as_list=case.form == "native").to(case.device)
    streams = [torch.randn(case.videos * case.segments, case.dim, device=case.device, requires_grad=True)
               for _ in (AUDIO, VISUAL, TEXT)]
    run, leaves = (_stacked if case.form == "stacked" else _model)(model, streams, case)
    upstream = [torch.randn_like(stream) for stream in streams]

    def both() -> tuple[Tensor, ...]:
        answers = run()
        return *answers, *torch.autograd.grad(answers, [*streams, *leaves], upstream)

    return both


Form = tuple[Callable[[], tuple[Tensor, ...]], list[Tensor]]


def _model(model: CMGI, streams: list[Tensor], case: Case) -> Form:
    empty = torch.zeros(case.videos, case.segments, 1, device=case.device)
    batch: Batch = build_batch(empty, empty, text_nodes=case.segments)

    def run() -> tuple[Tensor, ...]:
        edges = {name: subgraph_edges(batch, name, as_list=model.as_list) for name in SUBGRAPHS}
        nodes = model(dict(zip((AUDIO, VISUAL, TEXT), streams, strict=True)), edges).nodes
        return nodes[AUDIO], nodes[VISUAL], nodes[TEXT]

    return run, _by_kind(model)


def _by_kind(model: CMGI) -> list[Tensor]:
    """Parameters in the order of the stacked form: queries, keys, then layers, each by subgraph."""
    eq7 = [parts[0] for parts in model.adjacency.values()]
    layers = zip(*([layer.conv.conv.lin.weight for layer in part] for part in model.layers.values()), strict=True)
    return [*(part.query.weight for part in eq7), *(part.key.weight for part in eq7),
            *(weight for layer in layers for weight in layer)]


def _stacked(model: CMGI, streams: list[Tensor], case: Case) -> Form:
    weights = torch.stack([weight.detach().T for weight in _by_kind(model)]).unflatten(0, (-1, len(SUBGRAPHS)))
    query, key, *layers = leaves = [kind.contiguous().requires_grad_() for kind in weights]  # [3, D, D] each
    by_video = (case.videos, case.segments, case.dim)
    nodes, scale = 2 * case.segments, case.dim**-0.5

    def run() -> tuple[Tensor, ...]:
        audio, visual, text = (stream.view(by_video) for stream in streams)
        pairs = ((audio, visual), (visual, text), (audio, text))
        rows = torch.stack([torch.cat(pair, dim=1) for pair in pairs]).flatten(1, 2)  # [3, B N, D]
        by_graph = [torch.bmm(rows, weight).reshape(-1, nodes, case.dim) for weight in (query * scale, key)]
        adjacency = torch.bmm(by_graph[0], by_graph[1].mT).softmax(-1)  # [G, N, N]
        for weight in layers:
            hidden = torch.bmm(rows, weight).view(-1, nodes, case.dim)
            rows = torch.bmm(adjacency, hidden).relu().view_as(rows)
        (a_av, v_av), (v_vt, t_vt), (a_at, t_at) = (
            part.split(case.segments, dim=1) for part in rows.view(3, -1, nodes, case.dim))
        return tuple(stream.flatten(0, 1) for stream in (a_av + a_at, v_av + v_vt, t_vt + t_at))

    return run, leaves
