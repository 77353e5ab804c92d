"""Which edge values would share memory on real edges, so that a write into one is seen in the others, or refused.

``x_j.view(-1, heads, d)`` is a window on the same numbers: PyG's code may write into it and read ``x_j``. Blocks share
nothing, so every value knows its views while they are in use. A write into one that holds the same numbers in another
shape is made in all of them. One that holds a part of them (a slice, a chunk, an expansion, a detached value) cannot be
carried over, and is refused.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any

from avsgn_pyg.blocks.count import FallbackError
from avsgn_pyg.blocks.rules import Rule


class Family:
    """Edge values over the same numbers, as long as somebody holds them."""

    def __init__(self) -> None:
        self.whole: list[weakref.ref] = []
        self.parts: list[weakref.ref] = []

    def write(self, value: Any, new: Any) -> None:
        """Carries a write into `value`, which is about to become `new`, over to all others.

        Raises:
            FallbackError: some other holds, or the value itself is, a part of the numbers.
        """
        whole, parts = ([one for one in (ref() for ref in refs) if one is not None and one is not value]
                        for refs in (self.whole, self.parts))
        is_part = any(ref() is value for ref in self.parts)
        if parts or (is_part and whole):
            raise FallbackError("an edge value was written in place while a slice, chunk, expansion or detached copy "
                                "of the same numbers was in use; on complete blocks these share no memory and would "
                                "keep their old numbers. Write x = x * y in place of x *= y, or hand the convolution "
                                "index.edge_list()")
        for one in whole:
            one.take(new.view_trail(one.trail))


def views(rule: Rule, *, whole: bool) -> Rule:
    """The rule of an operation whose answer shares memory with its first argument."""

    @functools.wraps(rule)
    def run(name: str, args: tuple, kwargs: dict) -> Any:
        out = rule(name, args, kwargs)
        base = args[0]
        for one in out if isinstance(out, tuple) else (out,):
            if one is not NotImplemented and one is not base and getattr(base, "kind", None) == "edges":
                _join(base, one, whole)
        return out

    return run


def _join(base: Any, view: Any, whole: bool) -> None:
    if base.family is None:
        base.family = Family()
        base.family.whole.append(weakref.ref(base))
    view.family = base.family
    whole = whole and not any(ref() is base for ref in base.family.parts)
    (view.family.whole if whole else view.family.parts).append(weakref.ref(view))
