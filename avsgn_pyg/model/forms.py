"""What modules must share to be run as one, and whether it is still what it was.

Looking through a module costs as much as running a small one, so what was found is kept, and at the next call it is
only asked whether anything in the module has been replaced since.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import chain
from operator import is_
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

#: Equal for two modules of one form: a number for their parts and settings, then the parameters of all parts.
Form = tuple[int, tuple[Hashable, ...]]

_PLAIN = frozenset({bool, int, float, str, type(None)})


class _Found(NamedTuple):
    """A module as it was found: the form of its parts, and all that says whether they are still so."""

    number: int
    sizes: tuple[int, ...]
    owns: tuple[Mapping[str, Any], ...]
    values: tuple[Any, ...]
    empty: tuple[Any, ...]
    weights: tuple[Mapping[str, nn.Parameter | None], ...]

    def same(self) -> bool:
        """No part was given or set anything, or another child, and nobody listens; parameters are not asked here."""
        return (tuple(map(len, self.owns)) == self.sizes and not any(self.empty)
                and all(map(is_, chain.from_iterable(map(dict.values, self.owns)), self.values)))


class Forms:
    """The forms of some modules, looked up anew only where something changed.

    Args:
        without: a child of theirs that takes no part.
    """

    def __init__(self, without: str) -> None:
        self.without = without
        self._found: dict[nn.Module, _Found] = {}
        self._numbers: dict[tuple[Hashable, ...], int] = {}

    def of(self, module: nn.Module) -> Form | None:
        """Kinds, sizes and every plain setting of all parts of `module`.

        ``None`` where it can only run by itself: somebody listens inside (a hook would be handed all modules at
        once), it keeps statistics (which could not be written from within), or its weights are no parameters of its
        own (as under wrappers that shard or copy them).
        """
        if _has_any_global_hook():
            return None
        found = self._found.get(module)
        if found is None or not found.same():
            self._found.pop(module, None)
            settings = _settings(module, self.without)
            if settings is None:
                return None
            number = self._numbers.setdefault(settings, len(self._numbers))
            found = self._found[module] = _found(number, [part for _, part in _parts(module, self.without)])
        return found.number, tuple((key, value.shape, value.dtype)
                                   for part in found.weights for key, value in part.items() if value is not None)

    def weights(self, module: nn.Module) -> list[nn.Parameter]:
        """The parameters of a module whose form was just asked for, those of a part before those of its children."""
        return [value for part in self._found[module].weights for value in part.values() if value is not None]


def _parts(module: nn.Module, without: str) -> Iterator[tuple[str, nn.Module]]:
    return ((name, part) for name, part in module.named_modules(remove_duplicate=False)
            if not name.startswith(without))


def _settings(module: nn.Module, without: str) -> tuple[Hashable, ...] | None:
    found: list[Hashable] = []
    for name, part in _parts(module, without):
        found += [name, type(part)]
        for key, value in vars(part).items():
            if type(value) in _PLAIN:
                found += [key, value]
            elif isinstance(value, Tensor) or (_stays_empty(key) and value):
                return None
    return tuple(found)


def _stays_empty(key: str) -> bool:
    return key == "_buffers" or (key.endswith("_hooks") and "state_dict" not in key)


def _found(number: int, parts: list[nn.Module]) -> _Found:
    owns = tuple(own for part in parts for own in (vars(part), part._modules))
    empty = [value for part in parts for key, value in vars(part).items() if _stays_empty(key)]
    empty += [part._parameters for part in parts if not part._parameters]
    return _Found(number, tuple(map(len, owns)), owns, tuple(chain.from_iterable(map(dict.values, owns))),
                  tuple(empty), tuple(part._parameters for part in parts if part._parameters))
