"""Counts which layers ran on complete blocks or along an edge list, and what their operations cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


class FallbackError(RuntimeError):
    """An operation cannot run on complete blocks; the layer must run along the edge list instead."""


@dataclass
class Paths:
    """Counts by the name of a layer, or of an operation.

    Attributes:
        complete, edge_list: layers that ran on complete blocks, and along an edge list, as their caller reports.
        fallback: the layers of `edge_list` that first raised :class:`FallbackError` on complete blocks.
        matmul: sums that ran as batched matrix products.
        broadcast: operations that had to write out a tensor with an entry per edge.
        widest: the most numbers per edge that any broadcast wrote (1: one weight; D: a whole message).
    """

    complete: Counter[str] = field(default_factory=Counter)
    edge_list: Counter[str] = field(default_factory=Counter)
    fallback: Counter[str] = field(default_factory=Counter)
    matmul: Counter[str] = field(default_factory=Counter)
    broadcast: Counter[str] = field(default_factory=Counter)
    widest: int = 0


_active: ContextVar[tuple[Paths, ...]] = ContextVar("active", default=())


@contextmanager
def count_paths() -> Iterator[Paths]:
    """Counts what runs inside the ``with`` statement; nested statements all count."""
    paths = Paths()
    token = _active.set((*_active.get(), paths))
    try:
        yield paths
    finally:
        _active.reset(token)


def count_matmul(name: str) -> None:
    """Record one batched matrix product."""
    for paths in _active.get():
        paths.matmul[name] += 1


def count_broadcast(name: str, width: int) -> None:
    """Record that an operation wrote out `width` numbers per edge."""
    for paths in _active.get():
        paths.broadcast[name] += 1
        paths.widest = max(paths.widest, width)


def count_layer(name: str, how: str) -> None:
    """Record a layer's run; `how`: ``complete``, ``edge_list`` or ``fallback`` (also counted as ``edge_list``)."""
    for paths in _active.get():
        for kind in ("edge_list", "fallback") if how == "fallback" else (how,):
            getattr(paths, kind)[name] += 1
