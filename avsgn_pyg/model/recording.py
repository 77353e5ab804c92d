"""A call on fixed sizes as its plain list of operations, repeated without the Python that led to them.

What is recorded are operations below autograd, which takes them up again when they are repeated. Between them stand
views without end, from ``vmap``, from blocks, from the layers' own reshaping; of a row of these the last one is enough.
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
_TURNS = frozenset({torch.ops.aten.transpose.int, torch.ops.aten.t.default, torch.ops.aten.unsqueeze.default})


def record(call: Call, weights: list[Tensor], given: Given) -> Call | None:
    """`call` as its operations on these sizes, ready for gradients; drawing again wherever it drew.

    ``None`` where a recording loses something (a part under ``no_grad``, a gradient of the layer's own): there the
    answers or gradients of one pass differ, and the call has to stay as it is.

    Args:
        call: ``call(weights, *given)``, a tree of tensors.
        given: tensors, or ``None`` where nothing is given.
    """
    with torch.random.fork_rng(_devices(weights[0])):
        recording = _recorded(call, weights, given)
    learns = torch.is_grad_enabled()
    found, expected = (_outcome(one, weights, given, learns) for one in (recording, call))
    near = all(torch.allclose(one, two, rtol=1e-3, atol=1e-3 * float(two.abs().max()), equal_nan=True)
               for one, two in zip(found, expected, strict=True))
    return recording if near else None


def _recorded(call: Call, weights: list[Tensor], given: Given) -> Call:
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
    tidy(module.graph)
    module.recompile()
    run, form = module.forward, forms[-1]
    return lambda weights, *given: tree_unflatten(run(*weights, *(value for value in given if value is not None)), form)


def tidy(graph: fx.Graph) -> None:
    """Leave out views that another follows, that change nothing, or that were made before; and what nobody reads.

    A graph that writes in place is left as it is: there it may matter who shares whose memory.
    """
    if any(node.target._schema.is_mutable for node in graph.nodes if isinstance(node.target, torch._ops.OpOverload)):
        return
    made: dict[tuple, fx.Node] = {}
    for node in list(graph.nodes):
        if node.target in _VIEWS:
            origin = node.args[0]
            while origin.target in _VIEWS:
                origin = origin.args[0]
            node.target, node.args = _VIEW, (origin, list(node.meta["val"].shape))
        if _is_idle(node):
            node.replace_all_uses_with(node.args[0])
        elif node.target in _TURNS or node.target is _VIEW:
            first = made.setdefault((node.target, str(node.args)), node)
            if first is not node:
                node.replace_all_uses_with(first)
    graph.eliminate_dead_code(lambda node: node.is_impure() or _draws(node))


def _draws(node: fx.Node) -> bool:
    """A number that is drawn and not read still moves the generator on."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _is_idle(node: fx.Node) -> bool:
    """A view or an expansion to the size that is there already; what is handed out stays a tensor of its own."""
    return ((node.target is _VIEW or node.target is torch.ops.aten.expand.default)
            and node.args[0].meta["val"].shape == node.meta["val"].shape
            and all(user.op != "output" for user in node.users))


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
