"""From a run's folder and a row of its data to figures: the timeline, the attention graph, the exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch_geometric.data import Batch

from avsgn_pyg import metrics
from avsgn_pyg.config import Config, ConfigError
from avsgn_pyg.data.dataset import Dataset, Videos
from avsgn_pyg.graph.export import save_attention
from avsgn_pyg.localization import Localization, events
from avsgn_pyg.recipes.checks import check_folder, check_tau
from avsgn_pyg.recipes.parts import open_run
from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.picture import Picture, named_layers, spans, text_names, write_graph


class Answer(NamedTuple):
    """One video: what there is to show, its graph as it went in, what the model made of it, and which row it is."""

    picture: Picture
    batch: Batch
    localization: Localization
    row: int


def answer_row(
    run: Path, *, row: int | None = None, split: str | None = None, tau: float | None = None,
    overrides: Sequence[str] = (),
) -> Answer:
    """Let a checkpoint answer one row of its data, on the CPU.

    Args:
        run: a run's folder or a checkpoint's.
        row: row of the annotation file (of made data: number of the video); ``None`` takes the split's first.
        split: ``None`` takes the config's ``evaluate.split``.
        tau: threshold of the relevance; ``None`` takes the config's ``evaluate.tau``.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting, the row or the data cannot be used.
    """
    check_tau(tau)
    checkpoint, config, dataset, split, videos, model = open_run(run, split=split, overrides=overrides, use="a picture")
    number = _number(videos, row, split)
    batch = videos.batch(torch.tensor([number]))
    with torch.inference_mode():
        found = model(batch)
    if tau is not None and found.segment_scores is not None:
        raise ConfigError(f"tau={tau}: {checkpoint.path} scores every segment, which is decoded without "
                          "tau; leave it out")
    picture = _picture(config, dataset, videos, number, split, found, config.evaluate.tau if tau is None else tau)
    return Answer(picture, batch, found, int(videos.row[number]))


def folder_in(run: Path, what: str) -> Path:
    """Where pictures lie unless told otherwise: beside their model, a folder for each row, clip or split.

    Raises:
        ConfigError: nothing can be written there.
    """
    return check_folder(run / "pictures" / what)


def write_answer(
    answer: Answer, folder: Path, formats: Sequence[str] = ("png",), drawing: dict[str, Any] | None = None
) -> list[Path]:
    """Figures, page and exported graph of a row in `folder`.

    Args:
        drawing: layer, share, threshold and arrangement, as of :func:`avsgn_pyg.visualize.picture.write_graph`.

    Raises:
        PictureError: the graph cannot be drawn as asked.
    """
    paths = write_graph(answer.picture, folder, formats, **(drawing or {}))
    return [*paths, *save_attention(answer.batch, answer.localization, folder)]


def _number(videos: Videos, row: int | None, split: str) -> int:
    rows = videos.row.tolist()
    if row is None:
        return 0
    if row not in rows:
        raise ConfigError(f"row={row} is not in the {split} split; its {len(rows)} rows lie between {min(rows)} and "
                          f"{max(rows)}, such as {', '.join(map(str, rows[:5]))}")
    return rows.index(row)


def _picture(
    config: Config, dataset: Dataset, videos: Videos, number: int, split: str, found: Localization, tau: float
) -> Picture:
    classes = len(dataset.categories)
    labels = metrics.predict(found.category, found.relevance, tau, found.segment_scores)[0]
    here, end = slice(number, number + 1), int(videos.seconds[number])
    target = metrics.segment_targets(videos.category[here], videos.relevance[here, :end], classes)
    cmgi = config.model.cmgi
    return Picture(
        title=f"{dataset.name}, {split}, row {int(videos.row[number])}, {videos.video_ids[number]}",
        category=dataset.categories[int(found.category[0].argmax())],
        relevance=found.relevance[0].sigmoid().numpy(),
        gates={name: gate[0].mean(-1).numpy() for name, gate in found.gates.items()},
        tau=None if found.segment_scores is not None else tau,
        predicted=_spans(labels, dataset),
        truth=_spans(target[0], dataset),
        adjacency=named_layers(found.adjacency, layers=cmgi.layers, residual=cmgi.residual),
        text=text_names(dataset.categories) if config.model.text.slots == "per_class" else (),
    )


def _spans(labels: torch.Tensor, dataset: Dataset) -> tuple[Span, ...]:
    return spans(events(labels, len(dataset.categories)), dataset.categories)
