"""A prediction as input of PyG's ``Explainer``: which edges and features is it based on?

    explained = Explained(model.eval(), batch)
    explainer = Explainer(explained, GNNExplainer(epochs=100), explanation_type="model", edge_mask_type="object",
                          node_mask_type="attributes", model_config=explained.config)
    explanation = explainer(*explained.inputs())
    explanation["audio", "av", "visual"].edge_mask  # one value per edge, in (0, 1)

An edge's mask scales the attention of Eq. 7 on it, in every layer of its subgraph, so it means the same for every
convolution of the table and on both backends. Two edges between the same nodes share the mask of one of them.

Shapes: B videos, N nodes of a subgraph, E edges of one relation, C classes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.explain import ModelConfig
from torch_geometric.nn import MessagePassing

from avsgn_pyg.graph.edges import Complete, EdgeList
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, VISUAL, relations
from avsgn_pyg.graph.views import to_heterodata
from avsgn_pyg.model.avsgn import AVSGN


class EdgeGate(MessagePassing):
    """Returns its messages, one value per edge: 1, or the value of an explainer's mask."""

    def forward(self, edge_index: Tensor, size: tuple[int, int]) -> Tensor:
        ones = torch.ones(edge_index.shape[1], 1, device=edge_index.device)
        # propagate_type: (weight: Tensor)
        return self.propagate(edge_index, weight=ones, size=size).squeeze(1)

    def message(self, weight: Tensor) -> Tensor:
        return weight

    def aggregate(self, inputs: Tensor) -> Tensor:
        return inputs


class Explained(nn.Module):
    """The output of a model for one batch as a function of node features and edges.

    Args:
        model: in evaluation mode; not modified.
        batch: a few videos (masks of edges are held as [B, N, N]).
        read: returns the values to explain; by default the class logits [B, C].

    Attributes:
        config: PyG's description of these values, for class logits.
    """

    config = ModelConfig(mode="multiclass_classification", task_level="graph", return_type="raw")

    def __init__(self, model: AVSGN, batch: Batch,
                 read: Callable[[Localization], Tensor] = lambda output: output.category) -> None:
        super().__init__()
        self.model, self.batch, self.read = model, batch, read
        with torch.no_grad():
            self.graph = to_heterodata(batch, model(batch))
        for edge_type in self.graph.edge_types:  # PyG's explainers need an edge in every relation
            if not self.graph[edge_type].edge_index.numel():
                del self.graph[edge_type]
        # PyG finds the module that a mask is of by the name of its edge type.
        self.gates = nn.ModuleDict({"__".join(edge_type): EdgeGate() for edge_type in self.graph.edge_types})

    def inputs(self) -> tuple[dict[str, Tensor], dict[tuple[str, str, str], Tensor]]:
        """Return features by node type and edges by relation, the arguments of ``Explainer``."""
        return {name: self.batch[name].x for name in (AUDIO, VISUAL)}, self.graph.edge_index_dict

    def forward(self, x: Mapping[str, Tensor], edge_index: Mapping[tuple[str, str, str], Tensor]) -> Tensor:
        batch = copy.copy(self.batch)
        for name, features in x.items():
            batch[name].x = features
        with self._gated({name: self._matrix(name, edge_index) for name in self.model.cmgi.layers}):
            return self.read(self.model(batch))

    def _matrix(self, subgraph: str, edge_index: Mapping[tuple[str, str, str], Tensor]) -> Tensor:
        """The gates of a subgraph's edges as [B, N, N], zero without an edge."""
        first, second = SUBGRAPHS[subgraph]
        ptr = {name: self.graph[name].ptr for name in (first, second)}
        offset = {first: 0, second: int(ptr[first].diff().max())}
        nodes = offset[second] + int(ptr[second].diff().max())
        matrix = torch.zeros(len(ptr[first]) - 1, nodes, nodes, device=ptr[first].device)
        for edge_type in set(relations(subgraph)) & set(self.graph.edge_types):
            source, _, target = edge_type
            gate = self.gates["__".join(edge_type)](edge_index[edge_type],
                                                    (self.graph[source].num_nodes, self.graph[target].num_nodes))
            video = self.graph[target].batch[edge_index[edge_type][1]]
            j, i = (end - ptr[name][video] + offset[name]
                    for end, name in zip(edge_index[edge_type], (source, target), strict=True))
            matrix = matrix.index_put((video, i, j), gate)
        return matrix

    @contextlib.contextmanager
    def _gated(self, matrices: Mapping[str, Tensor]) -> Iterator[None]:
        """Multiply the attention of every layer by the gates."""
        hooks = [layer.register_forward_pre_hook(_gating(matrices[name]))
                 for name, layers in self.model.cmgi.layers.items() for layer in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _gating(gate: Tensor) -> Callable[[nn.Module, tuple], tuple]:
    def scale(_: nn.Module, given: tuple[Tensor, EdgeList | Complete, Tensor]) -> tuple:
        x, edges, weight = given
        return x, edges, weight * (gate if isinstance(edges, Complete) else gate[tuple(edges.place)])

    return scale
