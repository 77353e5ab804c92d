"""Features become graphs: one video as ``HeteroData``, many videos as one ``HeteroDataBatch``.

Letters: B videos, T segments, da / dv feature widths, E edges of one relation.

Collating single graphs costs tens of times more than indexing the features (the graphs all look
alike, and collation does not know it), so :func:`build_batch` writes what PyG's ``Batch.from_data_list``
would have written, straight from stacked features. The parts that do not depend on the features (edges,
batch vectors, slices) are made once per size and device and *shared* between batches: read them, do not
write into them. :func:`build_video` followed by ``Batch.from_data_list`` is the plain road; the tests hold
the two equal.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.schema import AUDIO, CATEGORY, RELEVANCE, ROW, SUBGRAPHS, TEXT, VISUAL, relations

#: The twelve edge types of the three complete subgraphs.
RELATIONS = tuple(relation for subgraph in SUBGRAPHS for relation in relations(subgraph))


def build_video(
    audio: Float[Tensor, "T da"],
    visual: Float[Tensor, "T dv"],
    *,
    text_nodes: int,
    category: int,
    relevance: Float[Tensor, "T"],
    row: int,
    edges: bool = True,
) -> HeteroData:
    """One video as a graph (Section 3.4: three complete subgraphs, every node its own neighbour).

    Args:
        audio: one vector per segment.
        visual: one vector per segment.
        text_nodes: number of text nodes; they carry no features.
        category: class of the event, :data:`~avsgn_pyg.graph.schema.NO_EVENT` where there is none.
        relevance: 1 where the event is both heard and seen, else 0.
        row: row in the annotation file.
        edges: write the ``edge_index`` of the twelve relations, source in row 0, target in row 1, sorted
            by target. Models that work on dense views need none.

    Returns:
        ``audio.x``, ``visual.x``, ``text.num_nodes``, ``category`` [1], ``relevance`` [1, T], ``row`` [1].

    Raises:
        ValueError: audio, vision and relevance differ in their number of segments.
    """
    _check_sizes(audio.shape[:1], visual.shape[:1], relevance.shape, text_nodes)
    device = audio.device
    data = HeteroData()
    data[AUDIO].x = audio
    data[VISUAL].x = visual
    data[TEXT].num_nodes = text_nodes
    setattr(data, CATEGORY, torch.tensor([category], device=device))
    setattr(data, RELEVANCE, relevance.to(torch.float32).unsqueeze(0))
    setattr(data, ROW, torch.tensor([row], device=device))
    if edges:
        counts = {AUDIO: len(audio), VISUAL: len(visual), TEXT: text_nodes}
        for source, subgraph, target in RELATIONS:
            index = _edges(1, counts[source], counts[target], device).index
            data[source, subgraph, target].edge_index = index
    return data


def build_batch(
    audio: Float[Tensor, "B T da"],
    visual: Float[Tensor, "B T dv"],
    *,
    text_nodes: int,
    category: Int[Tensor, "B"],
    relevance: Float[Tensor, "B T"],
    row: Int[Tensor, "B"],
    edges: bool = True,
) -> Batch:
    """Many videos as one ``HeteroDataBatch``: the content of ``Batch.from_data_list``, without the loop.

    Arguments are those of :func:`build_video`, stacked. ``category`` and ``row`` come out [B],
    ``relevance`` [B, T]; ``to_data_list()`` gives the single videos back.

    Raises:
        ValueError: no video, or the parts differ in their number of videos or segments.
    """
    videos, segments = audio.shape[:2]
    _check_sizes(audio.shape[:2], visual.shape[:2], relevance.shape, text_nodes)
    if not videos or category.shape != (videos,) or row.shape != (videos,):
        raise ValueError(
            f"a batch needs at least one video and one category and row for each; got {videos} videos, "
            f"category {tuple(category.shape)}, row {tuple(row.shape)}"
        )
    structure = _structure(videos, segments, text_nodes, audio.device, edges)
    batch = copy.copy(structure)  # stores of its own, tensors shared
    for bookkeeping in ("_slice_dict", "_inc_dict"):
        setattr(batch, bookkeeping, {key: dict(value) if isinstance(value, dict) else value
                                     for key, value in getattr(structure, bookkeeping).items()})
    batch[TEXT]._num_nodes = [text_nodes] * videos
    batch[AUDIO].x, batch[VISUAL].x = audio.flatten(0, 1), visual.flatten(0, 1)
    for name, value in ((CATEGORY, category), (RELEVANCE, relevance.to(torch.float32)), (ROW, row)):
        setattr(batch, name, value)
    return batch


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _structure(videos: int, segments: int, text_nodes: int, device: torch.device, edges: bool) -> Batch:
    """A batch of these sizes without what differs from one to the next; copied, never handed out."""
    batch = Batch(_base_cls=HeteroData)
    slices: dict = {}
    increments: dict = {}
    empty = torch.empty(videos, segments, 0, device=device)
    _write_nodes(batch, {AUDIO: empty, VISUAL: empty}, text_nodes, slices, increments)
    if edges:
        counts = {AUDIO: segments, VISUAL: segments, TEXT: text_nodes}
        _write_edges(batch, videos, counts, device, slices, increments)
    one_each = _nodes(videos, 1, torch.device("cpu"))
    for name in (CATEGORY, RELEVANCE, ROW):
        setattr(batch, name, None)
        slices[name], increments[name] = one_each.slices, one_each.increments
    batch._num_graphs = videos
    batch._slice_dict, batch._inc_dict = slices, increments
    return batch


def collate(videos: Sequence[HeteroData]) -> Batch:
    """Single videos of whatever lengths as one ``HeteroDataBatch``; :func:`build_batch` is for those as long.

    ``relevance`` comes out [B, T], T the longest, zero after the end of shorter videos; everything else is what
    ``Batch.from_data_list`` writes, and ``to_data_list()`` gives the videos back (relevance as long as in the batch).

    Args:
        videos: from :func:`build_video`, at least one; not changed.
    """
    longest = max(video[RELEVANCE].shape[1] for video in videos)
    filled = []
    for video in videos:
        whole = copy.copy(video)
        setattr(whole, RELEVANCE, F.pad(video[RELEVANCE], (0, longest - video[RELEVANCE].shape[1])))
        filled.append(whole)
    batch = Batch.from_data_list(filled)
    for bookkeeping in (batch._slice_dict, batch._inc_dict):
        bookkeeping.setdefault(TEXT, {})  # as in _write_nodes
    return batch


def _write_nodes(
    batch: Batch, features: dict[str, Tensor], text_nodes: int, slices: dict, increments: dict
) -> None:
    for node_type, x in features.items():
        videos, segments = x.shape[:2]
        nodes = _nodes(videos, segments, x.device)
        store = batch[node_type]
        store.x, store.batch, store.ptr = x.flatten(0, 1), nodes.batch, nodes.ptr
        slices[node_type], increments[node_type] = {"x": nodes.slices}, {"x": nodes.increments}
    nodes = _nodes(videos, text_nodes, x.device)
    store = batch[TEXT]
    store._num_nodes = [text_nodes] * videos
    store.num_nodes = videos * text_nodes
    store.batch, store.ptr = nodes.batch, nodes.ptr
    # PyG's own collate leaves featureless stores out and then cannot separate the batch again
    # (pyg-team/pytorch_geometric#9537); an empty entry is what its separate() needs.
    slices[TEXT], increments[TEXT] = {}, {}


def _write_edges(
    batch: Batch, videos: int, counts: dict[str, int], device: torch.device, slices: dict, increments: dict
) -> None:
    for relation in RELATIONS:
        source, _, target = relation
        complete = _edges(videos, counts[source], counts[target], device)
        batch[relation].edge_index = complete.index
        slices[relation] = {"edge_index": complete.slices}
        increments[relation] = {"edge_index": complete.increments}


class _Nodes(NamedTuple):
    """The vectors of B videos with the same number of nodes; slices and increments stay on the CPU."""

    batch: Int[Tensor, "nodes"]
    ptr: Int[Tensor, "B1"]
    slices: Int[Tensor, "B1"]
    increments: Int[Tensor, "B"]


class _Edges(NamedTuple):
    """The edges of one relation of B videos; slices and increments stay on the CPU."""

    index: Int[Tensor, "2 edges"]
    slices: Int[Tensor, "B1"]
    increments: Int[Tensor, "B 2 1"]


# Tensors made under inference mode could not serve a later training step, hence the switch back.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _nodes(videos: int, count: int, device: torch.device) -> _Nodes:
    slices = torch.arange(videos + 1) * count
    batch = torch.arange(videos).repeat_interleave(count)
    return _Nodes(batch.to(device), slices.to(device), slices, torch.zeros(videos, dtype=torch.int64))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _edges(videos: int, sources: int, targets: int, device: torch.device) -> _Edges:
    """Complete from `sources` to `targets` within each video, sorted by target."""
    first = torch.arange(videos)
    increments = torch.stack((first * sources, first * targets), dim=1).unsqueeze(-1)
    source, target = torch.arange(sources).repeat(targets), torch.arange(targets).repeat_interleave(sources)
    index = (torch.stack((source, target)) + increments).transpose(0, 1).flatten(1)
    return _Edges(index.contiguous().to(device), torch.arange(videos + 1) * sources * targets, increments)


def _check_sizes(audio: torch.Size, visual: torch.Size, relevance: torch.Size, text_nodes: int) -> None:
    if not audio == visual == relevance or audio[-1] < 1 or text_nodes < 1:
        raise ValueError(
            "audio, visual and relevance must hold the same videos and segments, at least one segment, and "
            f"text_nodes must be at least 1; got audio {tuple(audio)}, visual {tuple(visual)}, "
            f"relevance {tuple(relevance)}, text_nodes={text_nodes}"
        )
