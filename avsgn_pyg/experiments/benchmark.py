"""What training costs: a step beside the hand-written one, an epoch beside its steps, batching, memory.

Features are random and of the data set's shape: what they say does not change what they cost. Every row is
explained in docs/benchmark.md.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch_geometric.data import Batch
from tqdm import tqdm

from avsgn_pyg.experiments.memory import peak_bytes
from avsgn_pyg.experiments.rows import Results, Row, machine_facts
from avsgn_pyg.experiments.timing import Samples, Variant, clock, interleave, quartiles, ratios, threads
from avsgn_pyg.experiments.workload import (
    Engine,
    HandStep,
    Workload,
    random_videos,
    ready_batch,
    trainer_step,
)

Tick = Callable[[], object]

#: CPU seconds of one training step of CMBS's published code. Quoted, not measured by this module.
CMBS_STEP_SECONDS = 1.4
CMBS_NOTE = ("quoted, not re-run: CMBS's published code, batch 64, float32, pooled regions, "
             "on a CPU of the kind that docs/benchmark.md names")
STEP_LIMIT, EPOCH_LIMIT = 1.15, 1.1
MEBIBYTE = 2**20


def measure(workload: Workload, *, progress: bool = False) -> Results:
    """Every row of the benchmark; GPU rows are absent where there is no CUDA device.

    Raises:
        ConfigError: an override that the hand-written step does not know.
    """
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    ticks = len(devices) * (3 * workload.rounds + 2 * workload.epochs) + 4 * workload.rounds + 2
    with threads(workload.threads), tqdm(total=ticks, desc="benchmark", unit="sample", dynamic_ncols=True,
                                         disable=None if progress else True) as bar:
        rows = [*step_rows(workload, "cpu", bar.update), *epoch_rows(workload, "cpu", bar.update),
                *batching_rows(workload, bar.update), *memory_rows(workload, bar.update)]
        if "cuda" in devices:
            rows += [*step_rows(workload, "cuda", bar.update), *epoch_rows(workload, "cuda", bar.update)]
        else:
            rows += [Row("GPU: every row", None, "s", note="torch sees no CUDA device on this machine")]
        return Results(tuple(rows), machine_facts(), dataclasses.asdict(workload))


def step_rows(workload: Workload, device: str, tick: Tick = lambda: None) -> Iterator[Row]:
    """A step on a ready batch: the trainer's, the hand-written one, the trainer's over PyG's edge lists."""
    native = dataclasses.replace(workload, overrides=(*workload.overrides, "model.cmgi.backend=native"))
    variants = {
        "model": Variant(trainer_step(workload, device)),
        "hand": Variant(HandStep(workload, device)),
        "edges": Variant(trainer_step(native, device)),
    }
    samples = _interleave(variants, workload.rounds, workload, device, tick)
    where, what = _where(device), f"batch {workload.batch_size}, forward to Adam"
    yield Row.over_rounds(f"{where}: step / hand-written step", ratios(samples, "model", "hand"), "ratio",
                          at_most=STEP_LIMIT, note=f"{what}; both clip and use fused Adam")
    yield Row.over_rounds(f"{where}: step", quartiles(samples["model"]), "s",
                          at_most=CMBS_STEP_SECONDS / 2 if device == "cpu" else None,
                          note=f"{_seconds(device)}; {what}")
    if device == "cpu":
        yield Row("CPU: CMBS step", CMBS_STEP_SECONDS, "s", note=CMBS_NOTE)
    yield Row.over_rounds(f"{where}: step over edge lists / step", ratios(samples, "edges", "model"), "ratio",
                          note="model.cmgi.backend=native against the default")


def epoch_rows(workload: Workload, device: str, tick: Tick = lambda: None) -> Iterator[Row]:
    """The trainer's whole epoch beside as many of its steps on batches that are ready."""
    engine = Engine.of(workload, device)
    full, rest = divmod(workload.videos, workload.batch_size)
    ready = ready_batch(engine.train, min(workload.batch_size, workload.videos))
    short = ready_batch(engine.train, rest) if rest else None

    def steps() -> None:
        for batch in [ready] * full + ([short] if short is not None else []):
            engine.step(batch)

    def warm() -> None:
        engine.step(ready)

    variants = {"epoch": Variant(engine.epoch, warm=warm), "steps": Variant(steps, warm=warm)}
    samples = _interleave(variants, workload.epochs, workload, device, tick)
    where = _where(device)
    yield Row.over_rounds(f"{where}: epoch / its steps", ratios(samples, "epoch", "steps"), "ratio",
                          at_most=EPOCH_LIMIT, note=f"{workload.videos} videos, {full + bool(rest)} steps")
    yield Row.over_rounds(f"{where}: epoch", quartiles(samples["epoch"]), "s", note=_seconds(device))


def batching_rows(workload: Workload, tick: Tick = lambda: None) -> Iterator[Row]:
    """64 videos as one batch: indexing alone, :meth:`Videos.batch`, and PyG's collation."""
    videos = random_videos(workload)
    generator = torch.Generator().manual_seed(workload.seed)
    draws = itertools.cycle([torch.randperm(workload.videos, generator=generator)[: workload.batch_size]
                             for _ in range(32)])
    graphs = [videos[number] for number in range(min(workload.batch_size, workload.videos))]

    def index() -> list[Tensor]:
        drawn = next(draws)
        return [part[drawn] for part in (videos.audio, videos.visual, videos.category, videos.relevance)]

    variants = {
        "index": Variant(index, calls=200),
        "batch": Variant(lambda: videos.batch(next(draws)), calls=200),
        "collate": Variant(lambda: Batch.from_data_list(graphs), calls=4),
        "build": Variant(lambda: Batch.from_data_list([videos[i] for i in next(draws).tolist()]), calls=4),
    }
    samples = _interleave(variants, workload.rounds, workload, "cpu", tick)
    yield Row.over_rounds("CPU: batching, indexing alone", quartiles(samples["index"]), "ms", scale=1e3,
                          note="audio, visual, category, relevance at a random index")
    yield Row.over_rounds("CPU: batching, Videos.batch / indexing", ratios(samples, "batch", "index"),
                          "ratio", note="the whole HeteroDataBatch, twelve relations included")
    yield Row.over_rounds("CPU: batching, from_data_list / Videos.batch", ratios(samples, "collate", "batch"),
                          "ratio", note="graphs made beforehand")
    yield Row.over_rounds("CPU: batching, build and from_data_list / Videos.batch",
                          ratios(samples, "build", "batch"), "ratio", note="graphs made for every batch")


def memory_rows(workload: Workload, tick: Tick = lambda: None) -> Iterator[Row]:
    """Peak memory of two steps above parameters and inputs, each road in a fresh process; one sample."""
    note = "one sample; peak of the process over what it held before the step; Adam's moments included"
    for name, prepare in (("step", trainer_step), ("hand-written step", HandStep)):
        found = peak_bytes(prepare, workload)
        tick()
        yield Row(f"CPU: peak memory, {name}", None if found is None else found / MEBIBYTE, "MiB",
                  note=note if found is not None else "only Linux tells the peak of a process")


def _interleave(
    variants: dict[str, Variant], rounds: int, workload: Workload, device: str, tick: Tick
) -> Samples:
    return interleave(variants, rounds, read=clock(torch.device(device)), seed=workload.seed, tick=tick)


def _where(device: str) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}[device]


def _seconds(device: str) -> str:
    return {"cpu": "process CPU seconds", "cuda": "wall seconds, synchronised"}[device]
