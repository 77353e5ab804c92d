"""The step on a GPU: as a CUDA graph, compiled, for several seeds at once; and the kernels it launches.

Nothing here is used without CUDA, but for :class:`SeedsTogether`, which runs anywhere.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam
from torch_geometric.data import Batch

from avsgn_pyg.data.videos import Videos
from avsgn_pyg.experiments.operations import record_pass
from avsgn_pyg.experiments.workload import Engine, Workload, dense_inputs, ready_batch

#: Driver calls that put work on a GPU; a graph's launch is one for all of its kernels.
LAUNCHES = frozenset({"cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx",
                      "cudaGraphLaunch", "cudaMemcpyAsync", "cudaMemsetAsync"})


class GraphedStep:
    """A whole step (forward, backward, clipping, fused Adam) as one CUDA graph over a batch that stays in place.

    Args:
        workload: sizes.
        device: a CUDA device.
    """

    def __init__(self, workload: Workload, device: str = "cuda") -> None:
        engine = Engine.of(workload, device)
        self.videos: Videos = engine.train
        self.batch = ready_batch(self.videos, workload.batch_size)
        # Owned by the graph: a batch's structure may be shared with others, its features are copied over.
        self.loss, self.inputs = dense_inputs(engine, self.batch)
        self.inputs = tuple(value.clone() for value in self.inputs)
        self.clip, self.parameters = engine.recipe.clip_norm, list(self.loss.parameters())
        self.optimizer = Adam(self.parameters, lr=engine.recipe.learning_rate, fused=True, capturable=True)
        self.graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.eager()
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.graph):
            self.eager()

    def eager(self) -> None:
        """The same step, launched operation by operation."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(*self.inputs).backward()
        if self.clip is not None:
            clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()

    def __call__(self, index: Tensor | None = None) -> None:
        """One step on the batch that is there, or on the videos at `index` (as many), on the same device."""
        if index is not None:
            sources = (self.videos.audio, self.videos.visual, self.videos.category, self.videos.relevance)
            for held, source in zip(self.inputs, sources, strict=True):
                torch.index_select(source, 0, index, out=held)
        self.graph.replay()

    def epoch(self) -> None:
        """An epoch in a fresh order, on the device from its draws to its steps; a short last batch is left out."""
        size = len(self.inputs[0])
        order = torch.randperm(len(self.videos), device=self.inputs[0].device)
        for index in order.split(size)[: len(self.videos) // size]:
            self(index)


class SeedsTogether:
    """Several seeds of one network as one step: stacked parameters, `vmap` over them, one fused Adam.

    Every seed sees the same batch, with dropout of its own, and clips by its own norm.
    """

    def __init__(self, workload: Workload, seeds: int, device: str = "cpu") -> None:
        engines = [Engine.of(dataclasses.replace(workload, seed=workload.seed + number), device)
                   for number in range(seeds)]
        self.clip, recipe = engines[0].recipe.clip_norm, engines[0].recipe
        batch: Batch = ready_batch(engines[0].train, workload.batch_size)
        losses = [dense_inputs(engine, batch)[0] for engine in engines]
        self.inputs = dense_inputs(engines[0], batch)[1]
        self.parameters, self.buffers = stack_module_state(losses)
        self.base = copy.deepcopy(losses[0])
        self.optimizer = Adam(self.parameters.values(), lr=recipe.learning_rate, fused=True)

    def losses(self) -> Tensor:
        """The total of every seed."""
        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            return functional_call(self.base, (parameters, buffers), self.inputs)

        return vmap(one, randomness="different")(self.parameters, self.buffers)

    def __call__(self) -> None:
        self.losses().sum().backward()
        if self.clip is not None:
            self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def _clip(self) -> None:
        gradients = [value.grad for value in self.parameters.values()]
        norm = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
        scale = (self.clip / (norm + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))


def compiled_pass(workload: Workload, device: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Forward and backward on a ready batch: as recorded, and the same record compiled. No step is taken."""
    engine = Engine.of(dataclasses.replace(workload, videos=workload.batch_size), device)
    record, values = record_pass(*dense_inputs(engine, ready_batch(engine.train, workload.batch_size)))
    compiled = torch.compile(record)

    @torch.no_grad()
    def eager() -> Any:
        return record(*values)

    @torch.no_grad()
    def fast() -> Any:
        return compiled(*values)

    return eager, fast


def launches(run: Callable[[], object]) -> tuple[int, int]:
    """Kernels that one call of `run` executes on the GPU (copies and fills too), and calls of the driver for them."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        run()
        torch.cuda.synchronize()
    events = seen.events()
    kernels = sum(event.device_type == DeviceType.CUDA for event in events)
    return kernels, sum(event.name in LAUNCHES for event in events)
