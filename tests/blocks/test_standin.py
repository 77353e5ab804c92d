"""Every operation and layer of PyG on complete blocks agrees with the edge list or raises FallbackError."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.nn import aggr, conv

from avsgn_pyg.blocks import CompleteIndex, FallbackError

INDEX = CompleteIndex(2, 3)


def edge_value(width: int = 4) -> Tensor:
    return torch.randn(6, width).index_select(0, INDEX[0])


@pytest.mark.parametrize(("name", "operation"), [
    ("sort", lambda x: x.sort(-1)), ("cumsum", lambda x: torch.cumsum(x, 0)), ("max", lambda x: x.max()),
    ("relu_", torch.relu_), ("data", lambda x: x.data), ("grad_fn", lambda x: x.grad_fn),
    ("numpy", lambda x: x.numpy()),
    ("relu", torch.ops.aten.relu.default),
    ("view", lambda x: x.view(3, -1)), ("sum", lambda x: x.sum(0)), ("conv1d", lambda x: nn.functional.conv1d(x, x)),
])
def test_an_operation_without_a_rule_is_named(name: str, operation: Callable[[Tensor], Any]):
    with pytest.raises(FallbackError, match=name):
        operation(edge_value())


@pytest.mark.parametrize("write", [
    lambda x: x.mul_(2), lambda x: x.add_(1), lambda x: x.__iadd__(1), lambda x: x.__setitem__(0, 0),
    lambda x: nn.functional.relu(x, inplace=True), lambda x: nn.functional.relu(x, True),
    lambda x: nn.functional.dropout(x, 0.5, True, True), lambda x: x.view(-1, 2, 2).mul_(3),
    lambda x: torch.exp(x, out=torch.empty(18, 4)), lambda x: torch.add(torch.ones(18, 4), x, out=torch.empty(18, 4)),
    lambda x: torch.ones(18, 4).add_(x), lambda x: x.requires_grad_(),
])
def test_writing_in_place_falls_back(write: Callable[[Tensor], Any]):
    with pytest.raises(FallbackError):
        write(edge_value())


@pytest.mark.parametrize("store", [copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("value", [INDEX, INDEX[0], edge_value()])
def test_copies_and_pickles_are_an_error(store: Callable[[Any], Any], value: Any):
    with pytest.raises(TypeError, match="storage"):
        store(value)


# --- Every convolution that PyG exports ----------------------------------------------------------


GRAPHS, NODES, DIM = 2, 5, 8
META = (["node"], [("node", "to", "node")])
SKIPPED = {
    "MessagePassing": "has no message of its own",
    "CuGraphSAGEConv": "needs cugraph", "CuGraphGATConv": "needs cugraph", "CuGraphRGCNConv": "needs cugraph",
    "FusedGATConv": "needs dgNN and takes no edge_index", "SplineConv": "needs torch_spline_conv",
    "GravNetConv": "takes no edge_index", "DynamicEdgeConv": "takes no edge_index", "XConv": "takes no edge_index",
    "MeshCNNConv": "takes meshes, where an edge of the mesh is a node with four neighbours",
    "PANConv": "needs torch_sparse",
}


def mlp(wide: int = DIM, out: int = DIM) -> nn.Module:
    return nn.Sequential(nn.Linear(wide, DIM), nn.Tanh(), nn.Linear(DIM, out))


#: Value of a required argument of a constructor by its name, unless the convolution has its own below.
ARGUMENTS: dict[str, Any] = {
    "in_channels": DIM, "out_channels": DIM, "channels": DIM, "hidden_channels": DIM, "K": 2, "alpha": 0.1,
    "num_layers": 2, "first_aggr": True, "num_relations": 3, "dim": 1, "kernel_size": 2, "edge_dim": 1,
    "in_edge_channels": 1, "filter_size": 2, "num_node_types": 2, "num_edge_types": 3, "edge_type_emb_dim": 4,
    "edge_attr_emb_dim": 4, "metadata": META, "aggregators": ["mean", "min", "max", "std"],
    "scalers": ["identity", "amplification"], "deg": torch.tensor([0, 0, 0, 0, 0, GRAPHS * NODES]),
    "nn": lambda: mlp(), "conv": lambda: pyg.GraphConv(DIM, DIM), "mlp_h": lambda: mlp(DIM, 3),
    "mlp_f": lambda: mlp(DIM + 3), "mlp_g": lambda: mlp(), "convs": lambda: {META[1][0]: pyg.GraphConv(DIM, DIM)},
}
OWN: dict[str, dict[str, Any]] = {
    "NNConv": {"nn": lambda: mlp(1, DIM * DIM)}, "EdgeConv": {"nn": lambda: mlp(2 * DIM)},
    "PointNetConv": {"local_nn": lambda: mlp(DIM + 3)}, "PPFConv": {"local_nn": lambda: mlp(DIM + 4)},
    "CGConv": {"dim": 1}, "GeneralConv": {"in_edge_channels": 1},
    **{name: {"edge_dim": 1} for name in ("GATConv", "GATv2Conv", "TransformerConv", "GINEConv", "GENConv",
                                          "ResGatedGraphConv", "RGATConv", "PNAConv")},
}
#: Options that stock layers are also built with; each is tried where the constructor has it.
OPTIONS: list[dict[str, Any]] = [
    {}, {"add_self_loops": False}, {"normalize": False}, {"heads": 2}, {"aggr": "max"}, {"aggr": "mean"},
    {"attention": True}, {"beta": True}, {"flow": "target_to_source"}, {"heads": 2, "add_self_loops": False},
    {"concat": False, "heads": 2, "add_self_loops": False}, {"residual": True, "add_self_loops": False},
    {"cached": True}, {"attention": True, "attention_type": "dot_product"}, {"attention_type": "SD"},
]


def build(name: str, options: dict[str, Any]) -> nn.Module | None:
    """The convolution with these options; None if it does not have them."""
    parameters = inspect.signature(getattr(conv, name).__init__).parameters
    open_ended = name not in ("HeteroConv", "HANConv", "HGTConv", "SignedConv") and "kwargs" in parameters
    known = [option in parameters or (open_ended and option in ("aggr", "flow")) for option in options]
    if not all(known):
        return None
    needed = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
    values = {key: value for key, value in ARGUMENTS.items() if key in needed} | OWN.get(name, {})
    values = {key: value() if callable(value) else value for key, value in values.items()}
    try:
        return getattr(conv, name)(**{**values, **options}).double()
    except (ValueError, AssertionError, TypeError, NotImplementedError):
        return None


def call(layer: nn.Module, index: Tensor, given: dict[str, Tensor]) -> list[Tensor]:
    """Outputs of the layer."""
    values = {**given, "edge_index": index, "pos_edge_index": index, "neg_edge_index": index,
              "x_dict": {"node": given["x"]}, "edge_index_dict": {META[1][0]: index},
              "args_dict": {"node": given["x"]}, "hyperedge_index": index}
    if isinstance(layer, pyg.DNAConv):
        values["x"] = given["x"].view(-1, 2, DIM // 2).repeat(1, 1, 2)
    if isinstance(layer, pyg.WLConv):
        values["x"] = given["node_type"]
    if (isinstance(layer, pyg.FAConv) and layer.normalize) or isinstance(layer, pyg.FiLMConv):
        values = {name: value for name, value in values.items() if name not in ("edge_weight", "edge_type")}
    if isinstance(layer, pyg.HeteroConv):
        out = layer(values["x_dict"], values["edge_index_dict"])
    else:
        names = [name for name in inspect.signature(layer.forward).parameters if name in values]
        out = layer(**{name: values[name] for name in names if name != "neg_edge_index" or "pos_edge_index" in names})
    out = list(out.values()) if isinstance(out, dict) else [out]
    return [value for value in out if value is not None]


def inputs() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    edges = GRAPHS * NODES * NODES
    x, pos, normal, x_0 = (torch.randn(GRAPHS * NODES, width, dtype=torch.double, generator=draw).requires_grad_()
                           for width in (DIM, 3, 3, DIM))
    weight = torch.rand(edges, dtype=torch.double, generator=draw).requires_grad_()
    attr = torch.rand(edges, 1, dtype=torch.double, generator=draw).requires_grad_()
    return {"x": x, "x_0": x_0, "pos": pos, "normal": normal, "edge_weight": weight, "edge_attr": attr,
            "edge_type": torch.randint(3, (edges,), generator=draw),
            "node_type": torch.randint(2, (GRAPHS * NODES,), generator=draw)}


def outputs(layer: nn.Module, index: Tensor) -> list[Tensor | None]:
    """Outputs, and gradients of all inputs and parameters."""
    given = inputs()
    torch.manual_seed(0)
    out = call(layer, index, given)
    leaves = [value for value in (*given.values(), *layer.parameters()) if value.requires_grad]
    sums = [value for value in out if value.requires_grad]
    upstream = [torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).view_as(value) for value in sums]
    gradients = torch.autograd.grad(sums, leaves, upstream, allow_unused=True) if sums else [None] * len(leaves)
    return [*out, *gradients]


def check(layer: nn.Module) -> bool | None:
    """Compare both backends; False if blocks raise FallbackError, None if PyG itself does not run the layer."""
    index, other = CompleteIndex(GRAPHS, NODES), copy.deepcopy(layer)
    try:
        wanted = outputs(other, index.edge_list())
    except (AssertionError, ValueError, RuntimeError):  # options that the layer does not take together
        return None
    try:
        ours = outputs(layer, index)
    except FallbackError:
        return False
    for one, two in zip(ours, wanted, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-9)
    return True


#: Layers that must not fall back with any of the options that they are built with here.
DENSE = {"SimpleConv", "SAGEConv", "GraphConv", "GatedGraphConv", "ResGatedGraphConv", "TransformerConv", "TAGConv",
         "GINConv", "GINEConv", "MFConv", "SignedConv", "GMMConv", "CGConv", "EdgeConv", "LEConv", "GENConv",
         "WLConvContinuous", "GeneralConv", "HEATConv", "HeteroConv", "HANConv", "LGConv", "PointGNNConv", "GPSConv"}
#: Layers that run on blocks if they neither take self loops out nor put them in.
DENSE_WITHOUT_LOOPS = {"GCNConv", "GATConv", "GATv2Conv", "AGNNConv", "SGConv", "SSGConv", "APPNP", "PointNetConv",
                       "FeaStConv", "PointTransformerConv", "GCN2Conv", "FAConv", "EGConv", "PDNConv", "MixHopConv"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in conv.__all__ if name not in SKIPPED])
def test_a_stock_convolution_agrees_with_the_edge_list_or_falls_back(name: str):
    dense = {}
    for options in OPTIONS:
        layer = build(name, options)
        if layer is not None:
            dense[str(options)] = check(layer)
    dense = {options: found for options, found in dense.items() if found is not None}
    assert dense
    if name in DENSE:
        assert all(dense.values()), dense
    if name in DENSE_WITHOUT_LOOPS:
        assert dense[str({"add_self_loops": False})], dense


AGGREGATIONS: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: name for name in ("sum", "mean", "min", "max", "mul", "std", "var", "median")},
    "softmax": lambda: aggr.SoftmaxAggregation(learn=True), "powermean": lambda: aggr.PowerMeanAggregation(learn=True),
    "lstm": lambda: aggr.LSTMAggregation(DIM, DIM), "attention": lambda: aggr.AttentionalAggregation(mlp(DIM, 1)),
    "several": lambda: aggr.MultiAggregation(["mean", "max", "std"]), "quantile": lambda: aggr.QuantileAggregation(0.3),
    "degree": lambda: aggr.DegreeScalerAggregation(["mean"], ["attenuation"], ARGUMENTS["deg"]),
}


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_a_stock_aggregation_agrees_with_the_edge_list_or_falls_back(name: str):
    assert check(pyg.SimpleConv(aggr=AGGREGATIONS[name]()).double()) is not None
