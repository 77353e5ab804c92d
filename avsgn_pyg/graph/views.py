"""One batch, two views: PyG's flat node list, and the dense [B, T, d] block the attention works on."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch


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


def _starts(batch: Batch, node_type: str) -> Int[Tensor, "B1"]:
    """Where each video's nodes start. The slices lie on the CPU: reading `ptr` would wait for the GPU."""
    try:
        return batch._slice_dict[node_type]["x"]
    except (AttributeError, KeyError):
        return batch[node_type].ptr
