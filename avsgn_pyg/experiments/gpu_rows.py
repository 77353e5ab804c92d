"""Rows on a GPU, wall time: step, epoch and CMGI; the step compiled and as a CUDA graph; the kernels launched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch

from avsgn_pyg.experiments.graph_rows import cmgi_rows
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import clock, interleave, paced, quartiles, ratios
from avsgn_pyg.experiments.training_rows import compile_rows, epoch_rows, step_rows
from avsgn_pyg.experiments.workload import Engine, Workload, ready_batch

GRAPH_LIMIT_MS = 0.5
#: Driver calls that put work on a GPU; a graph's launch is one for all of its kernels.
LAUNCHES = frozenset({"cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx",
                      "cudaGraphLaunch", "cudaMemcpyAsync", "cudaMemsetAsync"})


def gpu_rows(workload: Workload) -> Iterator[Row]:
    """Every row of a GPU, or one that says there is none."""
    if not torch.cuda.is_available():
        yield Row.absent("GPU: every row", "s", "torch sees no CUDA device on this machine")
        return
    yield from step_rows(workload, "cuda")
    yield from epoch_rows(workload, "cuda")
    yield from cmgi_rows(workload, "cuda")
    yield from compile_rows(workload, "cuda")
    yield from _graph_rows(workload)


class GraphedStep:
    """Forward, backward, clipping and fused Adam as one CUDA graph, over a batch that stays in place."""

    def __init__(self, workload: Workload) -> None:
        engine = Engine.of(dataclasses.replace(workload, videos=workload.batch_size), "cuda")
        self.learner, self.clip = engine.learner, engine.recipe.clip_norm
        self.batch = ready_batch(engine.train, workload.batch_size)
        self.optimizer = torch.optim.Adam(self.learner.parameters(), lr=engine.recipe.learning_rate, fused=True,
                                          capturable=True)
        side, self.graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
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
        self.learner(self.batch)[1].backward()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.learner.parameters(), self.clip)
        self.optimizer.step()

    def __call__(self) -> None:
        self.graph.replay()


def _graph_rows(workload: Workload) -> Iterator[Row]:
    read, graphed = clock(torch.device("cuda")), GraphedStep(workload)
    runs: dict[str, Callable[[], object]] = {"graph": graphed, "eager": graphed.eager}
    samples = interleave({name: paced(run, read) for name, run in runs.items()}, workload.rounds, read=read,
                         seed=workload.seed, budget=workload.budget)
    yield Row.over_rounds("GPU: step as a CUDA graph", quartiles(samples["graph"]), "ms", scale=1e3,
                          at_most=GRAPH_LIMIT_MS, note=f"wall; batch {workload.batch_size}; the target is an H200's")
    yield Row.over_rounds("GPU: step / its CUDA graph", ratios(samples, "eager", "graph"), "ratio", note="wall")
    for name, run in runs.items():
        kernels, calls = launches(run)
        yield Row(f"GPU: kernels, {name} step", kernels, "kernels", note=f"{calls} launches and copies asked")


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
