"""Import PyG without the parts of it that most programs never use; each of them loads at its first use.

``import torch_geometric`` also runs its datasets package, whose llm package imports transformers, and imports
``torch._dynamo``: together 2.8 of the 5 CPU seconds that it takes. :func:`install` replaces nothing in PyG. It adds an
import hook under which these parts are registered as usual, but run when an attribute of theirs is first read.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import threading
from importlib._bootstrap import _DeadlockError, _ModuleLockManager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

PYG: Final = "torch_geometric"
#: Subpackages of PyG that run at their first use. PyG's own ``__init__`` imports both, directly or not.
DEFERRED: Final = (f"{PYG}.datasets", f"{PYG}.llm")
#: Imported by ``torch_geometric.isinstance`` for one class, which it reads through ``torch``; torch loads it by itself.
COMPILER: Final = "torch._dynamo"

#: Deferred module that runs -> its thread.
_running: dict[str, int] = {}


def install() -> None:
    """Add the hook, once; without effect on a PyG that is imported already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Deferred(ModuleType):
    """A module that is registered, with its spec and path, and that runs when a name is missing in it."""

    def __getattr__(self, name: str) -> Any:
        # Read of every module by unittest; and in a circular import, a name that is not defined yet.
        if name != "__warningregistry__" and _running.get(self.__name__) != threading.get_ident():
            _run(self)
            if name in self.__dict__ or "__getattr__" in self.__dict__:
                return self.__dict__[name] if name in self.__dict__ else self.__dict__["__getattr__"](name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        getattr(self, "__all__", ())
        return sorted(self.__dict__)


def _run(module: ModuleType) -> None:
    """Run a deferred module, once; under its own import lock, by which Python sees that threads wait for each other."""
    with contextlib.suppress(_DeadlockError), _ModuleLockManager(module.__name__):
        if type(module) is _Deferred and module.__name__ not in _running:
            _running[module.__name__] = threading.get_ident()
            try:
                module.__spec__.loader.exec_module(module)
            finally:
                del _running[module.__name__]
            module.__class__ = ModuleType


class _Placeholder(ModuleType):
    """Stands for a module during another's import, and gives way to it if an attribute is read."""

    def __getattr__(self, name: str) -> Any:
        _remove(self)
        return getattr(importlib.import_module(self.__name__), name)


def _remove(placeholder: _Placeholder) -> None:
    if sys.modules.get(placeholder.__name__) is placeholder:
        del sys.modules[placeholder.__name__]


class _DeferringLoader(Loader):
    """Makes a module and leaves running it to :class:`_Deferred`."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        module.__class__ = _Deferred


class _PygLoader(_DeferringLoader):
    """Runs PyG with a placeholder for the compiler, then registers its deferred subpackages."""

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        importlib.import_module("torch")
        placeholder = _Placeholder(COMPILER)
        sys.modules.setdefault(COMPILER, placeholder)
        try:
            self.loader.exec_module(module)
        finally:
            _remove(placeholder)
        for name in DEFERRED:
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)


class _Finder(MetaPathFinder):
    """Finds PyG and its deferred subpackages as every other finder does, and exchanges their loaders."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        parent = sys.modules.get(fullname.rpartition(".")[0])
        if type(parent) is _Deferred and _running.get(parent.__name__) != threading.get_ident():
            _run(parent)  # a package runs before its modules
        if fullname != PYG and fullname not in DEFERRED:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = (_PygLoader if fullname == PYG else _DeferringLoader)(spec.loader)
        return spec
