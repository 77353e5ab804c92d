"""Build graphs from features: one video as ``HeteroData``, many videos as one ``HeteroDataBatch``.

The edges written here are the graph: the model passes messages along the ``edge_index`` of its batch and along no
others. Edges that you remove carry no message; edges that you add are used.

:func:`build_batch` builds what ``Batch.from_data_list`` would build, without its loop over videos. What does not depend
on the features (edges, batch vectors, slices) is built once per size and *shared* by the batches of that size: clone an
``edge_index`` before you write into it. A shared tensor that was written into is not used for the next batch, unless
the write bypassed torch (``.numpy()``, ``.data``).

Shapes: B videos, T segments (of the longest), S segments of all videos together, da / dv feature widths, E edges.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.schema import AUDIO, CATEGORY, NO_EVENT, RELATIONS, RELEVANCE, ROW, TEXT, VISUAL
from avsgn_pyg.graph.topology import COMPLETE, Topology, note_complete, starts
from avsgn_pyg.graph.views import length_mask


def build_video(
    audio: Float[Tensor, "T da"],
    visual: Float[Tensor, "T dv"],
    *,
    text_nodes: int,
    category: int = NO_EVENT,
    relevance: Float[Tensor, "T"] | None = None,
    row: int = 0,
    topology: Topology | None = COMPLETE,
) -> HeteroData:
    """Build the graph of one video; arguments and errors as for :func:`build_batch`, without the axis of videos.

    Returns:
        ``audio.x``, ``visual.x``, ``text.num_nodes``, ``category`` [1], ``relevance`` [1, T], ``row`` [1], and an
        ``edge_index`` for each of the twelve relations.
    """
    batch = build_batch(audio[None], visual[None], text_nodes=text_nodes, topology=topology,
                        category=torch.tensor([category], device=audio.device),
                        relevance=None if relevance is None else relevance[None],
                        row=torch.tensor([row], device=audio.device))
    return batch.get_example(0)


def build_batch(
    audio: Float[Tensor, "... da"],
    visual: Float[Tensor, "... dv"],
    *,
    text_nodes: int,
    lengths: Int[Tensor, "B"] | None = None,
    category: Int[Tensor, "B"] | None = None,
    relevance: Float[Tensor, "B T"] | None = None,
    row: Int[Tensor, "B"] | None = None,
    topology: Topology | None = COMPLETE,
) -> Batch:
    """Build many videos as one ``HeteroDataBatch``; ``to_data_list()`` returns the single videos.

    Args:
        audio, visual: one vector per segment, [B, T, width]; with `lengths`, [S, width], one video after the other.
        text_nodes: text nodes of each video; they carry no features.
        lengths: segments of each video if they differ; on the CPU, to avoid a synchronisation with the GPU.
        category: class of each video's event, :data:`~avsgn_pyg.graph.schema.NO_EVENT` (default) if there is none.
        relevance: 1 where the event is both heard and seen, else 0 (default); values after a video's end are
            ignored and become zero in the batch.
        row: row in the annotation file; by default the index in the batch.
        topology: which edges to build; ``None`` builds none, for models without message passing.

    Raises:
        ValueError: no video, a video without a segment, no text node, or parts that differ in videos or segments.
    """
    counts = _checked_counts(audio, visual, text_nodes, lengths, category, relevance, row)
    videos, longest, device = len(counts), max(counts), audio.device
    batch = _skeleton(counts, text_nodes, topology, device)
    batch[AUDIO].x, batch[VISUAL].x = (part.flatten(0, 1) if lengths is None else part for part in (audio, visual))
    relevance = torch.zeros(videos, longest, device=device) if relevance is None else relevance.to(torch.float32)
    if min(counts) < longest:
        relevance = relevance.masked_fill(~length_mask(lengths, longest).to(device), 0)
    batch[CATEGORY] = torch.full((videos,), NO_EVENT, device=device) if category is None else category
    batch[RELEVANCE] = relevance
    batch[ROW] = torch.arange(videos, device=device) if row is None else row
    return batch


def _checked_counts(audio: Tensor, visual: Tensor, text_nodes: int, lengths: Tensor | None, category: Tensor | None,
                    relevance: Tensor | None, row: Tensor | None) -> tuple[int, ...]:
    """Return the segments of each video; raise ValueError if the arguments disagree."""
    if lengths is None:
        counts = (audio.shape[1],) * audio.shape[0] if audio.dim() == 3 else ()
        same = visual.dim() == 3 and audio.shape[:2] == visual.shape[:2]
    else:
        counts = tuple(lengths.tolist())
        same = audio.dim() == visual.dim() == 2 and len(audio) == len(visual) == sum(counts)
    labels = {"category": (category, (len(counts),)), "row": (row, (len(counts),)),
              "relevance": (relevance, (len(counts), max(counts, default=0)))}
    same = same and all(part is None or tuple(part.shape) == shape for part, shape in labels.values())
    if not same or min(counts, default=0) < 1 or text_nodes < 1:
        given = {name: list(part.shape) for name, (part, _) in labels.items() if part is not None}
        raise ValueError("audio, visual and labels must have the same videos and segments, at least one of each, and "
                         f"text_nodes must be at least 1; got audio {list(audio.shape)}, "
                         f"visual {list(visual.shape)}, {given}, "
                         f"lengths {None if lengths is None else lengths.tolist()}, text_nodes={text_nodes}")
    return counts


def collate(videos: Sequence[HeteroData]) -> Batch:
    """``Batch.from_data_list`` for single videos of any lengths.

    ``relevance`` becomes [B, T], zero after the end of shorter videos. ``to_data_list()`` returns the single videos,
    with relevance padded to T.
    """
    longest = max(video[RELEVANCE].shape[1] for video in videos)
    padded = []
    for video in videos:
        whole = copy.copy(video)
        setattr(whole, RELEVANCE, F.pad(video[RELEVANCE], (0, longest - video[RELEVANCE].shape[1])))
        padded.append(whole)
    batch = Batch.from_data_list(padded)
    for bookkeeping in (batch._slice_dict, batch._inc_dict):
        bookkeeping.setdefault(TEXT, {})  # as in _make_skeleton
    return batch


def _skeleton(counts: tuple[int, ...], text_nodes: int, topology: Topology | None, device: torch.device) -> Batch:
    """A batch of these sizes without features and labels, its tensors shared by all batches of its size."""
    # With random batches, the same mixed lengths hardly recur, and their edges are large: no cache.
    make = _make_skeleton if min(counts) == max(counts) else _make_skeleton.__wrapped__
    kept, shared = make(counts, text_nodes, topology, device)
    if any(tensor._version for tensor in shared):  # one was written into
        _make_skeleton.cache_clear()
        kept, _ = make(counts, text_nodes, topology, device)
    batch = copy.copy(kept)  # own stores, shared tensors
    for name in ("_slice_dict", "_inc_dict"):
        setattr(batch, name, {key: dict(value) if isinstance(value, dict) else value
                              for key, value in getattr(kept, name).items()})
    batch[TEXT]._num_nodes = list(kept[TEXT]._num_nodes)
    return batch


# Inference mode is switched off: tensors created in it could not be used in a later training step.
@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _make_skeleton(counts: tuple[int, ...], text_nodes: int, topology: Topology | None,
                   device: torch.device) -> tuple[Batch, list[Tensor]]:
    batch, videos = Batch(_base_cls=HeteroData), len(counts)
    nodes = {AUDIO: counts, VISUAL: counts, TEXT: (text_nodes,) * videos}
    start = {name: starts(torch.tensor(count)) for name, count in nodes.items()}
    none, slices, increments = torch.zeros(videos, dtype=torch.int64), {}, {}
    for name, count in nodes.items():
        store = batch[name]
        if name == TEXT:
            store._num_nodes, store.num_nodes = list(count), sum(count)
            # Batch.from_data_list leaves stores without features out and then cannot separate the batch again
            # (pyg-team/pytorch_geometric#9537); an empty entry is what separating needs.
            slices[name], increments[name] = {}, {}
        else:
            slices[name], increments[name] = {"x": start[name]}, {"x": none}
        store.batch = torch.arange(videos).repeat_interleave(start[name].diff()).to(device)
        store.ptr = start[name].to(device)
    equal, made = min(counts) == max(counts), {}
    for relation in RELATIONS if topology is not None else ():
        source, _, target = relation
        if (source, target) in made:  # in another subgraph
            index, ends = made[source, target][0].clone(), made[source, target][1]
        else:
            index = topology.edges(source, target, torch.tensor(nodes[source]), torch.tensor(nodes[target]))
            ends = torch.searchsorted(index[1].contiguous(), start[target])  # where those of each video begin
            made[source, target] = index, ends
        batch[relation].edge_index = index.to(device)
        slices[relation] = {"edge_index": ends}
        shift = torch.stack((start[source][:-1], start[target][:-1]), dim=1)
        increments[relation] = {"edge_index": shift[..., None]}
        if topology.name == "complete" and equal:
            note_complete(batch[relation].edge_index, videos, nodes[source][0], nodes[target][0])
    for name in (CATEGORY, RELEVANCE, ROW):
        setattr(batch, name, None)
        slices[name], increments[name] = torch.arange(videos + 1), none
    batch._num_graphs, batch._slice_dict, batch._inc_dict = videos, slices, increments
    return batch, [value for store in batch.stores for value in store.values() if isinstance(value, Tensor)]
