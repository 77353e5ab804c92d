"""What modules must share to be run as one, and whether it is still what it was.

Looking through a module costs as much as running a small one, so what was found is kept, and at the next call it is
only asked whether anything in the module has been replaced since.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import chain, count
from operator import is_
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

#: Equal for two modules of one form: a number for their parts, settings and names, then sizes and types of parameters.
Form = tuple[int, tuple[Hashable, ...]]

#: Settings that are kept, each with a number of its own; then all are looked up anew.
KEPT = 64
_PLAIN = frozenset({bool, int, float, str, type(None)})


class Shared(NamedTuple):
    """The form of some modules, and the parameters of each as they are now: a part's before its children's."""

    form: Form
    weights: list[list[Tensor]]


class _Found(NamedTuple):
    """A module as it was found: the number of its settings, and all that says whether they still hold."""

    number: int
    parts: tuple[nn.Module, ...]
    kinds: tuple[type, ...]
    owns: tuple[Mapping[str, Any], ...]
    sizes: tuple[int, ...]
    values: tuple[Any, ...]
    empty: tuple[Any, ...]
    held: tuple[Mapping[str, Tensor | None], ...]
    names: tuple[str, ...]

    def same(self) -> bool:
        """No part was given, set or made anything else, no child replaced, and nobody listens."""
        half = len(self.parts)
        return (tuple(map(type, self.parts)) == self.kinds and all(map(is_, map(vars, self.parts), self.owns[:half]))
                and tuple(map(len, self.owns)) == self.sizes and not any(self.empty)
                and tuple(chain.from_iterable(self.held)) == self.names
                and all(map(is_, chain.from_iterable(map(dict.values, self.owns)), self.values)))

    def parameters(self) -> list[Tensor | None]:
        """As they are now, ``None`` where a part has none of a name."""
        return list(chain.from_iterable(map(dict.values, self.held)))


class Forms:
    """The forms of the modules that were asked for last, looked up anew only where something changed.

    Args:
        without: a child of theirs that takes no part.
    """

    def __init__(self, without: str) -> None:
        self.without = without
        self._found: dict[int, _Found] = {}
        self._numbers: dict[tuple[Hashable, ...], int] = {}
        self._next, self._lock = count(), threading.Lock()

    def shared(self, modules: Sequence[nn.Module]) -> Shared | None:
        """Kinds, sizes and every plain setting of all parts, where all `modules` have the same.

        ``None`` where they differ, or where one can only run by itself: somebody listens inside (a hook would be
        handed all modules at once), it keeps statistics (which could not be written from within), or its weights are
        no parameters of its own (as under wrappers that shard or copy them).
        """
        with self._lock:
            if _has_any_global_hook():
                return None
            found = [self._of(module) for module in modules]
            self._found = {id(one.parts[0]): one for one in found if one is not None}
            if None in found or len({one.number for one in found}) > 1:
                return None
            weights = [one.parameters() for one in found]
            first, *others = ([value if value is None else (value.shape, value.dtype) for value in part]
                              for part in weights)
            if any(other != first for other in others):
                return None
            return Shared((found[0].number, tuple(first)),
                          [[value for value in part if value is not None] for part in weights])

    def _of(self, module: nn.Module) -> _Found | None:
        found = self._found.get(id(module))
        if found is not None and found.same():
            return found
        parts = list(_parts(module, self.without))
        settings = _settings(parts)
        if settings is None:
            return None
        if len(self._numbers) >= KEPT and settings not in self._numbers:
            self._numbers.clear()
            self._found.clear()
        number = self._numbers.setdefault(settings, next(self._next))
        return _find(number, [part for _, part in parts])


def _parts(module: nn.Module, without: str) -> Iterator[tuple[str, nn.Module]]:
    return ((name, part) for name, part in module.named_modules(remove_duplicate=False)
            if name != without and not name.startswith(f"{without}."))


def _settings(parts: Sequence[tuple[str, nn.Module]]) -> tuple[Hashable, ...] | None:
    found: list[Hashable] = []
    for name, part in parts:
        found += [name, type(part), *part._parameters]
        for key, value in vars(part).items():
            if type(value) in _PLAIN:
                found += [key, value]
            elif isinstance(value, Tensor) or (_stays_empty(key) and value):
                return None
    return tuple(found)


def _stays_empty(key: str) -> bool:
    return key == "_buffers" or (key.endswith("_hooks") and "state_dict" not in key)


def _find(number: int, parts: Sequence[nn.Module]) -> _Found:
    owns = (*map(vars, parts), *(part._modules for part in parts))
    return _Found(number, tuple(parts), tuple(map(type, parts)), owns, tuple(map(len, owns)),
                  tuple(chain.from_iterable(map(dict.values, owns))),
                  (*(value for part in parts for key, value in vars(part).items() if _stays_empty(key)),
                   *(part._parameters for part in parts if not part._parameters)),
                  held := tuple(part._parameters for part in parts if part._parameters),
                  tuple(chain.from_iterable(held)))
