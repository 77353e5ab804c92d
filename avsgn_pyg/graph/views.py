"""One batch, two views: PyG's flat node list, and the dense [B, T, d] block the attention works on.

:func:`to_heterodata` goes the other way at the end: an answer's attention becomes the ``edge_weight`` of a graph that
PyG's own tools take.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg.graph.schema import SUBGRAPHS, relations
from avsgn_pyg.graph.topology import complete_edges
from avsgn_pyg.localization import Localization


def dense_view(batch: Batch, node_type: str) -> Float[Tensor, "B T d"]:
    """The features of one node type as a block, one row per video. Shares memory: nothing is copied.

    Raises:
        ValueError: the node type carries no features, or its videos differ in their number of nodes.
    """
    if node_type not in batch.node_types or "x" not in batch[node_type]:
        carriers = [name for name in batch.node_types if "x" in batch[name]]
        raise ValueError(f"node type {node_type!r} carries no features here; those that do: {carriers}")
    x = batch[node_type].x
    lengths = _starts(batch, node_type).diff()
    if bool((lengths != lengths[0]).any()):
        raise ValueError(
            f"a dense view needs the same number of {node_type!r} nodes in every video; "
            f"got between {int(lengths.min())} and {int(lengths.max())}"
        )
    return x.unflatten(0, (len(lengths), int(lengths[0])))


def padded_view(batch: Batch, node_type: str) -> tuple[Float[Tensor, "B T d"], Bool[Tensor, "B T"] | None]:
    """The features of one node type as a block as long as the longest video, and which of its rows are real.

    Where all videos are as long, this is :func:`dense_view` and ``None``; otherwise a copy, shorter videos filled up
    with zeros at their end.

    Raises:
        ValueError: the node type carries no features.
    """
    if node_type not in batch.node_types or "x" not in batch[node_type]:
        return dense_view(batch, node_type), None
    lengths = _starts(batch, node_type).diff()
    if not bool((lengths != lengths[0]).any()):
        return dense_view(batch, node_type), None
    x = batch[node_type].x
    real = (torch.arange(int(lengths.max())) < lengths.cpu()[:, None]).to(x.device)
    block = x.new_zeros(*real.shape, x.shape[1])
    return block.masked_scatter(real[..., None], x), real


def _starts(batch: Batch, node_type: str) -> Int[Tensor, "B1"]:
    """Where each video's nodes start. The slices lie on the CPU: reading `ptr` would wait for the GPU."""
    try:
        return batch._slice_dict[node_type]["x"]
    except (AttributeError, KeyError):
        return batch[node_type].ptr


def to_heterodata(batch: Batch, answer: Localization, layer: int = 0) -> Batch:
    """The batch with the answer's attention on it: ``edge_index`` and ``edge_weight`` of every subgraph's relations.

    Edges are those that exist, (source, target) sorted by target, weights detached; rows that only fill a shorter video
    up have none. ``to_data_list()`` parts the videos. Nodes, features and labels are the batch's own, not copied.

    Args:
        batch: what the model was given, on the answer's device.
        answer: what it answered.
        layer: which adjacency of those the answer has (one, with ``adjacency: shared``).

    Raises:
        ValueError: the answer is of another batch, or has fewer adjacencies.
    """
    graph = copy.copy(batch)
    graph._slice_dict, graph._inc_dict = dict(batch._slice_dict), dict(batch._inc_dict)
    for edge_type in batch.edge_types:
        del graph[edge_type]
        graph._slice_dict.pop(edge_type, None), graph._inc_dict.pop(edge_type, None)
    for subgraph, made in answer.adjacency.items():
        if not -len(made) <= layer < len(made):
            raise ValueError(f"layer={layer}: subgraph {subgraph!r} of the answer has {len(made)} adjacencies")
        _write_relations(graph, subgraph, made[layer].detach())
    return graph


def _write_relations(graph: Batch, subgraph: str, matrix: Tensor) -> None:
    """The four relations of a subgraph, from its [B, N, N]."""
    members = SUBGRAPHS[subgraph]
    starts = {member: graph[member].ptr for member in members}
    counts = {member: start.diff() for member, start in starts.items()}
    first, second = (int(count.max()) for count in counts.values())
    if matrix.shape != (len(counts[members[0]]), first + second, first + second):
        raise ValueError(f"the answer's {subgraph!r} adjacency is {tuple(matrix.shape)}, the batch holds "
                         f"{len(counts[members[0]])} videos of at most {first} and {second} nodes")
    video, target, source, weight = _entries(matrix)
    offset = dict(zip(members, (0, first), strict=True))
    for edge_type in relations(subgraph):
        chosen, ends = torch.ones_like(weight, dtype=torch.bool), []
        for member, node in ((edge_type[0], source), (edge_type[2], target)):
            row = node - offset[member]
            chosen = chosen & (row >= 0) & (row < counts[member][video])
            ends.append(starts[member][video] + row)
        graph[edge_type].edge_index = torch.stack(ends)[:, chosen]
        graph[edge_type].edge_weight = weight[chosen]
        edges = torch.bincount(video[chosen], minlength=len(matrix)).cpu()
        slices = torch.cat((edges.new_zeros(1), edges.cumsum(0)))
        shift = torch.stack([starts[member][:-1] for member in (edge_type[0], edge_type[2])], dim=1)[..., None].cpu()
        graph._slice_dict[edge_type] = {"edge_index": slices, "edge_weight": slices}
        graph._inc_dict[edge_type] = {"edge_index": shift, "edge_weight": torch.zeros(len(matrix), dtype=torch.int64)}


def _entries(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Video, target, source and weight of every edge, sorted in this order."""
    if matrix.is_sparse:
        return *matrix.coalesce().indices(), matrix.coalesce().values()
    videos, nodes, _ = matrix.shape
    source, target = complete_edges(videos, nodes, matrix.device)
    return target // nodes, target % nodes, source % nodes, matrix.flatten()
