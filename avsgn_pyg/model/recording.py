"""A call on fixed sizes as its plain list of operations, repeated without the Python that led to them.

What is recorded are operations below autograd, which takes them up again when they are repeated. Between them stand
views without end, from ``vmap``, from blocks, from the layers' own reshaping; of a row of these one is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

Given = Sequence[Tensor | None]
Call = Callable[..., Any]

_VIEW = torch.ops.aten.view.default
_VIEWS = frozenset({_VIEW, torch.ops.aten._unsafe_view.default})
_TIDIED = _VIEWS | {torch.ops.aten.expand.default}


def record(call: Call, weights: list[Tensor], given: Given) -> Call | None:
    """`call` as its operations on these sizes, ready for gradients; drawing again wherever it drew.

    It is tidied where that changes no bit: a gradient is a sum over all who read a tensor, and with fewer views its
    order may be another. A run that was stopped, and records later, must come to the same weights.

    ``None`` where a recording loses something (a part under ``no_grad``, a gradient of the layer's own): there the
    answers or gradients of one pass differ, and the call has to stay as it is.

    Args:
        call: ``call(weights, *given)``, a tree of tensors.
        given: tensors, or ``None`` where nothing is given.
    """
    learns = torch.is_grad_enabled()
    expected = _outcome(call, weights, given, learns)
    for neat, agree in ((True, _equal), (False, _near)):
        with torch.random.fork_rng(_devices(weights[0])):
            recording = _recorded(call, weights, given, neat)
        if agree(_outcome(recording, weights, given, learns), expected):
            return recording
    return None


def _equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(torch.allclose(one, two, rtol=0, atol=0, equal_nan=True)
               for one, two in zip(found, expected, strict=True))


def _near(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Equal but for the order of sums. A gradient that was lost is another number altogether."""
    sizes = [_size(one) for one in expected]
    for one, two, size in zip(found, expected, sizes, strict=True):
        kinds = [two.dtype, *[torch.get_autocast_dtype(two.device.type)] * torch.is_autocast_enabled(two.device.type)]
        eps = max(torch.finfo(kind).eps for kind in kinds)
        near = max(1e-3, 2 * eps)  # and what is 0 but for rounding, as a gradient may be, is so beside the largest
        if not torch.allclose(one, two, rtol=near, atol=near * size + 4 * eps * max(sizes), equal_nan=True):
            return False
    return True


def _size(values: Tensor) -> float:
    return float(values.nan_to_num(0, 0, 0).abs().max()) if values.numel() else 0.0


def _recorded(call: Call, weights: list[Tensor], given: Given, neat: bool) -> Call:
    count, present = len(weights), [value is not None for value in given]
    forms = []

    def flat(*tensors: Tensor) -> list[Any]:
        rest = iter(tensors[count:])
        leaves, form = tree_flatten(call(list(tensors[:count]), *(next(rest) if here else None for here in present)))
        forms.append(form)
        return leaves

    tensors = [value.detach() for value in (*weights, *given) if value is not None]
    module = make_fx(flat)(*tensors)
    module.graph.set_codegen(fx.graph.CodeGen())  # tensors in, tensors out: no tree to be taken apart at every call
    if neat:
        tidy(module.graph)
    module.recompile()
    run, form = module.forward, forms[-1]
    return lambda weights, *given: tree_unflatten(run(*weights, *(value for value in given if value is not None)), form)


def tidy(graph: fx.Graph) -> None:
    """Leave out views that another follows, or that change nothing; and what nobody reads.

    Who reads a tensor, and in which order, stays as it is wherever more than two do: a gradient is their sum. Where
    something is written into memory that others may see, the graph is left as it is.
    """
    if not all(_writes_its_own(node) for node in graph.nodes):
        return
    graph.eliminate_dead_code(lambda node: node.is_impure() or _draws(node))
    for node in list(graph.nodes):
        if node.target not in _TIDIED or _is_answer(node):  # what is handed out stays a tensor of its own
            continue
        origin = node.args[0]
        if node.target in _VIEWS and origin.target in _VIEWS and len(origin.users) == 1:
            origin.target, origin.args = _VIEW, (origin.args[0], list(node.meta["val"].shape))
            origin.meta["val"] = node.meta["val"]
            node.replace_all_uses_with(origin)
            graph.erase_node(node)
            node = origin
        _leave_out(node)


def _leave_out(node: fx.Node) -> None:
    """A view of the size that is there already, where its readers may as well read what it sees."""
    origin = node.args[0]
    idle = origin.meta["val"].shape == node.meta["val"].shape
    if idle and (len(origin.users) == 1 or (len(origin.users) == 2 and len(node.users) == 1)):
        node.replace_all_uses_with(origin)
        node.graph.erase_node(node)


def _writes_its_own(node: fx.Node) -> bool:
    """It writes nothing, or into a tensor that was just made and that nobody else reads."""
    if not (isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable):
        return True
    written = [one for one, kind in zip(node.args, node.target._schema.arguments, strict=False) if kind.is_write]
    return node.args[:1] == tuple(written) and len(written[0].users) == 1 and (
        isinstance(written[0].target, torch._ops.OpOverload) and not written[0].target.is_view)


def _draws(node: fx.Node) -> bool:
    """A number that is drawn and not read still moves the generator on."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _is_answer(node: fx.Node) -> bool:
    return any(user.op == "output" for user in node.users)


def _outcome(call: Call, weights: list[Tensor], given: Given, learns: bool) -> list[Tensor]:
    """Answers of a call on copies, and the gradients of their mean squares, random numbers drawn alike."""
    leaves = [weight.detach().clone().requires_grad_(learns) for weight in weights]
    inputs = [None if value is None else value.detach().clone().requires_grad_(learns) for value in given]
    with torch.random.fork_rng(_devices(weights[0])):
        answers = [answer for answer in tree_leaves(call(leaves, *inputs)) if answer.is_floating_point()]
    if not learns:
        return answers
    loss = torch.stack([answer.square().mean() for answer in answers if answer.requires_grad]).sum()
    wanted = [leaf for leaf in (*leaves, *inputs) if leaf is not None]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [*(answer.detach() for answer in answers), *(torch.zeros(()) if one is None else one for one in found)]


def _devices(weight: Tensor) -> list[torch.device]:
    return [weight.device] if weight.device.type == "cuda" else []
