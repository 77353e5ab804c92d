"""The table of what ``tools/benchmark.py --rows`` measures; docs/benchmark.md explains the rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Batch

from avsgn_pyg.blocks import count_paths
from avsgn_pyg.experiments.benchmark.against import HERE, worker
from avsgn_pyg.experiments.benchmark.dense_step import DenseNetwork, DenseStep
from avsgn_pyg.experiments.benchmark.results import Comparison, Group, Row, rows_of
from avsgn_pyg.experiments.benchmark.single_layers import single_layer_rows
from avsgn_pyg.experiments.benchmark.workload import (
    Engine,
    Workload,
    draw_batches,
    long_pass,
    random_videos,
    trainer_epoch,
    trainer_step,
)
from avsgn_pyg.layers.convs import CONVS

BACKENDS, RECIPE, CMBS = ("blocks", "native"), "avsgn_full.yaml", "baselines/cmbs_full.yaml"
#: Operations that compute nothing, though their schema does not call them views.
FREE = {"_unsafe_view", "detach", "empty", "empty_like", "empty_strided", "is_same_size", "new_empty_strided"}


def step_rows(workload: Workload) -> Iterator[Comparison]:
    """Compare the step with the same network by hand, its two backends, and the default recipe with CMBS."""
    note = f"batch {workload.batch_size}, forward to Adam, defaults of the specification"
    yield Comparison("step", {"hand-written": DenseStep(workload), "trainer": trainer_step(workload)},
                     at_most={"trainer": 1.15}, note=note)
    steps = {backend: trainer_step(workload.but(f"model.cmgi.backend={backend}")) for backend in BACKENDS}
    yield Comparison("step, model.cmgi.backend", steps, note=note)
    steps = {recipe: trainer_step(workload.but(recipe=recipe, overrides=())) for recipe in (CMBS, RECIPE)}
    yield Comparison("step", steps, at_most={RECIPE: 0.3}, note="on the same features")


def operation_rows(workload: Workload) -> Iterator[Row]:
    """Count what would be kernels on a GPU, forward and backward, in the model and in the hand-written network."""
    step = DenseStep(workload)
    batch, parameters = step.engine.first(workload.batch_size), list(step.model.parameters())
    for name, loss in {"model": lambda: step.engine.loss(batch), "hand-written": step.loss}.items():
        loss()  # the batch's edges are cached
        with CountOperations() as count:
            torch.autograd.grad(loss(), parameters)
        yield Row(f"operations, forward and backward: {name}", count.total, "operations", note="ATen without views")


class CountOperations(TorchDispatchMode):
    """Counts the ATen operations that compute something, in `total`."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        self.total += not func.is_view and func._schema.name.removeprefix("aten::") not in FREE
        return func(*args, **(kwargs or {}))


def epoch_rows(workload: Workload) -> Iterator[Comparison]:
    """Compare the trainer's epoch with as many steps on a batch that is ready."""
    step, count = trainer_step(workload), workload.videos // workload.batch_size
    whole = workload.but(videos=count * workload.batch_size)
    yield Comparison("epoch", {"its steps": lambda: [step() for _ in range(count)], "epoch": trainer_epoch(whole)},
                     at_most={"epoch": 1.1}, rounds=workload.epochs, note=f"{count} steps, {whole.videos} videos")


def batching_rows(workload: Workload) -> Iterator[Comparison]:
    """Compare batches by ``Videos.batch``, by indexing alone, and by PyG's collation of graphs that are ready."""
    videos = random_videos(workload)
    index = torch.randperm(len(videos), generator=torch.Generator().manual_seed(workload.seed))[: workload.batch_size]
    graphs, tensors = [videos[number] for number in index.tolist()], (videos.audio, videos.visual, videos.relevance)
    yield Comparison("batching", {
        "from_data_list": lambda: Batch.from_data_list(graphs),
        "Videos.batch": draw_batches(workload),
        "indexing alone": lambda: [tensor[index] for tensor in tensors],
    }, at_most={"Videos.batch": 0.025}, note=f"a HeteroDataBatch of {workload.batch_size} videos")


def cmgi_rows(workload: Workload) -> Iterator[Comparison]:
    """Compare Eq. 7-8, forward and backward, on both backends with the hand-written form."""
    for videos, segments in workload.sizes:
        sized = workload.but(batch_size=videos, segments=segments)
        forms = ("hand-written", *BACKENDS)
        yield Comparison(f"CMGI B={videos} T={segments}", {form: cmgi_pass(sized, form) for form in forms})


def layer_rows(workload: Workload) -> Iterator[Comparison]:
    """Compare CMGI, forward and backward, on both backends with every convolution of the table."""
    for name in CONVS:
        runs = {form: cmgi_pass(workload.but(f"model.cmgi.conv={name}"), form) for form in BACKENDS}
        with count_paths() as paths:
            runs["blocks"]()
        ran = ", ".join(f"{kind} {sum(getattr(paths, kind).values())}" for kind in ("matmul", "broadcast", "fallback"))
        yield Comparison(f"CMGI conv={name}", runs, rounds=min(workload.rounds, 5), note=f"blocks run as {ran}")


def cmgi_pass(workload: Workload, form: str) -> Callable[[], tuple[torch.Tensor, ...]]:
    """Return a function for the gradients of Eq. 7-8, ``hand-written`` or by the model on one of the backends."""
    backend = "auto" if form == "hand-written" else form
    engine = Engine.of(workload.but(f"model.cmgi.backend={backend}", videos=workload.batch_size))
    model, batch, config = engine.parts.model, engine.first(workload.batch_size), engine.config.model
    shape = (3, workload.batch_size, workload.segments, config.dim)
    streams, upstream = (torch.randn(shape, device=workload.device) for _ in range(2))
    leaves = [streams.requires_grad_(), *model.cmgi.parameters()]
    network = DenseNetwork(dict(model.named_parameters()), config) if form == "hand-written" else None
    with torch.no_grad():
        aligned = model.align(batch)

    def run() -> tuple[torch.Tensor, ...]:
        if network is not None:
            outputs = network.interact(*streams)
        else:
            given = aligned._replace(streams=type(aligned.streams)(*streams))
            outputs = model.interacted(model.interact(given, batch), batch)[:2]
        return torch.autograd.grad(outputs, leaves, tuple(upstream[:2]), allow_unused=True)

    return run


def window_rows(workload: Workload) -> Iterator[Comparison | Row]:
    """Measure the whole network on one long video, forward and backward, with ``topology=window``: time and memory."""
    shortest, *longer = workload.long
    # Time grows at most as T^1.1, which short videos, mostly overhead, cannot show.
    yield Comparison("window", {f"T={length}": long_pass(workload.but(segments=length)) for length in workload.long},
                     at_most={f"T={length}": (length / shortest) ** 1.1 for length in longer if length >= 3600})
    for length in workload.long if workload.memory else ():
        with worker(HERE, "long_pass", dataclasses.asdict(workload.but(segments=length))) as (peak, _):
            yield Row(f"window: peak memory, T={length}", peak, "MiB", at_most=3072.0,
                      note="one pass in a separate process, beyond parameters and input")


def gpu_rows(workload: Workload) -> Iterator[Row]:
    """Measure rows of other groups on a GPU, by wall time."""
    if not torch.cuda.is_available():
        yield Row("GPU: every row", None, "ms", note="torch found no CUDA device on this machine")
        return
    for group in (step_rows, epoch_rows, cmgi_rows):
        for row in rows_of(group, workload.but(device="cuda")):
            yield dataclasses.replace(row, name=f"GPU {row.name}")


#: In the order in which they are measured.
GROUPS: dict[str, Group] = {
    "step": step_rows, "operations": operation_rows, "epoch": epoch_rows, "batching": batching_rows, "cmgi": cmgi_rows,
    "layers": layer_rows, "window": window_rows, "gpu": gpu_rows, "blocks": single_layer_rows,
}
