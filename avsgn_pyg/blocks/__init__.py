"""Unmodified PyG convolutions on complete graphs at the speed of dense algebra; needs torch alone (docs/blocks.md)."""

from avsgn_pyg.blocks.count import FallbackError, Paths, count_paths
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.index import CompleteIndex
from avsgn_pyg.blocks.trace import traced

__all__ = ["CompleteIndex", "EdgeTensor", "FallbackError", "Paths", "count_paths", "traced"]
