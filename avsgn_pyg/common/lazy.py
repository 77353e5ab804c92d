"""Names of a package that are imported at their first use (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package's ``__init__``.

    Args:
        package: its ``__name__``.
        homes: module, relative to the package -> the names that it defines. The module is an attribute too.
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    own = vars(sys.modules[package])

    def find(name: str) -> Any:
        if name in homes:
            return importlib.import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{home_of[name]}")
        return own.setdefault(name, getattr(module, name))

    return find, lambda: sorted({*own, *home_of, *homes})
