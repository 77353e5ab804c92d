"""Rows on message passing: CMGI on every road and size beside the hand-stacked form, and every layer of the table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch

from avsgn_pyg.blocks import count_paths
from avsgn_pyg.experiments.cmgi_roads import Case, forward_backward, peak_case
from avsgn_pyg.experiments.memory import peak_bytes
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import Samples, clock, exponent, interleave, paced, quartiles, ratios
from avsgn_pyg.experiments.workload import Workload
from avsgn_pyg.model.convs import CONVS
from avsgn_pyg.model.propagation import Propagation

GIBIBYTE, MEBIBYTE = 2**30, 2**20
ROADS = ("stacked", "folded", "blocks", "vmap", "native", "gather")
WORDS = {"folded": "folded by hand", "blocks": "CMGI", "vmap": "layers by vmap", "native": "CMGI on edge lists",
         "gather": "naive gather"}
#: Naive gather over CMGI: T -> least ratio in time, whatever the number of videos.
GATHER_TIME = {10: 3.5, 60: 12.0, 300: 60.0}
#: (B, T) -> least ratio in peak memory.
GATHER_PEAK = {(64, 10): 7.0, (1, 300): 100.0}
#: Roads whose peak is taken at each of these sizes.
PEAKS = {(64, 10): ("stacked", "blocks", "native", "gather"), (1, 300): ("stacked", "blocks", "native", "gather"),
         (1, 1000): ("stacked", "blocks")}
#: How each road goes; 1.0 is Eq. 7-8 as printed, forward and backward, the three subgraphs stacked by hand.
NOTES = {
    "folded": "dense by hand, Eq. 7's two weights multiplied first",
    "blocks": "the model's CMGI on its default road",
    "vmap": "not what the model runs: its layers on blocks once for three subgraphs, the rest stacked by hand",
    "native": "model.cmgi.backend=native",
    "gather": "scores, softmax and messages edge by edge, by PyG's own parts",
}


def cmgi_rows(workload: Workload) -> Iterator[Row]:
    """Every road over the hand-stacked form at every size that fits, then how each road's time grows."""
    medians: dict[tuple[str, int, int], float] = {}
    dim = workload.config("cpu").model.dim
    for segments, videos in itertools.product(workload.lengths, workload.batches):
        case = Case(videos, segments, dim)
        roads, left = _that_fit(case, workload)
        yield from (Row.absent(f"{_size(case)}: {WORDS.get(road, road)}", "ratio", why) for road, why in left.items())
        if roads:
            samples = _times(case, roads, workload)
            medians |= {(road, videos, segments): quartiles(found).median for road, found in samples.items()}
            yield from _cell(case, samples)
    yield from _exponents(medians, workload)


def _that_fit(case: Case, workload: Workload) -> tuple[list[str], dict[str, str]]:
    """Roads within the limits, and why the others are not."""
    roads, left = [], {}
    for road in ROADS:
        need = case.on(road).bytes() / GIBIBYTE
        if need > workload.limit_gib:
            left[road] = f"left out: needs about {need:.1f} GiB, the limit is {workload.limit_gib:g}"
        else:
            roads.append(road)
    if roads and roads[0] != "stacked":
        return [], left
    return (roads, left) if roads else ([], {"every road": next(iter(left.values()))})


def _times(case: Case, roads: list[str], workload: Workload) -> Samples:
    read = clock(torch.device("cpu"))
    variants = {road: paced(forward_backward(case.on(road)), read) for road in roads}
    return interleave(variants, workload.rounds, read=read, seed=workload.seed, budget=workload.budget)


def _cell(case: Case, samples: Samples) -> Iterator[Row]:
    size, rounds = _size(case), f"{len(samples['stacked'])} rounds"
    yield Row.over_rounds(f"{size}: hand-stacked", quartiles(samples["stacked"]), "ms", scale=1e3, note=rounds)
    target = {True: 1.05, False: 1.5 if case.segments == 10 and case.videos == 1 else None}[case.videos >= 64]
    for road in (road for road in WORDS if road in samples):
        yield Row.over_rounds(f"{size}: {WORDS[road]} / hand-stacked", ratios(samples, road, "stacked"), "ratio",
                              at_most=target if road == "blocks" else None, note=NOTES[road])
    yield Row.over_rounds(f"{size}: CMGI / folded by hand", ratios(samples, "blocks", "folded"), "ratio",
                          at_most=target if case.videos >= 64 else None,
                          note="against the dense form that multiplies Eq. 7's weights first, as CMGI does")
    if "gather" in samples:
        yield Row.over_rounds(f"{size}: naive gather / CMGI", ratios(samples, "gather", "blocks"), "ratio",
                              at_least=GATHER_TIME.get(case.segments),
                              note=NOTES["gather"])


def _exponents(medians: dict[tuple[str, int, int], float], workload: Workload) -> Iterator[Row]:
    """Growth in T at the smallest B and in B at the smallest T, by a fit through the medians above."""
    for road in ROADS:
        for letter, axis, fixed in (("T", 2, workload.batches[0]), ("B", 1, workload.lengths[0])):
            points = sorted((key[axis], seconds) for key, seconds in medians.items()
                            if key[0] == road and key[3 - axis] == fixed)
            if len(points) > 1:
                sizes, seconds = zip(*points, strict=True)
                other = {"T": "B", "B": "T"}[letter]
                yield Row(f"{WORDS.get(road, 'hand-stacked')}: exponent in {letter}, {other}={fixed}",
                          exponent(sizes, seconds), "exponent",
                          note=f"fitted over {letter} = {', '.join(map(str, sizes))}; time ~ {letter}^exponent")


def peak_rows(workload: Workload) -> Iterator[Row]:
    """Peak memory of one pass above streams and parameters, each road in a fresh process; one sample."""
    dim, note = workload.config("cpu").model.dim, "one pass in a fresh process, one sample"
    for (videos, segments), roads in PEAKS.items():
        case, found = Case(videos, segments, dim), {}
        names = {road: f"{_size(case)}: peak memory, {WORDS.get(road, 'hand-stacked')}" for road in roads}
        for road, name in names.items():
            need = case.on(road).bytes() / GIBIBYTE
            if not workload.memory or need > workload.limit_gib:
                yield Row.absent(name, "MiB", "peaks were not asked for" if not workload.memory else
                                 f"left out: needs about {need:.1f} GiB, the limit is {workload.limit_gib:g}")
                continue
            peak = peak_bytes(peak_case, case.on(road), calls=1)
            if peak is not None:
                found[road] = peak / MEBIBYTE
            yield Row(name, found.get(road), "MiB", note=note if road in found else
                      "only Linux tells the peak of a process")
        if {"gather", "blocks"} <= set(found):
            yield Row(f"{_size(case)}: peak memory, naive gather / CMGI", found["gather"] / found["blocks"], "ratio",
                      note=note, at_least=GATHER_PEAK.get((videos, segments)))


def layer_rows(workload: Workload) -> Iterator[Row]:
    """Every layer of the table on edge lists over the same layer on blocks, and what the blocks ran as."""
    dim, read = workload.config("cpu").model.dim, clock(torch.device("cpu"))
    videos, segments = workload.batch_size, workload.segments
    for name in CONVS:
        torch.manual_seed(workload.seed)
        layer = {road: Propagation(dim, name, backend=road) for road in ("blocks", "native")}
        layer["native"].load_state_dict(layer["blocks"].state_dict())
        runs = {road: _layer_pass(one, videos, 2 * segments, dim) for road, one in layer.items()}
        with count_paths() as paths:
            runs["blocks"]()
        samples = interleave({road: paced(run, read) for road, run in runs.items()}, min(workload.rounds, 5),
                             read=read, seed=workload.seed, budget=workload.budget)
        ran = "; ".join(f"{kind} {sum(counts.values())}" for kind, counts in (
            ("matmul", paths.matmul), ("broadcast", paths.broadcast), ("fallback", paths.fallback)))
        wide = f", the widest {paths.widest} numbers an edge" if paths.widest else ""
        yield Row.over_rounds(f"layer {name}: edge lists / blocks", ratios(samples, "native", "blocks"), "ratio",
                              note=f"B={videos} N={2 * segments}; on blocks {ran}{wide}; blocks "
                                   f"{1e3 * quartiles(samples['blocks']).median:.3g} ms")


def _layer_pass(layer: Propagation, videos: int, nodes: int, dim: int) -> Callable[[], object]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(videos, nodes, dim, generator=draw).requires_grad_()
    adjacency = torch.randn(videos, nodes, nodes, generator=draw).softmax(-1).requires_grad_()
    upstream = torch.randn(videos, nodes, dim, generator=draw)
    leaves = [x, adjacency, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(x, adjacency), leaves, upstream, allow_unused=True)


def _size(case: Case) -> str:
    return f"CMGI B={case.videos} T={case.segments}"
