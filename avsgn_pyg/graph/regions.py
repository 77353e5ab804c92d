"""Regional features of a batch: several vectors per second, one for each region of the picture.

A batch with regions has ``batch["visual"].regions`` [B T, R, d] in addition to ``x`` [B T, d]; models with attention
over regions use the former, all others the latter. Shapes: B videos, T segments, R regions, d their width.
"""

from __future__ import annotations

from typing import Final

from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.schema import VISUAL

REGIONS: Final = "regions"


def with_regions(batch: Batch, regions: Float[Tensor, "B T R d"]) -> Batch:
    """Write `regions` onto the batch's visual nodes; ``to_data_list()`` parts them too. Returns the batch.

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
