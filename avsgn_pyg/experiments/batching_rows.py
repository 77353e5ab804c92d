"""Rows on batches: ours beside indexing alone, and PyG's collation beside ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import Variant, clock, interleave, quartiles, ratios
from avsgn_pyg.experiments.workload import Workload, random_videos

INDEX_LIMIT, COLLATE_LEAST = 1.7, 40.0


def batching_rows(workload: Workload) -> Iterator[Row]:
    """64 videos as one batch: indexing alone, :meth:`Videos.batch`, and PyG's collation, all of the same draws.

    Drawn anew for every batch, as in training, rows lie in no cache; drawn once, they do.
    """
    videos = random_videos(workload)
    generator = torch.Generator().manual_seed(workload.seed)
    draws = [torch.randperm(workload.videos, generator=generator)[: workload.batch_size] for _ in range(32)]
    parts = (videos.audio, videos.visual, videos.category, videos.relevance)
    graphs = [videos[number] for number in range(workload.videos)]

    def variants(draws: list[Tensor]) -> dict[str, Variant]:
        turn = itertools.cycle(draws)

        def index() -> list[Tensor]:
            drawn = next(turn)
            return [part[drawn] for part in parts]

        def select() -> list[Tensor]:
            drawn = next(turn)
            return [part.index_select(0, drawn) for part in parts]

        return {
            "index": Variant(index, calls=200),
            "select": Variant(select, calls=200),
            "batch": Variant(lambda: videos.batch(next(turn)), calls=200),
            "collate": Variant(lambda: Batch.from_data_list([graphs[i] for i in next(turn).tolist()]), calls=4),
            "build": Variant(lambda: Batch.from_data_list([videos[i] for i in next(turn).tolist()]), calls=4),
        }

    for cache, chosen in (("another draw each time", draws), ("one draw again and again", draws[:1])):
        samples = interleave(variants(chosen), workload.rounds, read=clock(torch.device("cpu")), seed=workload.seed,
                             budget=workload.budget)
        where, judged = f"CPU: batching, {cache}", chosen is draws
        yield Row.over_rounds(f"{where}: indexing alone", quartiles(samples["index"]), "ms", scale=1e3,
                              note="audio, visual, category, relevance at a random index")
        yield Row.over_rounds(f"{where}: index_select / indexing", ratios(samples, "select", "index"), "ratio")
        yield Row.over_rounds(f"{where}: Videos.batch / indexing", ratios(samples, "batch", "index"), "ratio",
                              at_most=INDEX_LIMIT if judged else None,
                              note="the whole HeteroDataBatch, twelve relations included")
        yield Row.over_rounds(f"{where}: from_data_list / Videos.batch", ratios(samples, "collate", "batch"), "ratio",
                              at_least=COLLATE_LEAST if judged else None, note="graphs made beforehand")
        yield Row.over_rounds(f"{where}: build and from_data_list / Videos.batch", ratios(samples, "build", "batch"),
                              "ratio", note="graphs made for every batch")
