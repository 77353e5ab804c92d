"""Run unmodified PyG convolutions on complete graphs as dense algebra; needs torch alone (docs/blocks.md)."""

from avsgn_pyg.blocks import elementwise, features, gathering  # noqa: F401 (each file registers its rules)
from avsgn_pyg.blocks.count import FallbackError, Paths, count_layer, count_paths
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.index import CompleteIndex

__all__ = ["CompleteIndex", "EdgeTensor", "FallbackError", "Paths", "count_layer", "count_paths"]
