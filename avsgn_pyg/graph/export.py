"""Export of the attention graph: networkx, GraphML, node-link JSON and PyG's own ``.pt``.

The ``.pt`` is a pickle of PyG's classes, read by ``torch.load(path, weights_only=False)``; like any pickle, load it
only from a source that you trust.

The input is the ``HeteroData`` of one video with ``edge_index`` and ``edge_weight``. Nodes are named
``<modality>:<number>``; the edges of a relation (source, subgraph, target) have the name of the subgraph.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, CATEGORY, RELEVANCE, ROW, VISUAL
from avsgn_pyg.graph.views import to_heterodata


def to_networkx(data: HeteroData) -> nx.MultiDiGraph:
    """Return a multigraph: two nodes may be connected in two subgraphs, whose names are the keys of the edges.

    Nodes have ``modality`` and ``number``; edges have ``subgraph`` and every value that their relation has per edge,
    such as ``weight`` (from ``edge_weight``). Node features are left out.

    Raises:
        ValueError: more than one video, or no edges.
    """
    if getattr(data, "num_graphs", 1) != 1:
        raise ValueError(f"this batch has {data.num_graphs} videos; give one, such as batch.get_example(0)")
    relations = [relation for relation in data.edge_types if "edge_index" in data[relation]]
    if not relations:
        raise ValueError("no relation carries an edge_index, so there is no graph to export")
    graph = nx.MultiDiGraph(**_facts(data))
    for modality in data.node_types:
        for number in range(int(data[modality].num_nodes)):
            graph.add_node(f"{modality}:{number}", modality=modality, number=number)
    for source, subgraph, target in relations:
        store = data[source, subgraph, target]
        ends = store.edge_index.tolist()
        values = {name.removeprefix("edge_"): value.tolist() for name, value in store.items()
                  if isinstance(value, Tensor) and value.shape == (len(ends[0]),)}
        for at, (one, other) in enumerate(zip(*ends, strict=True)):
            graph.add_edge(f"{source}:{one}", f"{target}:{other}", key=subgraph, subgraph=subgraph,
                           **{name: found[at] for name, found in values.items()})
    return graph


def _facts(data: HeteroData) -> dict[str, Any]:
    """Attributes of the whole graph: class, row, relevance as text (GraphML has no lists), and plain values."""
    facts: dict[str, Any] = {name: int(data[name].reshape(-1)[0]) for name in (CATEGORY, ROW) if name in data}
    if RELEVANCE in data:
        facts[RELEVANCE] = " ".join(f"{value:g}" for value in data[RELEVANCE].reshape(-1).tolist())
    plain = data._global_store.items()
    return facts | {name: value for name, value in plain if isinstance(value, (str, int, float))}


def _write_graphml(data: HeteroData, path: Path) -> None:
    nx.write_graphml(to_networkx(data), path)


def _write_json(data: HeteroData, path: Path) -> None:
    path.write_text(json.dumps(nx.node_link_data(to_networkx(data), edges="edges"), indent=1), encoding="utf-8")


def _write_torch(data: HeteroData, path: Path) -> None:
    torch.save(data.cpu(), path)


def _of_clip(data: HeteroData, seconds: int | None, facts: Mapping[str, str | int | float] | None) -> HeteroData:
    if seconds is not None:
        device = data[AUDIO].x.device
        data = data.subgraph({modality: torch.arange(seconds, device=device) for modality in (AUDIO, VISUAL)})
    if facts is not None:
        for name in (CATEGORY, RELEVANCE, ROW):
            if name in data:
                del data[name]
        for name, value in facts.items():
            setattr(data, name, value)
    return data


#: Suffix -> writer. The JSON is networkx's node-link form, its edges under ``edges``.
WRITERS: Final[dict[str, Callable[[HeteroData, Path], None]]] = {
    ".graphml": _write_graphml, ".json": _write_json, ".pt": _write_torch,
}


def save_graph(data: HeteroData, path: str | Path) -> Path:
    """Write the graph of a video in the format of the path's suffix; folders are created.

    Raises:
        ValueError: another suffix, or an error of :func:`to_networkx`.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"{path}: a graph is saved as one of {', '.join(WRITERS)}, not {path.suffix!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[path.suffix](data, path)
    return path


def save_attention(batch: Batch, output: Localization | DenseOutput, folder: str | Path, *,
                   seconds: int | None = None,
                   facts: Mapping[str, str | int | float] | None = None) -> list[Path]:
    """Write the attention of one video as ``graph.graphml``, ``graph.json`` and ``graph.pt`` in `folder`.

    If every layer has its own adjacency, each has its files: ``graph-layer-1.graphml`` and so on.

    Args:
        batch: the input of the model, one video.
        output: the output of the model.
        seconds: length of the video without padding; nodes and edges of padding are left out.
        facts: attributes of a clip without annotation, instead of class, relevance and row.

    Raises:
        ValueError: more than one video, or an output without adjacency.
    """
    if batch.num_graphs != 1:
        raise ValueError(f"this batch has {batch.num_graphs} videos; give one")
    layers = max(map(len, output.adjacency.values()), default=0)
    names = ["graph"] if layers == 1 else [f"graph-layer-{layer + 1}" for layer in range(layers)]
    # A plain HeteroData: a batch of one would have its bookkeeping in every tool that reads it.
    graphs = [_of_clip(to_heterodata(batch, output, layer).get_example(0), seconds, facts) for layer in range(layers)]
    return [save_graph(graph, Path(folder) / f"{name}{suffix}")
            for name, graph in zip(names, graphs, strict=True) for suffix in WRITERS]
