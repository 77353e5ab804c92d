"""The figures and the page of a video as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.common.files import write_text
from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.export import save_attention, save_graph
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.visualize.graph import explanation_figure, graph_figure
from avsgn_pyg.visualize.heatmap import heatmap_figure
from avsgn_pyg.visualize.page import graph_page
from avsgn_pyg.visualize.picture import Picture
from avsgn_pyg.visualize.theme import save_figure
from avsgn_pyg.visualize.timeline import timeline_figure


def write_timeline(picture: Picture, folder: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write ``timeline.<format>`` to `folder`, for each requested format (png, svg, pdf)."""
    figure = timeline_figure(picture)
    return [save_figure(figure, folder / f"timeline.{suffix}") for suffix in formats]


def write_graph(picture: Picture, folder: Path, formats: Sequence[str] = ("png",), **drawing: Any) -> list[Path]:
    """Write ``graph.<format>``, ``adjacency.<format>`` and ``graph.html`` to `folder`.

    Args:
        drawing: layer, share, threshold and arrangement, as for :func:`.graph_figure`.

    Raises:
        PictureError: as for :func:`.graph_figure`; nothing is written then.
    """
    figures = {"graph": graph_figure(picture, **drawing), "adjacency": heatmap_figure(picture)}
    page = graph_page(picture)
    paths = [save_figure(figure, folder / f"{name}.{suffix}") for name, figure in figures.items() for suffix in formats]
    write_text(folder / "graph.html", page)
    return [*paths, folder / "graph.html"]


def write_explanation(picture: Picture, explanation: HeteroData, folder: Path, formats: Sequence[str] = ("png",), *,
                      note: str = "") -> list[Path]:
    """Write ``explanation.<format>`` and ``explanation.pt`` (read as :mod:`avsgn_pyg.graph.export` says) to `folder`.

    The figure and the arguments are those of :func:`.explanation_figure`.
    """
    figure = explanation_figure(picture, explanation, note=note)
    paths = [save_figure(figure, folder / f"explanation.{suffix}") for suffix in formats]
    return [*paths, save_graph(explanation, folder / "explanation.pt")]


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
            drawing: layer, share, threshold and arrangement, as for :func:`.graph_figure`.
            export: as for :func:`avsgn_pyg.graph.export.save_attention`.

        Raises:
            PictureError: as for :func:`.graph_figure`; nothing is written then.
        """
        paths = write_graph(self.picture, folder, formats, **(drawing or {}))
        return [*paths, *save_attention(self.batch, self.localization, folder, **export)]
