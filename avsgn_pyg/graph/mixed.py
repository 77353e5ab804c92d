"""Videos of mixed lengths as one ``HeteroDataBatch``, written at once as :mod:`avsgn_pyg.graph.build` does for one.

Node lists hold real seconds alone: nothing fills a shorter video up, in features or in edges.
:func:`avsgn_pyg.graph.build.collate` is the plain road; the tests hold the two equal.

Letters: B videos, S seconds of all of them together, T seconds of the longest, da / dv feature widths, E edges.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.build import RELATIONS
from avsgn_pyg.graph.schema import AUDIO, CATEGORY, RELEVANCE, ROW, TEXT, VISUAL


def real_seconds(lengths: Int[Tensor, "B"], longest: int) -> Bool[Tensor, "B T"]:
    """True in the first `lengths` of `longest` seconds, on the lengths' device."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def build_mixed(
    audio: Float[Tensor, "S da"],
    visual: Float[Tensor, "S dv"],
    *,
    lengths: Int[Tensor, "B"],
    text_nodes: int,
    category: Int[Tensor, "B"],
    relevance: Float[Tensor, "B T"],
    row: Int[Tensor, "B"],
    edges: bool = True,
) -> Batch:
    """The content of :func:`avsgn_pyg.graph.build.collate`, without the loop.

    Args:
        audio, visual: the videos' seconds, one video after the other.
        lengths: seconds of each, on the CPU, so that nothing waits for a GPU.
        relevance: as many columns as the longest has seconds; what stands after a video's end is not read.
        text_nodes, category, row, edges: as of :func:`avsgn_pyg.graph.build.build_batch`.

    Raises:
        ValueError: no video, a video without a second, or parts that differ in their number of videos or seconds.
    """
    _check(audio, visual, lengths, text_nodes, category, relevance, row)
    device, videos = audio.device, len(lengths)
    counts = {AUDIO: lengths, VISUAL: lengths, TEXT: torch.full_like(lengths, text_nodes)}
    batch = Batch(_base_cls=HeteroData)
    slices: dict = {}
    increments: dict = {}
    _write_nodes(batch, counts, {AUDIO: audio, VISUAL: visual}, slices, increments)
    if edges:
        _write_edges(batch, counts, device, slices, increments)
    silent = ~real_seconds(lengths, relevance.shape[1]).to(device)
    for name, value in ((CATEGORY, category), (RELEVANCE, relevance.float().masked_fill(silent, 0)), (ROW, row)):
        setattr(batch, name, value)
        slices[name], increments[name] = torch.arange(videos + 1), torch.zeros_like(lengths)
    batch._num_graphs, batch._slice_dict, batch._inc_dict = videos, slices, increments
    return batch


def starts(counts: Int[Tensor, "B"]) -> Int[Tensor, "B1"]:
    """Where each video's nodes start, and where the last one's end."""
    return torch.cat((counts.new_zeros(1), counts.cumsum(0)))


def _write_nodes(
    batch: Batch, counts: dict[str, Tensor], features: dict[str, Tensor], slices: dict, increments: dict
) -> None:
    """All node types; the text's store carries its number alone, and an empty entry, as in :mod:`.build`."""
    for node_type, count in counts.items():
        store, start, device = batch[node_type], starts(count), features[AUDIO].device
        if node_type in features:
            store.x = features[node_type]
            slices[node_type], increments[node_type] = {"x": start}, {"x": torch.zeros_like(count)}
        else:
            store._num_nodes, store.num_nodes = count.tolist(), int(start[-1])
            slices[node_type], increments[node_type] = {}, {}
        store.batch = torch.arange(len(count)).repeat_interleave(count).to(device)
        store.ptr = start.to(device)


class _Edges(NamedTuple):
    index: Int[Tensor, "2 E"]
    slices: Int[Tensor, "B1"]
    increments: Int[Tensor, "B 2 1"]


def _write_edges(
    batch: Batch, counts: dict[str, Tensor], device: torch.device, slices: dict, increments: dict
) -> None:
    """The twelve relations; those between nodes of the same numbers share one tensor: read it, do not write into it."""
    numbers = {node_type: tuple(count.tolist()) for node_type, count in counts.items()}
    for relation in RELATIONS:
        source, _, target = relation
        complete = _complete(numbers[source], numbers[target], device)
        batch[relation].edge_index = complete.index
        slices[relation] = {"edge_index": complete.slices}
        increments[relation] = {"edge_index": complete.increments}


# A batch asks for four kinds, three of them of lengths that are drawn anew each time: more would be kept for nobody.
@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _complete(sources: tuple[int, ...], targets: tuple[int, ...], device: torch.device) -> _Edges:
    """Every source of a video to every target of it, sorted by target."""
    count, asked = torch.tensor(sources), torch.tensor(targets)
    first = starts(count)[:-1]
    heard = count.repeat_interleave(asked)  # edges into each target of all videos
    target = torch.arange(len(heard)).repeat_interleave(heard)
    # The number of an edge less that of its target's first edge counts the video's sources.
    shift = first.repeat_interleave(asked) - starts(heard)[:-1]
    source = torch.arange(len(target)) + shift[target]
    increments = torch.stack((first, starts(asked)[:-1]), dim=1)[..., None]
    return _Edges(torch.stack((source, target)).to(device), starts(count * asked), increments)


def _check(audio: Tensor, visual: Tensor, lengths: Tensor, text_nodes: int, category: Tensor, relevance: Tensor,
           row: Tensor) -> None:
    videos = len(lengths)
    if not videos or int(lengths.min()) < 1 or text_nodes < 1:
        raise ValueError(f"a batch needs at least one video, and every video a second and a text node; got lengths "
                         f"{lengths.tolist()}, text_nodes={text_nodes}")
    shape, seconds = (videos, int(lengths.max())), int(lengths.sum())
    if not (len(audio) == len(visual) == seconds and category.shape == row.shape == (videos,)
            and relevance.shape == shape):
        raise ValueError(
            f"{videos} videos of {seconds} seconds together, {shape[1]} at most, need audio and visual [{seconds}, "
            f"width], category and row [{videos}], relevance {list(shape)}; got {list(audio.shape)}, "
            f"{list(visual.shape)}, {list(category.shape)}, {list(row.shape)}, {list(relevance.shape)}"
        )
