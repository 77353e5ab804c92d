"""One video with a model's output, and the figures and the page that show it.

Shapes: T segments, N nodes of a subgraph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.common.errors import PictureError, did_you_mean
from avsgn_pyg.common.files import write_text
from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.export import save_attention, save_graph
from avsgn_pyg.graph.localization import Localization, events
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, VISUAL
from avsgn_pyg.visualize.edges import rollout
from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.graph import Arrangement, graph_figure
from avsgn_pyg.visualize.heatmap import heatmap_figure
from avsgn_pyg.visualize.page import graph_page
from avsgn_pyg.visualize.theme import save_figure
from avsgn_pyg.visualize.timeline import timeline_figure

#: Name of the adjacency of all layers together.
ROLLOUT: Final = "rollout"
_SHOWN: Final = ("title", "category", "frames", "waveform", "predicted", "truth", "start")


@dataclass(frozen=True, eq=False)
class Picture:
    """One video with a model's output; probabilities, not logits.

    Attributes:
        title, category, relevance, gates, tau, predicted, truth, frames, waveform, start, missing: see
            :func:`~avsgn_pyg.visualize.timeline.timeline_figure`.
        notes: remarks on the video, such as that it has no sound.
        adjacency: subgraph -> name of the layer -> [N, N]; empty for models without a graph.
        text: names of the text nodes, if they have any.
    """

    title: str
    category: str
    relevance: Float[np.ndarray, "T"]
    gates: Mapping[str, Float[np.ndarray, "T"]]
    tau: float | None
    predicted: tuple[Span, ...]
    truth: tuple[Span, ...] | None = None
    frames: UInt8[np.ndarray, "T H W 3"] | None = None
    waveform: Float[np.ndarray, "samples"] | None = None
    notes: tuple[str, ...] = ()
    adjacency: Mapping[str, Mapping[str, Float[np.ndarray, "_ _"]]] = field(default_factory=dict)
    text: tuple[str, ...] = ()
    start: int = 0
    missing: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, rollout last."""
        return tuple(next(iter(self.adjacency.values()), ()))

    def timeline(self) -> Figure:
        """Draw Fig. 4 of the paper."""
        return timeline_figure(**self._parts(*_SHOWN, "relevance", "gates", "tau", "notes", "missing"))

    def graph(self, *, layer: str | None = None, share: float = 0.1, threshold: float | None = None,
              arrangement: Arrangement = "side-by-side") -> Figure:
        """Draw the attention graph of one layer; ``None``: the first.

        Raises:
            PictureError: no such layer, a share outside (0, 1], or a model without a graph.
        """
        self._need_graph()
        layer = self.layers[0] if layer is None else layer
        if layer not in self.layers:
            raise PictureError(f"layer={layer!r}: this model has {', '.join(map(repr, self.layers))}"
                               f"{did_you_mean(layer, self.layers)}")
        adjacency = {subgraph: found[layer] for subgraph, found in self.adjacency.items()}
        note = "; ".join((f"attention: {layer}", *self.notes))
        return graph_figure(**self._parts(*_SHOWN, "text"), adjacency=adjacency, seconds=len(self.relevance),
                            share=share, threshold=threshold, arrangement=arrangement, note=note)

    def heatmaps(self) -> Figure:
        """Draw every adjacency; PictureError for a model without a graph."""
        self._need_graph()
        return heatmap_figure(title=self.title, adjacency=self.adjacency, seconds=len(self.relevance))

    def page(self) -> str:
        """Return the interactive page; PictureError for a model without a graph."""
        self._need_graph()
        parts = self._parts(*_SHOWN, "relevance", "gates", "adjacency", "text", "notes")
        return graph_page(**parts, seconds=len(self.relevance))

    def _parts(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    def _need_graph(self) -> None:
        if not self.adjacency:
            raise PictureError(f"{self.title}: this model has no graph (model.cmgi.subgraphs is empty)")


def write_timeline(picture: Picture, folder: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write ``timeline.<format>`` to `folder`, for each requested format (png, svg, pdf)."""
    figure = picture.timeline()
    return [save_figure(figure, folder / f"timeline.{suffix}") for suffix in formats]


def write_graph(picture: Picture, folder: Path, formats: Sequence[str] = ("png",), **drawing: Any) -> list[Path]:
    """Write ``graph.<format>``, ``adjacency.<format>`` and ``graph.html`` to `folder`.

    Args:
        drawing: layer, share, threshold and arrangement, as for :meth:`Picture.graph`.

    Raises:
        PictureError: as for :meth:`Picture.graph`; nothing is written then.
    """
    figures = {"graph": picture.graph(**drawing), "adjacency": picture.heatmaps()}
    page = picture.page()
    paths = [save_figure(figure, folder / f"{name}.{suffix}") for name, figure in figures.items() for suffix in formats]
    write_text(folder / "graph.html", page)
    return [*paths, folder / "graph.html"]


def write_explanation(picture: Picture, explanation: HeteroData, folder: Path, formats: Sequence[str] = ("png",), *,
                      note: str = "") -> list[Path]:
    """Write ``explanation.<format>`` and ``explanation.pt`` (read as :mod:`avsgn_pyg.graph.export` says) to `folder`.

    The figure and the arguments are those of :func:`explanation_figure`.
    """
    figure = explanation_figure(picture, explanation, note=note)
    paths = [save_figure(figure, folder / f"explanation.{suffix}") for suffix in formats]
    return [*paths, save_graph(explanation, folder / "explanation.pt")]


def explanation_figure(picture: Picture, explanation: HeteroData, *, note: str = "") -> Figure:
    """Draw the node masks of every second, and the edges whose mask is at least half of the largest one.

    Masks with a value per feature are summed; of attributions only the positive part is drawn, the largest as 1.

    Args:
        picture: of the same video; its adjacency is not drawn.
        explanation: from :func:`avsgn_pyg.model.explain.explain`.
        note: what was explained, and how, below the title.
    """
    scores = {name: explanation[name].node_mask.sum(-1).clamp(min=0).numpy() for name in (AUDIO, VISUAL)}
    if (largest := float(max(score.max() for score in scores.values()))) > 1:
        note += f"; bars: positive part, the largest ({largest:.2f}) is 1"
        scores = {name: score / largest for name, score in scores.items()}
    masks = _edge_masks(explanation)
    half = max(float(matrix.max()) for matrix in masks.values()) / 2
    return graph_figure(**picture._parts(*_SHOWN, "text"), adjacency=masks, seconds=len(picture.relevance),
                        threshold=half, arrangement="overlaid", note=note, scores=scores)


def _edge_masks(explanation: HeteroData) -> dict[str, Float[np.ndarray, "_ _"]]:
    """The positive edge masks of every subgraph as [N, N], from the column's node into the row's."""
    masks = {}
    for source, subgraph, target in explanation.edge_types:
        first, second = SUBGRAPHS[subgraph]
        begin = {first: 0, second: explanation[first].num_nodes}
        nodes = begin[second] + explanation[second].num_nodes
        store = explanation[source, subgraph, target]
        j, i = store.edge_index
        matrix = masks.setdefault(subgraph, np.zeros((nodes, nodes), np.float32))
        matrix[i + begin[target], j + begin[source]] = store.edge_mask.clamp(min=0)
    return masks


class VideoGraph(NamedTuple):
    """The picture of one video, its graph as a batch of one, and the model's output for it."""

    picture: Picture
    batch: Batch
    localization: Localization | DenseOutput

    def write(
        self, folder: Path, formats: Sequence[str] = ("png",), drawing: dict[str, Any] | None = None, **export: Any
    ) -> list[Path]:
        """Write figures, page and exported graph to `folder`.

        Args:
            drawing: layer, share, threshold and arrangement, as for :meth:`Picture.graph`.
            export: as for :func:`avsgn_pyg.graph.export.save_attention`.

        Raises:
            PictureError: as for :meth:`Picture.graph`; nothing is written then.
        """
        paths = write_graph(self.picture, folder, formats, **(drawing or {}))
        return [*paths, *save_attention(self.batch, self.localization, folder, **export)]


def spans(labels: Int[Tensor, "T"], categories: Sequence[str], scores: Float[Tensor, "T C"] | None = None
          ) -> tuple[Span, ...]:
    """Return the events of segment labels (background is C) as spans of class names.

    Args:
        scores: probability of each class in each second, whose mean over an event is its confidence.
    """
    return tuple(Span(categories[category], float(start), float(end),
                      score=None if scores is None else float(scores[start:end, category].mean()))
                 for category, start, end in events(labels, len(categories)))


def text_names(categories: Sequence[str], label_text: nn.Module | None) -> tuple[str, ...]:
    """Return the names of a model's text nodes: the labels, or of a mixture of labels the one with most weight.

    Args:
        label_text: the model's :class:`~avsgn_pyg.model.inputs.LabelText`, with the visual bank first; ``None`` for
            models without text nodes.
    """
    if label_text is None:
        return ()
    labels = [f"{name} ({how})" for how in ("seen", "heard") for name in categories]
    if label_text.project is None:
        return tuple(labels)
    weight = label_text.project.weight.detach()
    most = weight.abs().argmax(-1)
    return tuple(f"{'−' if weight[row, label] < 0 else '+'}{abs(weight[row, label]):.2f} {labels[label]}"
                 for row, label in enumerate(most))


def named_layers(
    adjacency: Mapping[str, Sequence[Tensor]], *, layers: int, residual: bool
) -> dict[str, dict[str, Float[np.ndarray, "_ _"]]]:
    """Return the adjacencies of a localization's first video, by subgraph and name of the layer, and their rollout.

    Args:
        adjacency: ``Localization.adjacency``: one per layer, or one that all layers share; dense or sparse.
        layers: layers of message passing.
        residual: whether they have residual connections.
    """
    found = {}
    for subgraph, given in adjacency.items():
        matrices = [one.detach().to_dense()[0].float().cpu().numpy() for one in given]
        shared = len(matrices) == 1 and layers > 1
        names = [f"layers 1 to {layers}"] if shared else [f"layer {at}" for at in range(1, len(matrices) + 1)]
        found[subgraph] = dict(zip(names, matrices, strict=True))
        if layers > 1:
            found[subgraph][ROLLOUT] = rollout(matrices * layers if shared else matrices, residual=residual)
    return found
