"""Which seconds, labels and edges is a prediction based on? PyG's explainers on AVSGN.

    explanation = explain(model, video, baseline=train.videos.mean, node_mask_type="object")
    explanation["audio"].node_mask  # one value per second
    explanation["audio", "av", "visual"].edge_mask  # one value per edge

An edge's mask scales the attention of Eq. 7 on it, in every layer of its subgraph, so it means the same for every
convolution of the table and on both backends. Two edges between the same nodes share the mask of one of them. A node's
mask m replaces its features x by ``z + m (x - z)`` with a baseline z; x is what the encoder gave, and of a text node
the label text as it enters CMSA. ``docs/explain.md`` shows how to read the masks.

Shapes: N nodes of a subgraph, E edges of one relation, C classes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.explain import Explainer, ExplainerAlgorithm, GNNExplainer, HeteroExplanation, ModelConfig
from torch_geometric.explain.algorithm import CaptumExplainer
from torch_geometric.nn import MessagePassing

from avsgn_pyg.graph.edges import Complete, EdgeList
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL, relations
from avsgn_pyg.graph.views import as_batch, to_heterodata
from avsgn_pyg.model.avsgn import AVSGN

#: For ``GNNExplainer``. PyG's entropy terms push masks to 0 or 1 by their random start wherever the loss is
#: indifferent, which is almost everywhere in a complete graph; without them, masks fall unless the class needs them.
COEFFICIENTS: Final = {"epochs": 100, "lr": 0.1, "edge_ent": 0.0, "node_feat_ent": 0.0, "edge_size": 5e-4,
                       "node_feat_size": 0.1}


def explain(model: nn.Module, data: HeteroData, algorithm: ExplainerAlgorithm | None = None, *,
            second: int | None = None, target: int | None = None, baseline: Mapping[str, Tensor] | None = None,
            **settings: Any) -> HeteroExplanation:
    """Explain the class of a video, or the relevance of one of its seconds, by masks on nodes and edges.

    Args:
        model: an AVSGN. It runs in evaluation mode; neither its parameters nor their gradients change.
        data: one video.
        algorithm: of ``torch_geometric.explain``: ``GNNExplainer`` (default, with :data:`COEFFICIENTS`) or
            ``CaptumExplainer`` (needs captum). Both draw from the global random state.
        second: explain the relevance (Eq. 11) of this second, a probability; ``None``: the class (Eq. 10), its logit.
        target: explain this class, or background (0) or event (1) in the second; ``None``: what the model predicts,
            in a second an event above 0.5, whatever tau is. Masks for background say what speaks against relevance.
        baseline: z of ``audio`` and ``visual``, such as the mean of the training features; zero by default. Zero says
            nothing about models with layer norms, as every shipped recipe has, which undo a scale.
        settings: of PyG's ``Explainer``: ``node_mask_type`` (default ``attributes``, a value per feature),
            ``edge_mask_type`` (``object``), ``threshold_config``.

    Returns:
        The graph with ``x``, ``node_mask`` and, per relation, ``edge_index``, ``edge_mask`` and ``edge_weight`` (the
        first adjacency of Eq. 7), ``prediction`` and ``target``.

    Raises:
        ValueError: several videos, a second after the end, another target, or a model without a graph.
    """
    if not isinstance(model, AVSGN) or not model.cmgi.layers:
        raise ValueError(f"explain needs an AVSGN with a subgraph, got {type(model).__name__} without")
    batch = as_batch(data)
    read, mode, returns = _classes, "multiclass_classification", "raw"
    if second is not None:
        if not 0 <= second < batch[AUDIO].num_nodes:
            raise ValueError(f"second={second}: the video has seconds 0 to {batch[AUDIO].num_nodes - 1}")
        if target not in (None, 0, 1):
            raise ValueError(f"target={target}: in a second it is 0 (background) or 1 (event)")
        read, mode, returns = lambda output: output.relevance[:, second].sigmoid(), "binary_classification", "probs"
    with _frozen(model):
        explained = Explained(model, batch, read, baseline)
        for gate in explained.gates.values():
            gate.takes_logits = not isinstance(algorithm, CaptumExplainer)
        explainer = Explainer(explained, algorithm or GNNExplainer(**COEFFICIENTS),
                              explanation_type="model" if target is None else "phenomenon",
                              model_config=ModelConfig(mode=mode, task_level="graph", return_type=returns),
                              **{"node_mask_type": "attributes", "edge_mask_type": "object", **settings})
        goal = None if target is None else torch.tensor([target], device=batch[AUDIO].x.device)
        x, edges = explained.inputs()
        x = {name: features.detach().requires_grad_() for name, features in x.items()}  # else captum warns
        explanation = explainer(x, edges, target=goal)
        explanation.prediction = explainer.get_prediction(x, edges)
    explanation.set_value_dict("x", explained.graph.x_dict)
    explanation.set_value_dict("edge_weight", explained.graph.edge_weight_dict)
    return explanation.apply(torch.detach)


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and no gradients of parameters, to which an explainer's own backward would add."""
    training, trained = model.training, [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for parameter in trained:
            parameter.requires_grad_(True)


def _classes(output: Localization) -> Tensor:
    return output.category


class EdgeGate(MessagePassing):
    """Returns its messages, one value per edge: 1, or the value of an explainer's mask."""

    #: PyG's Captum wrapper sets masks that are no logits, and asks for their sigmoid all the same.
    takes_logits = True

    def forward(self, edge_index: Tensor, size: tuple[int, int]) -> Tensor:
        ones = torch.ones(edge_index.shape[1], 1, device=edge_index.device)
        # propagate_type: (weight: Tensor)
        return self.propagate(edge_index, weight=ones, size=size).squeeze(1)

    def message(self, weight: Tensor) -> Tensor:
        return weight

    def explain_message(self, inputs: Tensor, dim_size: int | None) -> Tensor:
        self._apply_sigmoid &= self.takes_logits
        return super().explain_message(inputs, dim_size)

    def aggregate(self, inputs: Tensor) -> Tensor:
        return inputs


class Explained(nn.Module):
    """The output of a model for one video as a function of node features and edges, as PyG's ``Explainer`` needs it.

    Args:
        model: in evaluation mode; not modified.
        data: one video (masks of edges are held as [1, N, N]).
        read: returns the values to explain; by default the class logits [1, C].
        baseline: node type -> features [d] that stand for nothing; zero by default.
    """

    def __init__(self, model: AVSGN, data: HeteroData, read: Callable[[Localization], Tensor] = _classes,
                 baseline: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.batch = as_batch(data)
        if self.batch.num_graphs != 1:
            raise ValueError(f"this batch has {self.batch.num_graphs} videos; give one: batch.get_example(0)")
        self.model, self.read = model, read
        self.train(model.training)
        with torch.no_grad():
            self.graph = to_heterodata(self.batch, model(self.batch))
        for edge_type in self.graph.edge_types:  # PyG's explainers need an edge in every relation
            if not self.graph[edge_type].edge_index.numel():
                del self.graph[edge_type]
        self.baseline = {name: torch.zeros_like(x[0]) for name, x in self.graph.x_dict.items()} | dict(baseline or {})
        # PyG finds the module that a mask is of by the name of its edge type.
        self.gates = nn.ModuleDict({"__".join(edge_type): EdgeGate() for edge_type in self.graph.edge_types})

    def inputs(self) -> tuple[dict[str, Tensor], dict[tuple[str, str, str], Tensor]]:
        """Return features, less the baseline, by node type and edges by relation: the arguments of ``Explainer``."""
        return {name: x - self.baseline[name] for name, x in self.graph.x_dict.items()}, self.graph.edge_index_dict

    def forward(self, x: Mapping[str, Tensor], edge_index: Mapping[tuple[str, str, str], Tensor]) -> Tensor:
        batch, x = copy.copy(self.batch), {name: self.baseline[name] + given for name, given in x.items()}
        for name in (AUDIO, VISUAL):
            batch[name].x = x[name]
        with contextlib.ExitStack() as hooks:
            hooks.enter_context(self.model.label_text.register_forward_hook(lambda *_: x[TEXT]))
            for name, layers in self.model.cmgi.layers.items():
                gating = _gating(self._matrix(name, edge_index))
                for layer in layers:
                    hooks.enter_context(layer.register_forward_pre_hook(gating))
            return self.read(self.model(batch))

    def _matrix(self, subgraph: str, edge_index: Mapping[tuple[str, str, str], Tensor]) -> Tensor:
        """The gates of a subgraph's edges as [1, N, N], zero without an edge."""
        first, second = SUBGRAPHS[subgraph]
        offset = {first: 0, second: self.graph[first].num_nodes}
        nodes = offset[second] + self.graph[second].num_nodes
        matrix = torch.zeros(nodes, nodes, device=self.graph[first].x.device)
        for edge_type in set(relations(subgraph)) & set(self.graph.edge_types):
            source, _, target = edge_type
            j, i = edge_index[edge_type]
            size = (self.graph[source].num_nodes, self.graph[target].num_nodes)
            gate = self.gates["__".join(edge_type)](edge_index[edge_type], size)
            matrix = matrix.index_put((i + offset[target], j + offset[source]), gate)
        return matrix[None]


def _gating(gate: Tensor) -> Callable[[nn.Module, tuple], tuple]:
    """Multiply the attention that a layer takes by the gates."""

    def scale(_: nn.Module, given: tuple[Tensor, EdgeList | Complete, Tensor]) -> tuple:
        x, edges, weight = given
        return x, edges, weight * (gate if isinstance(edges, Complete) else gate[tuple(edges.place)])

    return scale
