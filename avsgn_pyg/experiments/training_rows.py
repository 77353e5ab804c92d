"""Rows on training: a step beside the hand-written one and its own products, an epoch, operations, Adam, peaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from avsgn_pyg.experiments.memory import peak_bytes
from avsgn_pyg.experiments.operations import compiled_kernels, count_operations, products_alone, record_pass
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import Samples, Variant, clock, interleave, paced, quartiles, ratios
from avsgn_pyg.experiments.workload import Engine, HandStep, Workload, dense_inputs, ready_batch, trainer_step
from avsgn_pyg.model.together import at_once

#: CPU seconds of one training step of CMBS's published code. Quoted, not measured by this module.
CMBS_STEP_SECONDS = 1.4
CMBS_NOTE = ("quoted, not re-run: CMBS's published code, batch 64, float32, pooled regions, "
             "on a CPU of the kind that docs/benchmark.md names")
STEP_LIMIT, EPOCH_LIMIT, PRODUCTS_LIMIT = 1.15, 1.1, 1.15
EAGER_LIMIT, COMPILED_LIMIT = 200.0, 100.0
MEBIBYTE = 2**20
DROPOUTS = ("attention", "features", "graph", "head")


def step_rows(workload: Workload, device: str = "cpu") -> Iterator[Row]:
    """A step on a ready batch: the trainer's, the hand-written one, the trainer's over PyG's edge lists."""
    native = dataclasses.replace(workload, overrides=(*workload.overrides, "model.cmgi.backend=native"))
    variants = {
        "model": Variant(trainer_step(workload, device)),
        "hand": Variant(HandStep(workload, device)),
        "edges": Variant(trainer_step(native, device)),
    }
    samples = _interleave(variants, workload.rounds, workload, device)
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


def product_rows(workload: Workload) -> Iterator[Row]:
    """The whole step over its own matrix products alone: what is lost between them. With dropout and without."""
    for name, one in _with_and_without_dropout(workload):
        step, hand = trainer_step(one), HandStep(one)
        alone, count = products_alone(step)
        hand_alone, hand_count = products_alone(hand)
        samples = _interleave({"step": Variant(step), "alone": Variant(alone), "hand": Variant(hand),
                               "hand alone": Variant(hand_alone)}, one.rounds, one, "cpu")
        yield Row.over_rounds(f"CPU: step / its products alone, {name}", ratios(samples, "step", "alone"), "ratio",
                              at_most=PRODUCTS_LIMIT, note=f"{count} products replayed in the step's order")
        yield Row.over_rounds(f"CPU: hand-written step / its products alone, {name}",
                              ratios(samples, "hand", "hand alone"), "ratio", note=f"{hand_count} products")


def operation_rows(workload: Workload) -> Iterator[Row]:
    """Operations that compute something in forward and backward, eager; the kernels of the compiled pass if asked."""
    for name, one in _with_and_without_dropout(workload):
        engine = Engine.of(dataclasses.replace(one, videos=one.batch_size), "cpu")
        loss, inputs = dense_inputs(engine, ready_batch(engine.train, one.batch_size))
        whole, hand = partial(loss, *inputs), HandStep(one)
        counted = {"model": (whole, False, list(loss.parameters())),
                   "model, subgraphs at once": (whole, True, list(loss.parameters())),
                   "hand-written": (hand.loss, False, hand.parameters)}
        for who, (call, once, parameters) in counted.items():
            with at_once(once):
                counts = count_operations(partial(_backward, call, parameters))
            most = ", ".join(f"{count} {key}" for key, count in counts.most_common(6))
            yield Row(f"operations, forward and backward, {who}, {name}", counts.total(), "operations",
                      at_most=EAGER_LIMIT if once else None,
                      note=f"{'as on a GPU; ' if once else ''}views left out; most of them {most}")
        title = f"kernels compiled, forward and backward, {name}"
        if one.compile:
            with at_once(True):
                fused, library = compiled_kernels(*record_pass(loss, inputs))
            yield Row(title, fused + library, "kernels", at_most=COMPILED_LIMIT,
                      note=f"inductor: {fused} fused, {library} calls of libraries; subgraphs at once")
        else:
            yield Row.absent(title, "kernels", "not asked for: --compile", at_most=COMPILED_LIMIT)


def adam_rows(workload: Workload) -> Iterator[Row]:
    """Adam's ways over all parameters of the network: one pass over memory, a loop, lists of tensors."""
    kinds = {"fused": {"fused": True}, "single": {"foreach": False}, "foreach": {"foreach": True}}
    variants = {}
    for name, kind in kinds.items():
        parameters = HandStep(workload).parameters
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, 1e-3)
        variants[name] = paced(torch.optim.Adam(parameters, lr=1e-4, **kind).step, clock(torch.device("cpu")))
    samples = _interleave(variants, workload.rounds, workload, "cpu")
    yield Row.over_rounds("CPU: Adam, fused", quartiles(samples["fused"]), "ms", scale=1e3, note="what training uses")
    for name in ("single", "foreach"):
        yield Row.over_rounds(f"CPU: Adam, {name} / fused", ratios(samples, name, "fused"), "ratio")


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


def memory_rows(workload: Workload) -> Iterator[Row]:
    """Peak memory of two steps above parameters and inputs, each road in a fresh process; one sample."""
    note = "one sample; peak of the process over what it held before the step; Adam's moments included"
    for name, prepare in (("step", trainer_step), ("hand-written step", HandStep)):
        title = f"CPU: peak memory, {name}"
        if not workload.memory:
            yield Row.absent(title, "MiB", "peaks were not asked for")
            continue
        found = peak_bytes(prepare, workload)
        yield Row(title, None if found is None else found / MEBIBYTE, "MiB",
                  note=note if found is not None else "only Linux tells the peak of a process")


def _backward(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    """From no gradients, as in training: adding to those of the last step would count too."""
    for parameter in parameters:
        parameter.grad = None
    loss().backward()


def _with_and_without_dropout(workload: Workload) -> Iterator[tuple[str, Workload]]:
    still = tuple(f"model.dropout.{site}=0" for site in DROPOUTS)
    yield "default dropout", workload
    yield "no dropout", dataclasses.replace(workload, overrides=(*workload.overrides, *still))


def _interleave(variants: dict[str, Variant], rounds: int, workload: Workload, device: str) -> Samples:
    return interleave(variants, rounds, read=clock(torch.device(device)), seed=workload.seed,
                      budget=4 * workload.budget)


def _where(device: str) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}[device]


def _seconds(device: str) -> str:
    return {"cpu": "process CPU seconds", "cuda": "wall seconds, synchronised"}[device]
