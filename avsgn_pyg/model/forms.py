"""What modules must share to be run as one, and whether it is still what it was.

Looking through a module costs as much as running a small one, so what was found is kept, and at the next call it is
only asked whether anything in the module has been replaced since.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from operator import is_
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

#: Equal for two modules of one form: a number for their parts and settings, then the parameters of all parts.
Form = tuple[int, tuple[Hashable, ...]]

_PLAIN = frozenset({bool, int, float, str, type(None)})


class _Part(NamedTuple):
    """A module of a tree as it was found: what it had, and which of these are looked into."""

    own: Mapping[str, Any]
    values: tuple[Any, ...]
    empty: tuple[Any, ...]
    weights: Mapping[str, nn.Parameter | None]
    children: Mapping[str, nn.Module | None]
    child: tuple[nn.Module | None, ...]

    def same(self) -> bool:
        """Nothing in it was set anew, and nobody listens. What its parameters are is not asked here."""
        return (len(self.own) == len(self.values) and all(map(is_, self.own.values(), self.values))
                and not any(self.empty)
                and len(self.children) == len(self.child) and all(map(is_, self.children.values(), self.child)))


class Forms:
    """The forms of some modules, looked up anew only where something changed.

    Args:
        without: a child of theirs that takes no part.
    """

    def __init__(self, without: str) -> None:
        self.without = without
        self._found: dict[nn.Module, tuple[int, list[_Part]]] = {}
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
        if found is None or not all(part.same() for part in found[1]):
            self._found.pop(module, None)
            settings = _settings(module, self.without)
            if settings is None:
                return None
            number = self._numbers.setdefault(settings, len(self._numbers))
            found = self._found[module] = number, [_part(part) for _, part in _parts(module, self.without)]
        number, parts = found
        return number, tuple((key, value.shape, value.dtype)
                             for part in parts for key, value in part.weights.items() if value is not None)

    def weights(self, module: nn.Module) -> list[nn.Parameter]:
        """The parameters of a module whose form was just asked for, those of a part before those of its children."""
        return [value for part in self._found[module][1] for value in part.weights.values() if value is not None]


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


def _part(part: nn.Module) -> _Part:
    own = vars(part)
    return _Part(own, tuple(own.values()), tuple(value for key, value in own.items() if _stays_empty(key)),
                 part._parameters, part._modules, tuple(part._modules.values()))
