"""Rows on message passing: CMGI on both backends, every convolution of the table, and long videos."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch

from avsgn_pyg.blocks import count_paths
from avsgn_pyg.experiments.cmgi_backends import FORMS, Case, forward_backward
from avsgn_pyg.experiments.memory import peak_bytes
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import Samples, clock, exponent, interleave, paced, quartiles, ratios
from avsgn_pyg.experiments.workload import Workload, long_pass
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.edges import Complete, EdgeList, subgraph_edges
from avsgn_pyg.layers.convolution import Convolution
from avsgn_pyg.layers.convs import CONVS

EXPONENT_LIMIT, PEAK_LIMIT_MIB = 1.1, 3072.0
#: Shorter videos are mostly overhead: an exponent fitted over these alone is not judged.
JUDGED_FROM = 3600
MEBIBYTE = 2**20


def cmgi_rows(workload: Workload, device: str = "cpu") -> Iterator[Row]:
    """Eq. 7-8, forward and backward: CMGI on blocks and along edge lists over the three subgraphs stacked by hand."""
    dim = workload.config().model.dim
    for videos, segments in workload.sizes:
        case = Case(videos, segments, dim, device=device)
        samples = _samples({form: forward_backward(case.on(form)) for form in FORMS}, workload, device)
        size = f"{'' if device == 'cpu' else 'GPU: '}CMGI B={videos} T={segments}"
        yield Row.over_rounds(f"{size}: stacked by hand", quartiles(samples["stacked"]), "ms", scale=1e3,
                              note=f"Eq. 7-8 as printed; {case.edges} edges a subgraph")
        for form in ("blocks", "native"):
            yield Row.over_rounds(f"{size}: {form} / stacked", ratios(samples, form, "stacked"), "ratio",
                                  note=f"model.cmgi.backend={form}")


def layer_rows(workload: Workload) -> Iterator[Row]:
    """Every convolution of the table along an edge list over the same one on blocks, and what the blocks ran as."""
    dim, segments = workload.config().model.dim, workload.segments
    empty = torch.zeros(workload.batch_size, segments, 1)
    batch = build_batch(empty, empty, text_nodes=segments)
    edges = {backend: subgraph_edges(batch, "av", as_list=backend == "native") for backend in ("blocks", "native")}
    for name in CONVS:
        torch.manual_seed(workload.seed)
        layer = Convolution(dim, name)
        runs = {backend: _layer_pass(layer, one, dim) for backend, one in edges.items()}
        with count_paths() as paths:
            runs["blocks"]()
        samples = _samples(runs, dataclasses.replace(workload, rounds=min(workload.rounds, 5)))
        ran = "; ".join(f"{kind} {sum(getattr(paths, kind).values())}" for kind in ("matmul", "broadcast", "fallback"))
        yield Row.over_rounds(f"layer {name}: edge list / blocks", ratios(samples, "native", "blocks"), "ratio",
                              note=f"B={workload.batch_size} N={2 * segments}; on blocks {ran}; blocks "
                                   f"{1e3 * quartiles(samples['blocks']).median:.3g} ms")


def _layer_pass(layer: Convolution, edges: EdgeList | Complete, dim: int) -> Callable[[], object]:
    draw = torch.Generator().manual_seed(0)
    videos, first, second = edges.size
    x = torch.randn(videos * (first + second), dim, generator=draw).requires_grad_()
    upstream = torch.randn(x.shape, generator=draw)
    shape = (videos, first + second, first + second) if isinstance(edges, Complete) else edges.index.shape[1:]
    weight = edges.softmax(torch.randn(shape, generator=draw)).requires_grad_()
    leaves = [x, weight, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(x, edges, weight), leaves, upstream, allow_unused=True)


def window_rows(workload: Workload) -> Iterator[Row]:
    """The whole network on one video of every length, ``topology=window``, forward and backward: time, growth, peak."""
    lengths, by_length = workload.long, {n: dataclasses.replace(workload, segments=n) for n in workload.long}
    samples = _samples({str(length): long_pass(one) for length, one in by_length.items()}, workload)
    for length in lengths:
        yield Row.over_rounds(f"window, T={length}: forward and backward", quartiles(samples[str(length)]), "s",
                              note=f"whole network, one video, {len(samples[str(length)])} rounds")
    by_round = [exponent(lengths, seconds) for seconds in zip(*(samples[str(n)] for n in lengths), strict=True)]
    yield Row.over_rounds("window: exponent in T, time", quartiles(by_round), "exponent",
                          at_most=EXPONENT_LIMIT if max(lengths) >= JUDGED_FROM else None,
                          note=f"fitted within each round over T = {', '.join(map(str, lengths))}")
    for length, one in by_length.items():
        name = f"window, T={length}: peak memory"
        peak = peak_bytes(long_pass, one) if workload.memory else None
        if peak is None:
            yield Row.absent(name, "MiB", "only Linux tells the peak of a process" if workload.memory else
                             "peaks were not asked for")
        else:
            yield Row(name, peak / MEBIBYTE, "MiB", at_most=PEAK_LIMIT_MIB,
                      note="one pass in a fresh process, one sample")


def _samples(runs: dict[str, Callable[[], object]], workload: Workload, device: str = "cpu") -> Samples:
    read = clock(torch.device(device))
    return interleave({name: paced(run, read) for name, run in runs.items()}, workload.rounds, read=read,
                      seed=workload.seed, budget=workload.budget)
