"""Modules of one form, each with weights of its own, run as one: parameters stacked, one ``vmap`` over them.

Called in turn, S modules are S products, S softmaxes and so on, each of them small; together they are one of each. The
modules stay what they were: their parameters are theirs, and so are their names in a checkpoint.

A size that comes often is recorded: from then on, what ran is repeated as a plain list of operations, and the Python
of a convolution, of blocks and of ``vmap`` is not gone through again. Both together save what it costs to *start*
operations, so it pays where these are small, or are launched one by one on a GPU.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import _get_current_dispatch_mode

from avsgn_pyg.blocks.count import counting

#: Rows a module below which S of them are quicker together on a CPU; above, each fills core and caches by itself.
CPU_ROWS = 128
#: Calls of one size before it is recorded, which costs as much as some hundred of them.
OFTEN = 16
#: Recordings that are kept, the latest used: train and evaluate, each with its full and its last batch, twice over.
KEPT = 8

Form = tuple[Any, ...]


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


def form(module: nn.Module, without: str) -> Form | None:
    """What two modules must share to be run as one: kinds, sizes and every plain setting of all their parts.

    ``None`` where a module can only run by itself: somebody listens inside (a hook would be handed all of them at
    once), or it keeps statistics (which could not be written from within).

    Args:
        without: a child that takes no part.
    """
    found: list[Any] = []
    for name, part in module.named_modules():
        if name.startswith(without):
            continue
        if (part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
                or part._buffers):
            return None
        found.append(type(part))
        found += [value for value in vars(part).values() if type(value) in _PLAIN]
        found += [(key, value.shape, value.dtype) for key, value in part._parameters.items() if value is not None]
    return tuple(found)


_PLAIN = frozenset({bool, int, float, str, type(None)})


class Together:
    """Runs modules of one :func:`form`; holds what it recorded, and no module.

    Args:
        without: a child of theirs that takes no part.
    """

    def __init__(self, without: str) -> None:
        self.without = without
        self.recorded: OrderedDict[Form, Callable] = OrderedDict()
        self._seen: Counter[Form] = Counter()

    def __call__(self, modules: Sequence[nn.Module], shared: Form, *given: Tensor | None) -> Any:
        """``module(*given)`` of each, every answer stacked along a new first axis.

        Args:
            shared: their form.
            given: tensors stacked along a first axis, one slice a module, or ``None``.
        """
        own = [{name: value for name, value in module.named_parameters() if not name.startswith(self.without)}
               for module in modules]
        names = list(own[0])
        weights = [torch.stack(kind) for kind in zip(*(part.values() for part in own), strict=True)]
        axes = ([0] * len(weights), *(None if value is None else 0 for value in given))

        def one(values: list[Tensor], *inputs: Any) -> Any:
            return functional_call(modules[0], dict(zip(names, values, strict=True)), inputs)

        return self._run(vmap(one, in_dims=axes, randomness="different"), shared, weights, *given)

    def _run(self, call: Callable, shared: Form, weights: list[Tensor], *given: Tensor | None) -> Any:
        if not _recordable():
            return call(weights, *given)
        key = _key(shared, given)
        if key not in self.recorded:
            if len(self._seen) > 8 * KEPT and key not in self._seen:  # sizes that never come back
                self._seen.clear()
            self._seen[key] += 1
            if self._seen[key] < OFTEN:
                return call(weights, *given)
            self._keep(key, _record(call, weights, given))
        self.recorded.move_to_end(key)
        return self.recorded[key](weights, *given)

    def _keep(self, key: Form, recording: Callable) -> None:
        self.recorded[key] = recording
        if len(self.recorded) > KEPT:
            self._seen.pop(self.recorded.popitem(last=False)[0], None)

    # A recording belongs to the process that made it: copies and pickles start without.
    def __deepcopy__(self, memo: dict) -> Together:
        return Together(self.without)

    def __reduce__(self) -> tuple:
        return Together, (self.without,)


def _recordable() -> bool:
    """Nobody else is watching operations or transforming them, and what comes out may be used anywhere."""
    return not (counting() or torch.is_inference_mode_enabled() or torch.compiler.is_compiling()
                or _get_current_dispatch_mode() is not None or torch._C._functorch.peek_interpreter_stack() is not None)


def _key(shared: Form, given: Sequence[Tensor | None]) -> Form:
    """What a recording depends on: the form, the sizes that came, gradients and precision."""
    kinds = tuple(None if value is None else (value.shape, value.dtype, value.device) for value in given)
    device = next(value.device.type for value in given if value is not None)
    lowered = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return shared, kinds, torch.is_grad_enabled(), lowered


def _record(call: Callable, weights: list[Tensor], given: Sequence[Tensor | None]) -> Callable:
    """`call` as its operations on these sizes, ready for gradients; drawing again wherever it drew."""
    values = [None if value is None else value.detach() for value in given]
    with torch.random.fork_rng(_devices(weights[0])):
        return make_fx(call)([weight.detach() for weight in weights], *values).forward


def _devices(weight: Tensor) -> list[torch.device]:
    return [weight.device] if weight.device.type == "cuda" else []
