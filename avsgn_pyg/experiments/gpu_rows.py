"""Rows on a GPU: wall time and launches of the step eager, compiled, as a CUDA graph, for seeds together; memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import torch

from avsgn_pyg.experiments.cmgi_roads import Case, forward_backward
from avsgn_pyg.experiments.gpu import GraphedStep, SeedsTogether, compiled_pass, launches
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import clock, interleave, paced, quartiles, ratios
from avsgn_pyg.experiments.training_rows import epoch_rows, step_rows
from avsgn_pyg.experiments.workload import Workload, trainer_step

GRAPH_LIMIT_MS, SCHEDULE_LIMIT_S, EPOCHS, SEEDS = 0.5, 6.0, 200, 8
WALL = "wall, synchronised"
MEBIBYTE = 2**20


def gpu_rows(workload: Workload) -> Iterator[Row]:
    """Every row of a GPU, or one that says there is none."""
    if not torch.cuda.is_available():
        yield Row.absent("GPU: every row", "s", "torch sees no CUDA device on this machine")
        return
    yield from step_rows(workload, "cuda")
    yield from epoch_rows(workload, "cuda")
    for precision in ("highest", "high"):
        yield from _at(precision, partial(_graph_rows, workload, precision))
    yield from _compiled_rows(workload)
    yield from _seed_rows(workload)
    yield from _road_rows(workload)


def _at(precision: str, rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """Rows made under a precision of float32 products: ``highest`` is float32, ``high`` TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield from list(rows())
    finally:
        torch.set_float32_matmul_precision(before)


def _graph_rows(workload: Workload, precision: str) -> Iterator[Row]:
    read, kind = clock(torch.device("cuda")), {"highest": "float32", "high": "TF32"}[precision]
    graphed, trainer = GraphedStep(workload), trainer_step(workload, "cuda")
    runs = {"graph": graphed, "eager": graphed.eager, "trainer": trainer}
    samples = interleave({name: paced(run, read) for name, run in runs.items()}, workload.rounds, read=read,
                         seed=workload.seed, budget=workload.budget)
    yield Row.over_rounds(f"GPU, {kind}: step as a CUDA graph", quartiles(samples["graph"]), "ms", scale=1e3,
                          at_most=GRAPH_LIMIT_MS, note=f"{WALL}; batch {workload.batch_size}; the target is an H200's")
    for name in ("eager", "trainer"):
        yield Row.over_rounds(f"GPU, {kind}: {name} step / graph", ratios(samples, name, "graph"), "ratio", note=WALL)
    epoch = interleave({"epoch": paced(graphed.epoch, read)}, max(workload.epochs, 3), read=read)["epoch"]
    yield Row.over_rounds(f"GPU, {kind}: {EPOCHS} epochs of graphed steps", quartiles(epoch), "s", scale=EPOCHS,
                          at_most=SCHEDULE_LIMIT_S, note=f"{EPOCHS} times one epoch's time; drawing and indexing "
                                                         f"included; last short batch, evaluation and files are not")
    for name, run in runs.items():
        kernels, calls = launches(run)
        yield Row(f"GPU, {kind}: kernels, {name} step", kernels, "kernels", note=f"{calls} launches and copies asked")


def _compiled_rows(workload: Workload) -> Iterator[Row]:
    read = clock(torch.device("cuda"))
    eager, compiled = compiled_pass(workload, "cuda")
    samples = interleave({"eager": paced(eager, read), "compiled": paced(compiled, read)}, workload.rounds, read=read,
                         seed=workload.seed, budget=workload.budget)
    yield Row.over_rounds("GPU: forward and backward compiled / as recorded", ratios(samples, "compiled", "eager"),
                          "ratio", note=f"{WALL}; inductor on the recorded pass")
    kernels, calls = launches(compiled)
    yield Row("GPU: kernels, compiled forward and backward", kernels, "kernels", at_most=100.0,
              note=f"{calls} launches and copies asked")


def _seed_rows(workload: Workload) -> Iterator[Row]:
    read, small = clock(torch.device("cuda")), dataclasses.replace(workload, videos=workload.batch_size)
    together, graphed = SeedsTogether(small, SEEDS, "cuda"), GraphedStep(small)

    def in_turn() -> None:
        for _ in range(SEEDS):
            graphed()

    runs = {"together": together, "in turn": in_turn}
    samples = interleave({name: paced(run, read) for name, run in runs.items()}, workload.rounds, read=read,
                         seed=workload.seed, budget=workload.budget)
    yield Row.over_rounds(f"GPU: {SEEDS} seeds by vmap / {SEEDS} graphed steps", ratios(samples, "together", "in turn"),
                          "ratio", note=f"{WALL}; above 1 the CUDA graph alone is the better way")


def _road_rows(workload: Workload) -> Iterator[Row]:
    """CMGI by road: time over the hand-stacked form, kernels, and the allocator's peak."""
    read, dim = clock(torch.device("cuda")), workload.config("cuda").model.dim
    for videos, segments in ((1, 10), (64, 10), (64, 60), (1, 300), (1, 1000)):
        case = Case(videos, segments, dim, device="cuda")
        roads = [road for road in ("stacked", "blocks", "native", "gather")
                 if case.on(road).bytes() < 0.5 * torch.cuda.mem_get_info()[0]]
        runs = {road: forward_backward(case.on(road)) for road in roads}
        samples = interleave({road: paced(run, read) for road, run in runs.items()}, workload.rounds, read=read,
                             seed=workload.seed, budget=workload.budget)
        for road, run in runs.items():
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            kernels, _ = launches(run)
            peak = (torch.cuda.max_memory_allocated() - before) / MEBIBYTE
            yield Row.over_rounds(f"GPU: CMGI B={videos} T={segments}: {road} / hand-stacked",
                                  ratios(samples, road, "stacked"), "ratio",
                                  note=f"{WALL}; {kernels} kernels; peak {peak:.0f} MiB over its inputs")
