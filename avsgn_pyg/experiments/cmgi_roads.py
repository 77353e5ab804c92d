"""CMGI of Eq. 7-8 as printed, on five roads that compute the same function of the same parameters.

``stacked`` is the yardstick: a dense form by hand, the three subgraphs as one batch, every product a `bmm`.
``folded`` is the same with Eq. 7's two weights multiplied first, as the model does. ``blocks`` and ``native``
are the model's CMGI on its two roads. ``vmap`` runs its convolutions on blocks once for all three subgraphs.
``gather`` is what PyG's documentation would have one write: everything edge by edge. The tests hold values and every
gradient of all of them equal in float64.

Letters: B videos, T segments, N = 2T nodes, D width, E edges of all B graphs, G = 3B graphs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call, vmap
from torch_geometric.utils import softmax

from avsgn_pyg.blocks import CompleteIndex
from avsgn_pyg.graph.topology import complete_edges
from avsgn_pyg.model.cmgi import CMGI
from avsgn_pyg.model.cmsa import Streams
from avsgn_pyg.model.together import OFTEN, pays

Pass = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """One size: B, T, D, and the road that runs it."""

    videos: int
    segments: int
    dim: int = 256
    road: str = "stacked"
    layers: int = 2
    device: str = "cpu"
    seed: int = 0

    def on(self, road: str) -> Case:
        """The same size on another road."""
        return dataclasses.replace(self, road=road)

    def bytes(self) -> float:
        """About what forward and backward hold at their highest, in float32; factors as measured."""
        edges, nodes = self.videos * (2 * self.segments) ** 2, self.videos * 2 * self.segments
        dense = 3 * (4.5 * edges + 17 * nodes * self.dim)
        messages = {"gather": 16, "native": 6}.get(self.road, 0) * edges * self.dim
        return 4 * (dense + messages)


def forward_backward(case: Case, *, settled: bool = True) -> Pass:
    """One pass of the case; calling the answer gives A*, V*, T* and the gradients of streams and parameters.

    Args:
        settled: as in the middle of a run, where sizes that come often are recorded; else nothing has run yet.
    """
    roads = {"stacked": _stacked, "folded": _stacked, "vmap": _vmapped, "blocks": _model, "native": _model,
             "gather": _gathered}
    torch.manual_seed(case.seed)
    model = CMGI(case.dim, conv_options={"bias": False}, layers=case.layers, residual=False, norm="none", dropout=0.0,
                 backend="native" if case.road == "native" else "auto").to(case.device)
    streams = Streams(*(torch.randn(case.videos, case.segments, case.dim, device=case.device, requires_grad=True)
                        for _ in range(3)))
    run, leaves = roads[case.road](model, streams, case)
    for _ in range(settled * (OFTEN if pays(streams.audio) else 1)):
        run()
    upstream = [torch.randn_like(stream) for stream in streams]

    def both() -> tuple[Tensor, ...]:
        answers = run()
        return *answers, *torch.autograd.grad(answers, [*streams, *leaves], upstream)

    return both


def peak_case(case: Case) -> Pass:
    """The pass of `case`, after one of the smallest size: what libraries load on first use is not the work's."""
    torch.set_num_threads(1)
    forward_backward(dataclasses.replace(case, videos=1, segments=2))()
    return forward_backward(case, settled=False)


def _model(model: CMGI, streams: Streams, case: Case) -> tuple[Callable[[], tuple[Tensor, ...]], list[Tensor]]:
    return lambda: model(streams)[:3], _by_kind(model)


def _by_kind(model: CMGI) -> list[Tensor]:
    """Parameters in the order in which the stacked form has them: queries, keys, then layers, each by subgraph."""
    parts = list(model.subgraphs.values())
    layers = zip(*([layer.propagation.conv.lin.weight for layer in part.layers] for part in parts), strict=True)
    return [*(part.adjacency[0].query.weight for part in parts), *(part.adjacency[0].key.weight for part in parts),
            *(weight for layer in layers for weight in layer)]


def _stack(model: CMGI) -> list[Tensor]:
    """[3, D, D] query, key and layer weights as they multiply rows from the right; leaves."""
    kinds = torch.stack([weight.detach().T for weight in _by_kind(model)]).unflatten(0, (-1, len(model.subgraphs)))
    return [kind.contiguous().requires_grad_() for kind in kinds]


def _pairs(streams: Streams) -> Float[Tensor, "3 BN D"]:
    audio, visual, text = streams
    pairs = ((audio, visual), (visual, text), (audio, text))
    return torch.stack([torch.cat(pair, dim=1) for pair in pairs]).flatten(1, 2)


def _sums(hidden: Float[Tensor, "3 B N D"], segments: int) -> tuple[Tensor, Tensor, Tensor]:
    av, vt, at = hidden
    return (av[:, :segments] + at[:, :segments], av[:, segments:] + vt[:, :segments],
            vt[:, segments:] + at[:, segments:])


def _attend(query: Tensor, key: Tensor, rows: Float[Tensor, "3 BN D"], case: Case) -> Float[Tensor, "G N N"]:
    """Eq. 7 of all subgraphs of all videos as one batch."""
    nodes, scale = 2 * case.segments, 1 / math.sqrt(case.dim)
    if case.road == "folded":
        asked, told = torch.bmm(rows, torch.bmm(query * scale, key.mT)), rows
    else:
        asked, told = torch.bmm(rows, query) * scale, torch.bmm(rows, key)
    by_graph = (part.reshape(-1, nodes, case.dim) for part in (asked, told))
    asked, told = by_graph
    return torch.bmm(asked, told.mT).softmax(-1)


def _stacked(model: CMGI, streams: Streams, case: Case) -> tuple[Callable[[], tuple[Tensor, ...]], list[Tensor]]:
    query, key, *layers = leaves = _stack(model)
    nodes = 2 * case.segments

    def run() -> tuple[Tensor, ...]:
        rows = _pairs(streams)
        adjacency = _attend(query, key, rows, case)
        for weight in layers:
            hidden = torch.bmm(rows, weight).view(-1, nodes, case.dim)
            rows = torch.bmm(adjacency, hidden).relu().view_as(rows)
        return _sums(rows.view(3, -1, nodes, case.dim), case.segments)

    return run, leaves


def _vmapped(model: CMGI, streams: Streams, case: Case) -> tuple[Callable[[], tuple[Tensor, ...]], list[Tensor]]:
    query, key, *layers = leaves = _stack(model)
    nodes, index = 2 * case.segments, CompleteIndex(case.videos, 2 * case.segments, device=torch.device(case.device))
    conv = next(iter(model.subgraphs.values())).layers[0].propagation.conv

    def pass_messages(weight: Tensor, rows: Tensor, adjacency: Tensor) -> Tensor:
        return functional_call(conv, {"lin.weight": weight.T}, (rows, index, adjacency))

    def run() -> tuple[Tensor, ...]:
        rows = _pairs(streams)
        adjacency = _attend(query, key, rows, case).view(3, -1)
        for weight in layers:
            rows = vmap(pass_messages)(weight, rows, adjacency).relu()
        return _sums(rows.view(3, -1, nodes, case.dim), case.segments)

    return run, leaves


def _gathered(model: CMGI, streams: Streams, case: Case) -> tuple[Callable[[], tuple[Tensor, ...]], list[Tensor]]:
    """Scores, their softmax and messages edge by edge, by PyG's own parts."""
    nodes, scale = 2 * case.segments, 1 / math.sqrt(case.dim)
    source, target = edges = complete_edges(case.videos, nodes, torch.device(case.device))

    def run() -> tuple[Tensor, ...]:
        made = []
        for part, rows in zip(model.subgraphs.values(), _pairs(streams), strict=True):
            asked, told = part.adjacency[0].query(rows), part.adjacency[0].key(rows)
            score = (asked.index_select(0, target) * told.index_select(0, source)).sum(-1) * scale
            weight = softmax(score, target, num_nodes=len(rows))
            for layer in part.layers:
                rows = layer.propagation.conv(rows, edges, weight).relu()
            made.append(rows.view(-1, nodes, case.dim))
        return _sums(torch.stack(made), case.segments)

    return run, _by_kind(model)
