"""Section 3.4, Eq. 8: the table of convolutions, each with its options and the argument that takes Eq. 7's attention.

Rows are stock PyG layers that keep width D, weighted forms from :mod:`avsgn_pyg.layers.weighted`, and your own:
``docs/add_a_layer.md``. The attention enters as edge weight (it scales a message) or as an edge attribute of
width one (a learned term inside the message or its score). Every layer must depend on it; the tests perturb the
adjacency of every row.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

import torch_geometric.nn as pyg
from torch import nn

from avsgn_pyg.layers.weighted import LinearAPPNP, PlainARMA, PlainSG, WeightedFiLM, WeightedGIN, WeightedSAGE

EDGE_WEIGHT, EDGE_ATTR = "edge_weight", "edge_attr"


@dataclass(frozen=True)
class Check:
    """A condition on an option: `words` for the error, `fits` for the value from a config."""

    words: str
    fits: Callable[[Any], bool]


def _number(value: Any) -> bool:
    return type(value) in (int, float)


Count = Annotated[int, Check("an integer of at least 1", lambda value: type(value) is int and value >= 1)]
Rate = Annotated[float, Check("a number in [0, 1)", lambda value: _number(value) and 0 <= value < 1)]
Share = Annotated[float, Check("a number in [0, 1]", lambda value: _number(value) and 0 <= value <= 1)]
Number = Annotated[float, Check("a number", _number)]
Switch = Annotated[bool, Check("true or false", lambda value: type(value) is bool)]


@dataclass(frozen=True)
class ConvRow:
    """One convolution of the table.

    Attributes:
        build: ``(dim, **options) -> conv`` keeping [M, D] -> [M, D]; its keyword-only arguments are the options. One
            annotated with a :class:`Check` (``Count``, ``Rate``, ...) or a ``Literal`` is checked before the call.
        attention: the argument of ``conv(x, edge_index, ...)`` that takes Eq. 7's attention: ``edge_weight`` [E] or
            ``edge_attr`` [E, 1].
        fused: the layer sums weighted sources and accepts a sparse matrix (PyG's ``adj_t``) for edges and weights.
    """

    build: Callable[..., nn.Module]
    attention: str
    fused: bool = False

    def __post_init__(self) -> None:
        if self.attention not in (EDGE_WEIGHT, EDGE_ATTR):
            raise ValueError(f"attention={self.attention!r}: a layer takes Eq. 7 as {EDGE_WEIGHT} or {EDGE_ATTR}")


def find_conv(name: str) -> ConvRow:
    """Return the row of the convolution `name`.

    Raises:
        ValueError: no such row; lists the names.
    """
    if name not in CONVS:
        near = difflib.get_close_matches(str(name), CONVS, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"conv={name!r} is not in the table{hint} Choose one of {sorted(CONVS)}, or add a row "
                         "(docs/add_a_layer.md)")
    return CONVS[name]


def build_conv(name: str, dim: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a convolution of width `dim`.

    Raises:
        ValueError: an unknown convolution or option, or an invalid value; says what would work.
    """
    row, options = find_conv(name), options or {}
    allowed = [key for key, p in inspect.signature(row.build).parameters.items() if p.kind is p.KEYWORD_ONLY]
    hints = get_type_hints(row.build, include_extras=True)
    for option, value in options.items():
        if option not in allowed:
            raise ValueError(f"conv={name!r} has no option {option!r}; it has {sorted(allowed)}")
        words = _refusal(hints.get(option), value)
        if words:
            raise ValueError(f"conv={name}: {option}={value!r} must be {words}")
    if dim % options.get("heads", 1) and name in SPLIT_BY_HEADS:
        raise ValueError(f"conv={name}: dim={dim} is not a multiple of heads={options['heads']}")
    return row.build(dim, **options)


def _refusal(hint: Any, value: Any) -> str | None:
    """The condition that `value` violates, or ``None``."""
    for check in getattr(hint, "__metadata__", ()):
        if isinstance(check, Check) and not check.fits(value):
            return check.words
    literals = get_args(hint) if getattr(hint, "__origin__", None) is Literal else (value,)
    return None if value in literals else f"one of {list(literals)}"


def _mlp(dim: int, depth: int) -> nn.Module:
    steps = [step for _ in range(depth - 1) for step in (nn.Linear(dim, dim), nn.ReLU())]
    return nn.Sequential(*steps, nn.Linear(dim, dim))


# Rows of Eq. 7 sum to one and include the self edge: PyG's own normalization and self loops would change them.


def _gcn(dim: int, *, bias: Switch = True) -> nn.Module:
    return pyg.GCNConv(dim, dim, bias=bias, normalize=False, add_self_loops=False)


def _graph(dim: int, *, aggr: Literal["add", "mean", "max"] = "add", bias: Switch = True) -> nn.Module:
    return pyg.GraphConv(dim, dim, aggr=aggr, bias=bias)


def _sage(dim: int, *, aggr: Literal["mean", "max"] = "mean", normalize: Switch = False,
          bias: Switch = True) -> nn.Module:
    return WeightedSAGE(dim, dim, aggr={"mean": "add", "max": "max"}[aggr], normalize=normalize, bias=bias)


def _gin(dim: int, *, eps: Number = 0.0, train_eps: Switch = False, depth: Count = 2) -> nn.Module:
    return WeightedGIN(_mlp(dim, depth), eps=float(eps), train_eps=train_eps)


def _gine(dim: int, *, eps: Number = 0.0, train_eps: Switch = False, depth: Count = 2,
          aggr: Literal["add", "mean", "max"] = "mean") -> nn.Module:
    return pyg.GINEConv(_mlp(dim, depth), eps=float(eps), train_eps=train_eps, edge_dim=1, aggr=aggr)


def _gat(dim: int, *, heads: Count = 4, negative_slope: Number = 0.2, dropout: Rate = 0.0,
         bias: Switch = True) -> nn.Module:
    return pyg.GATConv(dim, dim // heads, heads=heads, negative_slope=negative_slope, dropout=dropout, bias=bias,
                       add_self_loops=False, edge_dim=1)


def _gatv2(dim: int, *, heads: Count = 4, negative_slope: Number = 0.2, dropout: Rate = 0.0,
           share_weights: Switch = False, bias: Switch = True) -> nn.Module:
    return pyg.GATv2Conv(dim, dim // heads, heads=heads, negative_slope=negative_slope, dropout=dropout, bias=bias,
                         share_weights=share_weights, add_self_loops=False, edge_dim=1)


def _transformer(dim: int, *, heads: Count = 4, dropout: Rate = 0.0, beta: Switch = False,
                 root_weight: Switch = True, bias: Switch = True) -> nn.Module:
    return pyg.TransformerConv(dim, dim // heads, heads=heads, dropout=dropout, beta=beta, root_weight=root_weight,
                               bias=bias, edge_dim=1)


def _general(dim: int, *, heads: Count = 1, attention_type: Literal["additive", "dot_product"] = "additive",
             l2_normalize: Switch = False, bias: Switch = True) -> nn.Module:
    # Without its own attention the edge's term is linear and weights that sum to one cancel out of it.
    return pyg.GeneralConv(dim, dim, in_edge_channels=1, heads=heads, attention=True, attention_type=attention_type,
                           l2_normalize=l2_normalize, bias=bias)


def _tag(dim: int, *, K: Count = 3, bias: Switch = True) -> nn.Module:
    return pyg.TAGConv(dim, dim, K=K, bias=bias, normalize=False)


def _sg(dim: int, *, K: Count = 2, bias: Switch = True) -> nn.Module:
    return PlainSG(dim, dim, K=K, bias=bias)


def _appnp(dim: int, *, K: Count = 4, alpha: Share = 0.1, dropout: Rate = 0.0,
           bias: Switch = True) -> nn.Module:
    return LinearAPPNP(dim, K=K, alpha=float(alpha), dropout=float(dropout), bias=bias)


def _arma(dim: int, *, num_stacks: Count = 1, num_layers: Count = 1, shared_weights: Switch = False,
          dropout: Rate = 0.0, bias: Switch = True) -> nn.Module:
    return PlainARMA(dim, dim, num_stacks=num_stacks, num_layers=num_layers, shared_weights=shared_weights,
                     dropout=float(dropout), bias=bias)


def _gen(dim: int, *, aggr: Literal["softmax", "powermean", "add", "mean", "max"] = "softmax", t: Number = 1.0,
         learn_t: Switch = False, norm: Literal["batch", "layer"] = "layer", num_layers: Count = 2,
         expansion: Count = 2, bias: Switch = False) -> nn.Module:
    return pyg.GENConv(dim, dim, aggr=aggr, t=float(t), learn_t=learn_t, norm=norm, num_layers=num_layers,
                       expansion=expansion, bias=bias, edge_dim=1)


def _film(dim: int, *, aggr: Literal["mean", "max"] = "mean") -> nn.Module:
    return WeightedFiLM(dim, dim, aggr={"mean": "add", "max": "max"}[aggr])


def _resgated(dim: int, *, root_weight: Switch = True, bias: Switch = True) -> nn.Module:
    return pyg.ResGatedGraphConv(dim, dim, edge_dim=1, root_weight=root_weight, bias=bias)


#: Rows whose heads share the width between them, so that `heads` must divide it.
SPLIT_BY_HEADS = {"gat", "gatv2", "transformer"}

#: Name in a config -> convolution. A layer of your own is one row.
CONVS: dict[str, ConvRow] = {
    "gcn": ConvRow(_gcn, EDGE_WEIGHT, fused=True),
    "graph": ConvRow(_graph, EDGE_WEIGHT, fused=True),
    "sage": ConvRow(_sage, EDGE_WEIGHT, fused=True),
    "gin": ConvRow(_gin, EDGE_WEIGHT, fused=True),
    "tag": ConvRow(_tag, EDGE_WEIGHT, fused=True),
    "sg": ConvRow(_sg, EDGE_WEIGHT, fused=True),
    "appnp": ConvRow(_appnp, EDGE_WEIGHT, fused=True),
    "arma": ConvRow(_arma, EDGE_WEIGHT, fused=True),
    "film": ConvRow(_film, EDGE_WEIGHT),
    "gine": ConvRow(_gine, EDGE_ATTR),
    "gat": ConvRow(_gat, EDGE_ATTR),
    "gatv2": ConvRow(_gatv2, EDGE_ATTR),
    "transformer": ConvRow(_transformer, EDGE_ATTR),
    "general": ConvRow(_general, EDGE_ATTR),
    "gen": ConvRow(_gen, EDGE_ATTR),
    "resgated": ConvRow(_resgated, EDGE_ATTR),
}
