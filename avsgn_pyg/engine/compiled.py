"""AVSGN's forward pass as one compiled program: ``torch.compile`` without a graph break, or an error.

Dynamo cannot trace the model itself: a batch holds Python objects, and :mod:`avsgn_pyg.blocks` uses tensors without
storage. So ``make_fx`` first traces the forward pass into one graph of ATen operations whose inputs are features,
parameters and buffers. ``torch.compile`` compiles this graph, and autograd differentiates the result.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.common.errors import TrainingError
from avsgn_pyg.graph.edges import Complete, subgraph_edges
from avsgn_pyg.graph.schema import AUDIO, TEXT, VISUAL
from avsgn_pyg.graph.views import as_batch, node_counts

#: Most programs of one model. Each takes about a minute to compile, so a run that needs more should not compile.
MOST: Final = 8
#: Backend of ``torch.compile``.
BACKEND = "inductor"


class CompileError(TrainingError):
    """The forward pass cannot be compiled as a whole; there is no fallback to the uncompiled model."""


class CompiledModel(nn.Module):
    """A model whose forward pass runs compiled: the same outputs, and the same gradients in the model's own parameters.

    Each batch size is compiled when it first occurs, separately for training and evaluation. Dropout draws fresh
    numbers at every call, but not those that the model itself would draw. Forward hooks are not run.

    Args:
        model: an :class:`~avsgn_pyg.model.avsgn.AVSGN`, on its final device, in its final dtype.
        backend: of ``torch.compile``; :data:`BACKEND` by default.
    """

    def __init__(self, model: nn.Module, backend: str | None = None) -> None:
        super().__init__()
        self.model, self.backend = model, backend or BACKEND
        self.programs: dict[tuple, Callable[..., Any]] = {}

    def forward(self, data: HeteroData | Batch) -> Any:
        """Return the model's output, such as a ``Localization``.

        Raises:
            CompileError: for videos of different length, for subgraphs that are not complete or run along edge lists
                (``backend=native``, ``topk``, ``relations=typed``), for more than :data:`MOST` sizes, and where the
                compiler fails.
        """
        batch = as_batch(data)
        key = _structure(self.model, batch)
        if key not in self.programs and len(self.programs) == MOST:
            raise CompileError(f"expected at most {MOST} batch sizes, which are all compiled; got another: {key}")
        try:
            if key not in self.programs:
                self.programs[key] = _trace(self.model, batch, self.backend)
            return self.programs[key](self.model, batch)
        except (torch.OutOfMemoryError, ValueError):
            raise
        except Exception as error:
            raise CompileError(f"the compiled forward pass failed (backend={self.backend!r}): {error}") from error


def _structure(model: nn.Module, batch: Batch) -> tuple:
    """Everything besides the inputs on which the traced operations depend."""
    counts = {name: set(node_counts(batch, name)) for name in (AUDIO, VISUAL, TEXT)}
    if any(len(found) > 1 for found in counts.values()):
        raise CompileError(f"videos must be equally long, got {counts}")
    for name in model.cmgi.layers:
        if not isinstance(subgraph_edges(batch, name, as_list=model.cmgi.as_list), Complete):
            raise CompileError(f"expected complete subgraphs on blocks, got subgraph {name!r} along an edge list")
    inputs = tuple((batch[name].x.shape, batch[name].x.dtype, batch[name].x.device) for name in (AUDIO, VISUAL))
    modes = tuple((module.training, getattr(module, "p", None)) for module in model.modules())
    return (batch.num_graphs, *map(tuple, counts.values()), inputs, modes, torch.is_grad_enabled(),
            torch.is_autocast_enabled(inputs[0][2].type))


def _trace(model: nn.Module, batch: Batch, backend: str) -> Callable[[nn.Module, Batch], Any]:
    """Compile the program of batches like this one."""
    names = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
    found: dict[str, Any] = {}

    def forward(audio: Tensor, visual: Tensor, *values: Tensor) -> list[Any]:
        given = copy.copy(batch)
        given[AUDIO].x, given[VISUAL].x = audio, visual
        output = functional_call(model, dict(zip(names, values, strict=True)), (given,))
        parts = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
        tensors, found["spec"] = pytree.tree_flatten(parts)
        found["kind"] = type(output)
        return tensors

    # Tracing runs the model once, which must change neither its buffers nor the random state.
    buffers, device = {id(buffer) for buffer in model.buffers()}, batch[AUDIO].x.device
    inputs = [value.clone() if id(value) in buffers else value for value in _inputs(model, batch)]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        graph = make_fx(forward, pre_dispatch=True)(*inputs)
    graph.graph.eliminate_dead_code()  # dtype queries are constants by now, and Dynamo rejects the unused calls
    graph.recompile()
    # Dropout by torch's kernel: inductor's own random numbers cost a CPU more than the rest of a step.
    options = {"fallback_random": True} if backend == "inductor" and device.type == "cpu" else None
    code = torch.compile(graph, backend=backend, fullgraph=True, dynamic=False, options=options)

    def program(model: nn.Module, batch: Batch) -> Any:
        return found["kind"](**pytree.tree_unflatten(code(*_inputs(model, batch)), found["spec"]))

    return program


def _inputs(model: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
    return batch[AUDIO].x, batch[VISUAL].x, *model.parameters(), *model.buffers()
