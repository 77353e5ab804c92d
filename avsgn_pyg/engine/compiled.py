"""AVSGN's forward pass as one compiled program: ``torch.compile`` without a graph break, or an error.

Dynamo cannot read the model itself: a batch is a graph of Python objects, and :mod:`avsgn_pyg.blocks` answers for
tensors that have no storage. So ``make_fx`` traces the forward pass first, in front of autograd. What is left is one
list of ATen operations whose inputs are features, parameters and buffers; the batch's sizes are constants in it.
``torch.compile`` takes that list, and autograd differentiates it.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.engine.losses import TrainingError
from avsgn_pyg.graph.edges import Complete, subgraph_edges
from avsgn_pyg.graph.schema import AUDIO, TEXT, VISUAL
from avsgn_pyg.graph.views import as_batch, node_counts
from avsgn_pyg.model.avsgn import AVSGN

#: Programs that one model may have; each takes a minute to make, so a run that needs more is better off without.
MOST: Final = 8


#: Backend of ``torch.compile``.
BACKEND = "inductor"


class CompileError(TrainingError):
    """The forward pass cannot be compiled as a whole; the model is never run in the compiled program's place."""


class CompiledModel(nn.Module):
    """A model whose forward pass runs compiled; its parameters are the model's own. See :func:`compile_model`."""

    def __init__(self, model: AVSGN) -> None:
        super().__init__()
        self.model, self.run = model, compile_model(model)

    def forward(self, batch: HeteroData | Batch) -> Any:
        """The model's answer."""
        return self.run(batch)


def compile_model(model: AVSGN, *, backend: str | None = None) -> Callable[[HeteroData | Batch], Any]:
    """The model's forward pass, compiled: the same answers, and the same gradients in the model's own parameters.

    Each size of batch is compiled when it first comes, for training and for evaluation apart. Dropout draws fresh
    numbers at every call, though not those that the model itself would draw.

    Args:
        model: on its final device, in its final dtype.
        backend: of ``torch.compile``; :data:`BACKEND` by default.

    Returns:
        From a batch to the model's answer, a ``Localization`` or a ``Parsing``. It raises :class:`CompileError` for
        videos of different length, for subgraphs that are not complete or run along edge lists (``backend=native``,
        ``topk``, ``relations=typed``), for more than :data:`MOST` sizes, and where the compiler fails.
    """
    programs: dict[tuple, Callable[..., Any]] = {}
    backend = backend or BACKEND

    def run(data: HeteroData | Batch) -> Any:
        batch = as_batch(data)
        key = _structure(model, batch)
        if key not in programs and len(programs) == MOST:
            raise CompileError(f"{MOST} sizes of batch are compiled already, and another one came: {key}")
        try:
            if key not in programs:
                programs[key] = _trace(model, batch, backend)
            return programs[key](model, batch)
        except Exception as error:
            raise CompileError(f"the forward pass cannot be compiled (backend={backend!r}): {error}") from error

    return run


def _structure(model: AVSGN, batch: Batch) -> tuple:
    """Everything of a batch and of the model's state that the traced operations depend on, but for the inputs."""
    counts = {name: set(node_counts(batch, name)) for name in (AUDIO, VISUAL, TEXT)}
    if any(len(found) > 1 for found in counts.values()):
        raise CompileError(f"videos must be equally long, got {counts}")
    for name in model.cmgi.layers:
        if not isinstance(subgraph_edges(batch, name, as_list=model.cmgi.as_list), Complete):
            raise CompileError(f"subgraph {name!r} runs along an edge list; compiled are complete subgraphs on blocks")
    inputs = tuple((batch[name].x.shape, batch[name].x.dtype, batch[name].x.device) for name in (AUDIO, VISUAL))
    return (batch.num_graphs, *map(tuple, counts.values()), inputs, model.training, torch.is_grad_enabled(),
            torch.is_autocast_enabled(inputs[0][2].type))


def _trace(model: AVSGN, batch: Batch, backend: str) -> Callable[[AVSGN, Batch], Any]:
    """The program of batches like this one."""
    names, _ = _state(model)
    found: dict[str, Any] = {}

    def forward(audio: Tensor, visual: Tensor, *values: Tensor) -> list[Any]:
        given = copy.copy(batch)
        given[AUDIO].x, given[VISUAL].x = audio, visual
        answer = functional_call(model, dict(zip(names, values, strict=True)), (given,))
        parts = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
        tensors, found["spec"] = pytree.tree_flatten(parts)
        found["kind"] = type(answer)
        return tensors

    graph = make_fx(forward, decomposition_table=_DROPOUT, pre_dispatch=True)(*_inputs(model, batch))
    graph.graph.eliminate_dead_code()  # what was asked of a dtype is answered, and Dynamo refuses the question
    graph.recompile()
    # Inductor's own random numbers cost a CPU more than the rest of a step.
    options = {"fallback_random": True} if backend == "inductor" and batch[AUDIO].x.device.type == "cpu" else None
    code = torch.compile(graph, backend=backend, fullgraph=True, dynamic=False, options=options)

    def program(model: AVSGN, batch: Batch) -> Any:
        return found["kind"](**pytree.tree_unflatten(code(*_inputs(model, batch)), found["spec"]))

    return program


@torch.library.custom_op("avsgn_pyg::kept", mutates_args=(), schema="(Tensor x, float rate, int site) -> Tensor",
                         tags=(torch.Tag.nondeterministic_seeded,))
def _kept(x: Tensor, rate: float, site: int) -> Tensor:
    """What dropout multiplies by, as eager dropout draws it; without `site`, AOTAutograd takes two draws for one."""
    return torch.empty_like(x).bernoulli_(1 - rate).div_(1 - rate)


@_kept.register_fake
def _(x: Tensor, rate: float, site: int) -> Tensor:
    return torch.empty_like(x)


def _dropout(x: Tensor, rate: float, train: bool) -> Tensor:
    """Dropout whose product the compiler can fuse with its neighbours; inductor has a slower form of its own."""
    return x * _kept(x.detach(), rate, next(_SITES)) if train and rate else x


_SITES = itertools.count()
_DROPOUT: Final = {torch.ops.aten.dropout.default: _dropout}


def _state(model: AVSGN) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    return tuple(zip(*model.named_parameters(), *model.named_buffers(), strict=True))


def _inputs(model: AVSGN, batch: Batch) -> tuple[Tensor, ...]:
    return batch[AUDIO].x, batch[VISUAL].x, *_state(model)[1]
