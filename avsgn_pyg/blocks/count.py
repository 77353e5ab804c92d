"""What ran how: matmul, broadcast block, or fallback on real edges, so that nothing slow or odd happens unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


class FallbackError(RuntimeError):
    """An operation has no rule on blocks, and running it on real edges was forbidden or impossible."""


#: What is said of an operation on masked edges that only knows flat values.
NO_RULE = ("{} has no rule on complete blocks, and without a rule it would count edges that sizes or mask leave out; "
           "hand the convolution index.edge_list() and index.existing(weights)")


@dataclass
class Paths:
    """Counts by operation name.

    Attributes:
        matmul: contractions that ran as batched matrix products.
        broadcast: tensors with an entry per edge that had to be written out; the name is of the operation that asked.
        fallback: operations without a rule, run on the flat [E, ...] values or on the real edge list.
        widest: the most numbers per edge that any broadcast wrote (1: one weight an edge; d: a whole message).
        strict: a fallback raises :class:`FallbackError`.
    """

    matmul: Counter[str] = field(default_factory=Counter)
    broadcast: Counter[str] = field(default_factory=Counter)
    fallback: Counter[str] = field(default_factory=Counter)
    widest: int = 0
    strict: bool = False


_counting: ContextVar[tuple[Paths, ...]] = ContextVar("counting", default=())


@contextmanager
def count_paths(*, strict: bool = False) -> Iterator[Paths]:
    """Counts of everything that runs on stand-ins inside the block; nested blocks all count.

    Raises:
        FallbackError: with ``strict``, at the first fallback; its message names the operation.
    """
    paths = Paths(strict=strict)
    token = _counting.set((*_counting.get(), paths))
    try:
        yield paths
    finally:
        _counting.reset(token)


def counting() -> bool:
    """Whether somebody counts here: then operations must run as they are written, and no recording of them."""
    return bool(_counting.get())


def count_matmul(name: str) -> None:
    for paths in _counting.get():
        paths.matmul[name] += 1


def count_broadcast(name: str, width: int) -> None:
    for paths in _counting.get():
        paths.broadcast[name] += 1
        paths.widest = max(paths.widest, width)


def count_fallback(name: str, *, strict: bool = False) -> None:
    """Counts a fallback; raises where the index itself or a counter around is strict."""
    for paths in _counting.get():
        paths.fallback[name] += 1
        strict = strict or paths.strict
    if strict:
        raise FallbackError(f"{name} has no rule on complete blocks and strict forbids the fallback to real edges; "
                            "drop strict, or hand the convolution index.edge_list()")
