"""Rows on training: a step beside other steps, compiled, in operations; an epoch; batches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import torch
from torch_geometric.data import Batch

from avsgn_pyg.engine.compiled import CompiledModel
from avsgn_pyg.experiments.cmbs_step import CMBSStep
from avsgn_pyg.experiments.dense_step import HandStep
from avsgn_pyg.experiments.operations import compiled_kernels, count_operations
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import Samples, Variant, clock, interleave, paced, quartiles, ratios
from avsgn_pyg.experiments.workload import RECIPE, Engine, Workload, random_videos, ready_batch, trainer_step

STEP_LIMIT, CMBS_LIMIT, EPOCH_LIMIT, COLLATE_LEAST = 1.15, 0.3, 1.1, 40.0


def step_rows(workload: Workload, device: str = "cpu") -> Iterator[Row]:
    """The specified network's step beside two others of the same network; the default recipe's beside CMBS's."""
    variants = {
        "model": trainer_step(workload, device),
        "hand": HandStep(workload, device),
        "native": trainer_step(workload.but("model.cmgi.backend=native"), device),
        "recipe": trainer_step(recipe(workload), device),
        "cmbs": CMBSStep(workload, device),
    }
    samples = _interleave(variants, workload, device)
    where, what = _where(device), f"batch {workload.batch_size}, forward to Adam"
    yield Row.over_rounds(f"{where}: step", quartiles(samples["model"]), "s",
                          note=f"{_seconds(device)}; {what}; defaults of the specification")
    yield Row.over_rounds(f"{where}: step / hand-written step", ratios(samples, "model", "hand"), "ratio",
                          at_most=STEP_LIMIT, note=f"{what}; both clip and use fused Adam")
    yield Row.over_rounds(f"{where}: step along edge lists / step", ratios(samples, "native", "model"), "ratio",
                          note="model.cmgi.backend=native / blocks")
    yield Row.over_rounds(f"{where}: step of the default recipe", quartiles(samples["recipe"]), "s",
                          note=f"{_seconds(device)}; {RECIPE.name}")
    yield Row.over_rounds(f"{where}: step of the default recipe / step of CMBS's shape",
                          ratios(samples, "recipe", "cmbs"), "ratio", at_most=CMBS_LIMIT,
                          note="audio 128 and pooled visual 512 wide; experiments/cmbs_step.py says what it is")


def recipe(workload: Workload) -> Workload:
    """The same data under the default recipe; the workload's own settings stay with the specified network."""
    return dataclasses.replace(workload, recipe=RECIPE, overrides=())


def compile_rows(workload: Workload, device: str = "cpu") -> Iterator[Row]:
    """The default recipe's step with its model compiled over the same step; its time to compile; its kernels."""
    where = _where(device)
    name = f"{where}: step of the default recipe, compiled / eager"
    if not workload.compile:
        yield Row.absent(name, "ratio", "not asked for: --compile")
        return
    small = dataclasses.replace(recipe(workload), videos=workload.batch_size)
    eager, engine = Engine.of(small, device), Engine.of(small, device)
    engine.learner.model = CompiledModel(engine.parts.model)
    batch, read = ready_batch(eager.train, workload.batch_size), clock(torch.device(device))
    start = read()
    fused, library = compiled_kernels(lambda: engine.step(batch))
    seconds = read() - start
    runs = {"eager": lambda: eager.step(batch), "compiled": lambda: engine.step(batch)}
    samples = _interleave(runs, workload, device)
    yield Row.over_rounds(name, ratios(samples, "compiled", "eager"), "ratio",
                          note="the model by inductor; objective, clipping and optimizer as ever")
    yield Row(f"{where}: first compiled step", seconds, "s", note="inductor; its C++ compiler's time left out")
    yield Row(f"{where}: kernels of the compiled model", fused + library, "kernels",
              note=f"{fused} fused, {library} calls of libraries; forward and backward")


def operation_rows(workload: Workload) -> Iterator[Row]:
    """Operations that compute something in forward and backward, of the model and written by hand."""
    engine = Engine.of(dataclasses.replace(workload, videos=workload.batch_size))
    batch, hand = ready_batch(engine.train, workload.batch_size), HandStep(workload)
    losses = {"model": (lambda: engine.learner(batch)[1], list(engine.parts.model.parameters())),
              "hand-written": (hand.loss, hand.parameters)}
    for name, (loss, parameters) in losses.items():
        # From no gradients, as in training: adding to those of the last step would count too.
        counts = count_operations(lambda loss=loss, leaves=parameters: torch.autograd.grad(
            loss(), leaves, allow_unused=True))
        most = ", ".join(f"{count} {key}" for key, count in counts.most_common(6))
        yield Row(f"operations, forward and backward, {name}", counts.total(), "operations",
                  note=f"views left out; most of them {most}")


def epoch_rows(workload: Workload, device: str = "cpu") -> Iterator[Row]:
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
    samples = interleave(variants, workload.epochs, read=clock(torch.device(device)), seed=workload.seed)
    where = _where(device)
    yield Row.over_rounds(f"{where}: epoch / its steps", ratios(samples, "epoch", "steps"), "ratio",
                          at_most=EPOCH_LIMIT, note=f"{workload.videos} videos, {full + bool(rest)} steps")
    yield Row.over_rounds(f"{where}: epoch", quartiles(samples["epoch"]), "s", note=_seconds(device))


def batching_rows(workload: Workload) -> Iterator[Row]:
    """One batch of the same draws, another each time: indexing alone, ``Videos.batch``, and PyG's collation."""
    videos = random_videos(workload)
    generator = torch.Generator().manual_seed(workload.seed)
    draws = [torch.randperm(workload.videos, generator=generator)[: workload.batch_size] for _ in range(32)]
    turn, graphs = itertools.cycle(draws), [videos[number] for number in range(workload.videos)]
    parts = (videos.audio, videos.visual, videos.category, videos.relevance)
    variants = {
        "index": Variant(lambda: [part[drawn] for drawn in (next(turn),) for part in parts], calls=200),
        "batch": Variant(lambda: videos.batch(next(turn)), calls=200),
        "collate": Variant(lambda: Batch.from_data_list([graphs[i] for i in next(turn).tolist()]), calls=4),
    }
    samples = interleave(variants, workload.rounds, read=clock(torch.device("cpu")), seed=workload.seed,
                         budget=workload.budget)
    yield Row.over_rounds("CPU: Videos.batch", quartiles(samples["batch"]), "ms", scale=1e3,
                          note=f"the whole HeteroDataBatch of {workload.batch_size} videos, twelve relations included")
    yield Row.over_rounds("CPU: Videos.batch / indexing alone", ratios(samples, "batch", "index"), "ratio",
                          note="audio, visual, category and relevance at a random index")
    yield Row.over_rounds("CPU: from_data_list / Videos.batch", ratios(samples, "collate", "batch"), "ratio",
                          at_least=COLLATE_LEAST, note="graphs made beforehand")


def _interleave(runs: dict[str, Callable[[], object]], workload: Workload, device: str) -> Samples:
    read = clock(torch.device(device))
    return interleave({name: paced(run, read) for name, run in runs.items()}, workload.rounds, read=read,
                      seed=workload.seed, budget=4 * workload.budget)


def _where(device: str) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}[device]


def _seconds(device: str) -> str:
    return {"cpu": "process CPU seconds", "cuda": "wall seconds, synchronised"}[device]
