"""An ``edge_index`` that knows it is B complete graphs, and lets an unmodified PyG convolution run on dense blocks.

    index = CompleteIndex(graphs=64, nodes=20)
    out = GCNConv(256, 256, normalize=False)(x, index, edge_weight)  # x [64 * 20, 256], edge_weight [64 * 20 * 20]

Letters: B graphs, N nodes (targets) of each, M sources of each (N, unless the graphs are bipartite). Edge number
``(b N + i) M + j`` leads into target i of graph b from its source j, self edges included: sorted by target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.blocks.algebra import SOURCE, TARGET
from avsgn_pyg.blocks.count import NO_RULE, FallbackError
from avsgn_pyg.blocks.edges import EdgeTensor
from avsgn_pyg.blocks.ends import End
from avsgn_pyg.blocks.rules import dispatch
from avsgn_pyg.blocks.standin import StandIn


class CompleteIndex(StandIn):
    """[2, B N M] integer stand-in; no edge is stored.

    Args:
        graphs: B.
        nodes: N, targets of each graph; also its sources unless told.
        device: of the node features it will be used with.
        sizes: [B] real nodes of each graph where graphs are padded to N at the end: no edge to or from padding
            exists. Padded rows of x must be finite; what they hold is not seen by real nodes.
        sources: M, for bipartite graphs: ``conv((x_sources [B M, D], x_targets [B N, D]), index)``.
        source_sizes: [B] real sources of each graph.
        mask: [B, N, M] bool (or broadcastable to it), False for an edge that does not exist.
        strict: an operation without a rule raises instead of running on real edges.

    Raises:
        ValueError: for counts below one, or sizes that do not fit.
    """

    kind = "index"

    @staticmethod
    def __new__(cls, graphs: int, nodes: int, device: torch.device | str | None = None,
                sizes: Tensor | Sequence[int] | None = None, *, sources: int | None = None,
                source_sizes: Tensor | Sequence[int] | None = None, mask: Tensor | None = None,
                strict: bool = False) -> CompleteIndex:
        own = nodes if sources is None else sources
        if min(graphs, nodes, own) < 1:
            raise ValueError(f"CompleteIndex of {graphs} graphs, {nodes} nodes and {own} sources: each must be at "
                             "least 1")
        with torch.inference_mode(False):
            device = torch.empty(0, device=device).device
            if sizes is not None and sources is None and source_sizes is None:
                source_sizes = sizes
            made = cls.blank((2, graphs * nodes * own), torch.long, device)
            made.graphs, made.nodes, made.sources = graphs, nodes, own
            made.block_shape, made.edge_count, made.strict = (graphs, nodes, own), graphs * nodes * own, strict
            made.exists = _existing(made, sizes, source_sizes, mask)
        made.offset, made._real = (0, 0), None
        made._ends = (End(made, SOURCE), End(made, TARGET))
        return made

    __torch_function__ = classmethod(dispatch)

    @property
    def complete(self) -> CompleteIndex:
        return self

    # --- Edges ---------------------------------------------------------------------------------------

    def edges(self, values: Tensor) -> EdgeTensor:
        """Edge values [E], [E, k] or [B, N, M] as blocks.

        A convolution takes the plain tensor too; handed this, its linear map of a one-dimensional ``edge_attr`` is
        kept as a product and never written out at [E, D].
        """
        if values.dim() == 3 and tuple(values.shape) == self.block_shape and values.shape[0] != self.edge_count:
            return EdgeTensor(self, ((values,),))
        if values.dim() == 0 or values.shape[0] != self.edge_count:
            raise ValueError(f"edge values of shape {list(values.shape)}: {self} wants [{self.edge_count}, ...] or "
                             f"{list(self.block_shape)}")
        return EdgeTensor(self, ((values.reshape(*self.block_shape, *values.shape[1:]),),))

    def plain(self) -> Tensor:
        """[2, B N M], every edge of the layout, whether it exists or not."""
        if self._real is None:
            with torch.inference_mode(False):
                target, source = (torch.arange(self.graphs * count, device=self.device).view(self.graphs, count)
                                  for count in (self.nodes, self.sources))
                rows = (source[:, None, :] + self.offset[0], target[:, :, None] + self.offset[1])
                self._real = torch.stack([row.expand(self.block_shape).reshape(-1) for row in rows])
        return self._real

    def every_edge(self, operation: str) -> Tensor:
        """:meth:`plain` for an operation that would take each of its columns for an edge.

        Raises:
            FallbackError: some of them do not exist.
        """
        if self.exists is not None:
            raise FallbackError(NO_RULE.format(operation))
        return self.plain()

    def edge_list(self) -> Tensor:
        """[2, E'] ordinary edge list of the edges that exist."""
        return self.plain() if self.exists is None else self.plain()[:, self._existing_flat()]

    def existing(self, values: Tensor) -> Tensor:
        """[E, ...] -> [E', ...]: the values that belong to :meth:`edge_list`."""
        return values if self.exists is None else values[self._existing_flat()]

    def _existing_flat(self) -> Tensor:
        return self.exists.expand(self.block_shape).reshape(-1)

    # --- As a tensor ---------------------------------------------------------------------------------

    def __getitem__(self, where: Any) -> Any:
        if type(where) is int and -2 <= where < 2 and self.offset == (0, 0):
            return self._ends[where]
        return dispatch(type(self), Tensor.__getitem__, (), (self, where))

    def __iter__(self) -> Iterator[Any]:
        return iter((self[0], self[1]))

    def unbind(self, dim: int = 0) -> Any:
        return (self[0], self[1]) if dim in (0, -2) else self.every_edge("unbind").unbind(dim)

    def clone(self, **_: Any) -> CompleteIndex:
        return self

    # Nothing can be written into it, so a copy is the thing itself.
    contiguous = detach = clone

    def to(self, *args: Any, **kwargs: Any) -> Any:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if dtype not in (None, torch.long):
            return self.every_edge("to").to(*args, **kwargs)
        return self if device is None or torch.device(device) == self.device else self._like(device=device)

    def cpu(self, **_: Any) -> Any:
        return self.to("cpu")

    def cuda(self, device: Any = None, **_: Any) -> Any:
        return self.to("cuda" if device is None else device)

    def pin_memory(self, **_: Any) -> CompleteIndex:
        return self

    def share_memory_(self) -> CompleteIndex:
        return self

    # --- Copies, pickles, batches --------------------------------------------------------------------

    def _like(self, *, graphs: int | None = None, exists: Any = (), device: Any = None,
              offset: tuple[int, int] | None = None) -> CompleteIndex:
        exists = self.exists if isinstance(exists, tuple) else exists
        made = CompleteIndex(graphs or self.graphs, self.nodes, device or self.device, sources=self.sources,
                             mask=exists, strict=self.strict)
        made.offset = self.offset if offset is None else offset
        return made

    def __reduce_ex__(self, protocol: int) -> Any:
        device, offset = str(self.device), self.offset
        return _rebuilt, (self.graphs, self.nodes, self.sources, self.exists, self.strict, device, offset)

    def __copy__(self) -> CompleteIndex:
        return self._like()

    def __deepcopy__(self, memo: dict) -> CompleteIndex:
        return self._like()

    def __add__(self, shift: Any) -> Any:
        """Shifted node numbers, as PyG's collation asks for: kept as numbers, so that :meth:`batched` can join."""
        return self._shifted(shift, 1)

    def __sub__(self, shift: Any) -> Any:
        return self._shifted(shift, -1)

    def _shifted(self, shift: Any, sign: int) -> Any:
        by = shift.reshape(-1).tolist() if isinstance(shift, Tensor) else [shift]
        if len(by) > 2:
            return self.every_edge("__add__") + sign * shift
        return self._like(offset=(self.offset[0] + sign * by[0], self.offset[1] + sign * by[-1]))

    def narrow(self, dim: int, start: int, length: int) -> Any:
        """Whole graphs of a batch stay complete; any other piece is an ordinary tensor."""
        one = self.nodes * self.sources
        if dim not in (1, -1) or start % one or length % one or not length:
            return self.every_edge("narrow").narrow(dim, start, length)
        first, count = start // one, length // one
        exists = None if self.exists is None else self.exists.expand(self.block_shape)[first:first + count]
        offset = (self.offset[0] + first * self.sources, self.offset[1] + first * self.nodes)
        return self._like(graphs=count, exists=exists, offset=offset)

    @staticmethod
    def batched(indices: Sequence[CompleteIndex]) -> CompleteIndex:
        """Shifted indices of one batch as one index.

        Raises:
            ValueError: for graphs of different sizes, or shifts that are not one after another.
        """
        first, (source, target) = indices[0], indices[0].offset
        for index in indices:
            if (index.nodes, index.sources) != (first.nodes, first.sources):
                raise ValueError(f"complete graphs of {first.nodes} x {first.sources} and {index.nodes} x "
                                 f"{index.sources} nodes make no blocks; pad them to one size and give sizes=, or "
                                 "store edge_list()")
            if index.offset != (source, target):
                raise ValueError(f"node numbers of a batch start at {index.offset}, where the graphs before it end at "
                                 f"{(source, target)}; every node must be in the graphs")
            source, target = source + index.graphs * index.sources, target + index.graphs * index.nodes
        masks = [index.exists for index in indices]
        if any(mask is not None for mask in masks):
            masks = [torch.ones((), dtype=torch.bool, device=index.device) if mask is None else mask
                     for mask, index in zip(masks, indices, strict=True)]
            exists = torch.cat([mask.expand(index.block_shape) for mask, index in zip(masks, indices, strict=True)])
        else:
            exists = None
        return first._like(graphs=sum(index.graphs for index in indices), exists=exists)

    def __repr__(self, **_: Any) -> str:
        across = f"nodes={self.nodes}" if self.nodes == self.sources else f"nodes={self.nodes}, sources={self.sources}"
        return f"CompleteIndex(graphs={self.graphs}, {across}{'' if self.exists is None else ', masked'})"


def _existing(index: CompleteIndex, sizes: Any, source_sizes: Any, mask: Tensor | None) -> Tensor | None:
    """[B, N, M] bool of the edges that exist; None where all do."""
    exists = None if mask is None else torch.as_tensor(mask, dtype=torch.bool, device=index.device)
    for given, count, axis, name in ((sizes, index.nodes, TARGET, "sizes"),
                                     (source_sizes, index.sources, SOURCE, "source_sizes")):
        if given is None:
            continue
        given = torch.as_tensor(given, device=index.device)
        if given.shape != (index.graphs,) or int(given.min()) < 0 or int(given.max()) > count:
            raise ValueError(f"{name} {given.tolist()}: want {index.graphs} numbers from 0 to {count}")
        real = (torch.arange(count, device=index.device) < given[:, None]).unsqueeze(TARGET + SOURCE - axis)
        exists = real if exists is None else exists & real
    if exists is None:
        return None
    if exists.dim() != 3:
        raise ValueError(f"mask of shape {list(exists.shape)}: want {list(index.block_shape)}")
    return exists.expand(index.block_shape)


def _rebuilt(graphs: int, nodes: int, sources: int, exists: Tensor | None, strict: bool, device: str,
             offset: tuple[int, int]) -> CompleteIndex:
    made = CompleteIndex(graphs, nodes, device, sources=sources, mask=exists, strict=strict)
    made.offset = offset
    return made
