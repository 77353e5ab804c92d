"""One batch, two views: PyG's flat list of nodes, and dense [B, T, d] blocks for attention and the head.

:func:`to_heterodata` writes a model's attention onto the graph as ``edge_weight``, for PyG's own tools. A batch with
regions of its pictures has ``batch["visual"].regions`` [B T, R, d] in addition to ``x`` [B T, d]; models with attention
over regions use the former, all others the latter.

Shapes: B videos, T nodes of one type (of the longest video), M nodes of it in the whole batch, R regions, d width.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import SUBGRAPHS, TEXT, VISUAL, relations

REGIONS: Final = "regions"


def as_batch(data: HeteroData) -> Batch:
    """The batch itself, or a single video as a batch of one."""
    return data if isinstance(data, Batch) else Batch.from_data_list([data])


def length_mask(lengths: Int[Tensor, "B"], longest: int) -> Bool[Tensor, "B T"]:
    """True in the first `lengths` of `longest` segments, on the lengths' device."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def node_counts(batch: Batch, node_type: str) -> list[int]:
    """Nodes of one type in each video."""
    store = batch[node_type]
    # PyG keeps slices and numbers on the CPU; reading `ptr` would wait for the GPU.
    counts = getattr(store, "_num_nodes", None) or []
    with contextlib.suppress(AttributeError, KeyError):
        slices = batch._slice_dict[node_type]["x"].tolist()
        counts = [end - start for start, end in itertools.pairwise(slices)]
    if len(counts) != batch.num_graphs or sum(counts) != store.num_nodes:
        counts = torch.bincount(store.batch, minlength=batch.num_graphs).tolist()
    return counts


def dense_view(batch: Batch, node_type: str) -> Float[Tensor, "B T d"]:
    """The features of one node type as a block, one row of it per video. Shares memory: nothing is copied.

    Raises:
        ValueError: the node type carries no features, or its videos differ in their number of nodes.
    """
    block, mask = padded_view(batch, node_type)
    if mask is not None:
        counts = node_counts(batch, node_type)
        raise ValueError(f"a dense view needs the same number of {node_type!r} nodes in every video; "
                         f"got between {min(counts)} and {max(counts)}")
    return block


def padded_view(batch: Batch, node_type: str) -> tuple[Float[Tensor, "B T d"], Bool[Tensor, "B T"] | None]:
    """The features of one node type as a block as long as the longest video, and its padding mask.

    If all videos are equally long, the block shares memory with the batch and the mask is ``None``; otherwise it is
    a copy, zero where `mask` is False.

    Raises:
        ValueError: the node type carries no features.
    """
    if node_type not in batch.node_types or "x" not in batch[node_type]:
        carriers = [name for name in batch.node_types if "x" in batch[name]]
        raise ValueError(f"node type {node_type!r} carries no features here; those that do: {carriers}")
    return pad(batch[node_type].x, node_counts(batch, node_type))


def pad(x: Float[Tensor, "M d"], counts: Sequence[int]) -> tuple[Float[Tensor, "B T d"], Bool[Tensor, "B T"] | None]:
    """Flat nodes as a block, and its padding mask; :func:`flatten` is the inverse."""
    longest = max(counts)
    if min(counts) == longest:
        return x.unflatten(0, (len(counts), longest)), None
    mask = length_mask(torch.tensor(counts), longest).to(x.device)
    return x.new_zeros(*mask.shape, x.shape[1]).masked_scatter(mask[..., None], x), mask


def flatten(block: Float[Tensor, "B T d"], mask: Bool[Tensor, "B T"] | None) -> Float[Tensor, "M d"]:
    """A block as flat nodes, without its padding."""
    return block.flatten(0, 1) if mask is None else block[mask]


def with_regions(batch: Batch, regions: Float[Tensor, "B T R d"]) -> Batch:
    """Write `regions` onto the batch's visual nodes; ``to_data_list()`` splits them, too. Return the batch.

    Raises:
        ValueError: the batch has another number of videos or seconds.
    """
    nodes = batch[VISUAL]
    if regions.shape[:2].numel() != len(nodes.x):
        raise ValueError(f"got regions of {regions.shape[0]} videos of {regions.shape[1]} s, but the batch has "
                         f"{len(nodes.x)} visual nodes")
    nodes[REGIONS] = regions.flatten(0, 1)
    for bookkeeping in (batch._slice_dict, batch._inc_dict):
        bookkeeping[VISUAL] = {**bookkeeping[VISUAL], REGIONS: bookkeeping[VISUAL]["x"]}
    return batch


def has_regions(batch: HeteroData) -> bool:
    """Whether the batch has more than one visual vector per second."""
    return REGIONS in batch[VISUAL]


def region_rows(batch: HeteroData) -> Float[Tensor, "N R d"]:
    """The regions of every visual node; its single vector if it has no regions."""
    return batch[VISUAL][REGIONS] if has_regions(batch) else batch[VISUAL].x[:, None]


def set_edges(batch: Batch, edge_type: tuple[str, str, str], edge_index: Int[Tensor, "2 E"], **values: Tensor) -> None:
    """Replace one relation's edges in a batch, with the bookkeeping by which ``to_data_list()`` separates the videos.

    Args:
        edge_type: source node type, subgraph, target node type.
        edge_index: sources and targets, nodes numbered across the whole batch.
        values: further tensors with a row per edge, such as ``edge_weight``.
    """
    source, _, target = edge_type
    video = batch[target].batch[edge_index[1]]
    order = video.argsort(stable=True)
    counts = torch.bincount(video, minlength=batch.num_graphs).cpu()
    slices = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    shift = torch.stack((batch[source].ptr[:-1], batch[target].ptr[:-1]), dim=1)[..., None].cpu()
    batch[edge_type].edge_index = edge_index[:, order]
    for name, value in values.items():
        batch[edge_type][name] = value[order]
    batch._slice_dict[edge_type] = dict.fromkeys(("edge_index", *values), slices)
    batch._inc_dict[edge_type] = {"edge_index": shift, **dict.fromkeys(values, torch.zeros_like(counts))}


def to_heterodata(batch: Batch, output: Localization | DenseOutput, layer: int = 0) -> Batch:
    """Return the batch with the attention of `output`: ``edge_index`` and ``edge_weight`` of every relation.

    Edges are those that carried a message, (source, target) sorted by target, weights detached. The ``x`` of text nodes
    is the label text as it enters CMSA [R, d] (Section 3.2). ``to_data_list()`` separates the videos. Other nodes,
    features and labels are the batch's own, not copied.

    Args:
        batch: the input of the model, on the device of `output`.
        output: the output of the model.
        layer: the index of an adjacency (there is one with ``adjacency: shared``).

    Raises:
        ValueError: `output` belongs to another batch, or has fewer adjacencies.
    """
    graph = copy.copy(batch)
    graph._slice_dict, graph._inc_dict = dict(batch._slice_dict), dict(batch._inc_dict)
    for edge_type in batch.edge_types:
        del graph[edge_type]
        graph._slice_dict.pop(edge_type, None), graph._inc_dict.pop(edge_type, None)
    text = output.stages.get("encoder", {}).get(TEXT)
    if text is not None:
        graph[TEXT].x = text.detach().flatten(0, 1)
        starts = batch[TEXT].ptr.cpu()
        graph._slice_dict[TEXT] = {**graph._slice_dict.get(TEXT, {}), "x": starts}
        graph._inc_dict[TEXT] = {**graph._inc_dict.get(TEXT, {}), "x": torch.zeros_like(starts[1:])}
    for subgraph, made in output.adjacency.items():
        if not -len(made) <= layer < len(made):
            raise ValueError(f"layer={layer}: subgraph {subgraph!r} of the output has {len(made)} adjacencies")
        _write_relations(graph, subgraph, made[layer].detach())
    return graph


def _write_relations(graph: Batch, subgraph: str, matrix: Tensor) -> None:
    """The four relations of a subgraph, from its [B, N, N]."""
    members = SUBGRAPHS[subgraph]
    starts = {member: graph[member].ptr for member in members}
    counts = {member: start.diff() for member, start in starts.items()}
    first, second = (int(count.max()) for count in counts.values())
    if matrix.shape != (len(counts[members[0]]), first + second, first + second):
        raise ValueError(f"the {subgraph!r} adjacency of the output is {tuple(matrix.shape)}, the batch has "
                         f"{len(counts[members[0]])} videos of at most {first} and {second} nodes")
    video, target, source, weight = _entries(matrix)
    begin = dict(zip(members, (0, first), strict=True))
    for edge_type in relations(subgraph):
        chosen, ends = torch.ones_like(weight, dtype=torch.bool), []
        for member, node in ((edge_type[0], source), (edge_type[2], target)):
            row = node - begin[member]
            chosen = chosen & (row >= 0) & (row < counts[member][video])
            ends.append(starts[member][video] + row)
        set_edges(graph, edge_type, torch.stack(ends)[:, chosen], edge_weight=weight[chosen])


def _entries(matrix: Float[Tensor, "B N N"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Video, target, source and weight of every edge, sorted in this order."""
    if not matrix.is_sparse:
        video, target, source = torch.cartesian_prod(*(torch.arange(n, device=matrix.device) for n in matrix.shape)).T
        return video, target, source, matrix.flatten()
    place, weight = matrix._indices(), matrix._values()  # not coalesced: two edges between the same nodes stay two
    order = ((place[0] * matrix.shape[1] + place[1]) * matrix.shape[1] + place[2]).argsort(stable=True)
    return *place[:, order], weight[order]
