"""Modules of one form, each with weights of its own, run as one: parameters stacked, one ``vmap`` over them.

Called in turn, S modules are S products, S softmaxes and so on, each of them small; together they are one of each. The
modules stay what they were: their parameters are theirs, and so are their names in a checkpoint.

A size that comes often is recorded: from then on, what ran is repeated as a plain list of operations, and the Python
of a convolution, of blocks and of ``vmap`` is not gone through again. Both together save what it costs to *start*
operations, so it pays where these are small, or are launched one by one on a GPU.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._python_dispatch import _get_current_dispatch_mode

from avsgn_pyg.blocks.count import counting
from avsgn_pyg.model.forms import Form, Forms, Shared
from avsgn_pyg.model.recording import record

#: Rows a module below which S of them are quicker together on a CPU; above, each fills core and caches by itself.
CPU_ROWS = 128
#: Calls of one size before it is recorded, which costs as much as some hundred of them.
OFTEN = 16
#: Recordings that are kept, the latest used: train and evaluate, each with its full and its last batch, twice over.
KEPT = 8

Key = tuple[Any, ...]

_always: ContextVar[bool] = ContextVar("always", default=False)


@contextmanager
def at_once(always: bool = True) -> Iterator[None]:
    """Inside, modules that can be run together are, whatever :func:`pays`: to count or time what a GPU would run."""
    token = _always.set(always)
    try:
        yield
    finally:
        _always.reset(token)


def pays(rows: Tensor) -> bool:
    """Whether modules that each read `rows` [*, D] are better run together than in turn."""
    return _always.get() or rows.device.type != "cpu" or rows.shape[:-1].numel() < CPU_ROWS


class Together:
    """Runs modules of one form; holds what it recorded and found of them.

    Args:
        without: a child of theirs that takes no part.
    """

    def __init__(self, without: str) -> None:
        self.without = without
        self.recorded: OrderedDict[Key, Callable | None] = OrderedDict()
        self._forms = Forms(without)
        self._seen: Counter[Key] = Counter()
        self._lock = threading.Lock()

    def shared(self, modules: Sequence[nn.Module]) -> Shared | None:
        """What `modules` have in common, where they can be run as one."""
        return self._forms.shared(modules)

    def __call__(self, module: nn.Module, shared: Shared, *given: Tensor | None) -> Any:
        """``module(*given)`` of each, every answer stacked along a new first axis.

        Args:
            module: one of those that share it; the others differ in their weights alone.
            shared: what they have in common.
            given: tensors stacked along a first axis, one slice a module, or ``None``.
        """
        weights = [torch.stack(kind) for kind in zip(*shared.weights, strict=True)]

        def one(values: list[Tensor], *inputs: Any) -> Any:
            return _shell(module, self.without, iter(values))(*inputs)

        def call(stacked: list[Tensor], *inputs: Tensor | None) -> Any:
            axes = ([0] * len(stacked), *(None if value is None else 0 for value in inputs))
            return vmap(one, in_dims=axes, randomness="different")(stacked, *inputs)

        return self._run(call, shared.form, weights, *given)

    def _run(self, call: Callable, shared: Form, weights: list[Tensor], *given: Tensor | None) -> Any:
        if not _recordable():
            return call(weights, *given)
        key = _key(shared, given)
        with self._lock:
            recording = self.recorded.get(key)
            if key in self.recorded:
                self.recorded.move_to_end(key)
            elif self._often(key):
                recording = self.recorded[key] = record(call, weights, given)
                if len(self.recorded) > KEPT:
                    self._seen.pop(self.recorded.popitem(last=False)[0], None)
        return (recording or call)(weights, *given)

    def _often(self, key: Key) -> bool:
        if len(self._seen) > 8 * KEPT and key not in self._seen:  # sizes that never come back
            self._seen.clear()
        self._seen[key] += 1
        return self._seen[key] >= OFTEN

    # A recording belongs to the process that made it: copies and pickles start without.
    def __deepcopy__(self, memo: dict) -> Together:
        return Together(self.without)

    def __reduce__(self) -> tuple:
        return Together, (self.without,)


def _recordable() -> bool:
    """Nobody else is watching operations or transforming them, and what comes out may be used anywhere."""
    return not (counting() or torch.is_inference_mode_enabled() or torch.compiler.is_compiling()
                or _get_current_dispatch_mode() is not None or torch._C._functorch.peek_interpreter_stack() is not None
                or (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()))


def _key(shared: Form, given: Sequence[Tensor | None]) -> Key:
    """What a recording depends on: the form, the sizes that came, gradients and precision."""
    kinds = tuple(None if value is None else (value.shape, value.dtype, value.device) for value in given)
    device = next(value.device.type for value in given if value is not None)
    lowered = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return shared, kinds, torch.is_grad_enabled(), lowered


def _shell(module: nn.Module, without: str, weights: Iterator[Tensor]) -> nn.Module:
    """A module like `module`, its settings and parts shared or copied, with these weights in the parameters' order.

    The module itself is never touched, so that threads may call it at the same time.
    """
    twin = object.__new__(type(module))
    vars(twin).update(vars(module))
    vars(twin)["_parameters"] = {key: value if value is None else next(weights)
                                 for key, value in module._parameters.items()}
    vars(twin)["_modules"] = {key: part if part is None or key == without else _shell(part, "", weights)
                              for key, part in module._modules.items()}
    return twin
