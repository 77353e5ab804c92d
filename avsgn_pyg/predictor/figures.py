"""The figures of README and docs, drawn from a run on clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import read_annotations
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes.parts import Opened
from avsgn_pyg.predictor.pictures import clip_picture, read_media, with_media
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.graph import explanation_figure, graph_figure
from avsgn_pyg.visualize.heatmap import heatmap_figure
from avsgn_pyg.visualize.sheet import sheet_figure
from avsgn_pyg.visualize.theme import Figure
from avsgn_pyg.visualize.timeline import timeline_figure


def documentation_figures(run: Path, videos: Path, *, row: int | None = None, explained: int | None = None
                          ) -> Iterator[tuple[str, Figure]]:
    """Draw the figures one after the other; yield the file of each, in the folder of the documentation, and the figure.

    Args:
        run: a run's folder or a checkpoint's.
        videos: folder of the clips, ``<video id>.mp4``.
        row: of the test split, for timeline, graphs and heat maps; ``None`` takes the first.
        explained: the row for the explanation.

    Raises:
        MediaError: a clip is absent or cannot be read.
        CheckpointError, ConfigError, DataError, PictureError: as for the single figures.
    """
    opened, answer = recipes.pictures.open_row(run, row=row, split="test")
    clips = {int(number): videos / f"{name}.mp4"
             for number, name in zip(opened.videos.row, opened.videos.video_ids, strict=True)}
    picture = with_media(answer.picture, clips[int(answer.batch.row)])
    yield "timeline.png", timeline_figure(picture)
    yield "graph.png", graph_figure(picture)
    yield "figures/overlaid.png", graph_figure(picture, arrangement="overlaid", share=0.05)
    yield "figures/adjacency.png", heatmap_figure(picture)
    other, explanation, note = recipes.pictures.explain_row(run, row=explained, split="test")
    shown = with_media(other.picture, clips[int(other.batch.row)])
    yield "explain.png", explanation_figure(shown, explanation, note=note)
    yield "figures/tsne.png", recipes.embedding.draw_tsne(recipes.embedding.embed_run(run, split="test", device="cpu"))
    yield "figures/confusion.png", recipes.pictures.draw_confusion(opened)
    yield "scenes.png", _sheet(opened, videos)


def annotated_timeline(run: Path, clip: Path) -> Figure:
    """Draw a clip of the data of a run that finds several events, with the events that are annotated.

    Raises:
        DataError: no annotation file, or one without the clip's name.
        CheckpointError, ConfigError, EncoderError, MediaError: as for a call of the predictor.
    """
    model = Predictor.from_checkpoint(run)
    data = model.config.data
    if data.root is None or data.annotations is None:
        raise DataError(f"{run}: its data have no annotation file (data.root, data.annotations)")
    found = {video.video_id: video.events for video in read_annotations(data.root / data.annotations)}
    if clip.stem not in found:
        raise DataError(f"{data.root / data.annotations}: no video {clip.stem!r}")
    truth = tuple(Span(*event) for event in found[clip.stem])
    return timeline_figure(replace(clip_picture(model(clip)), truth=truth))


def _sheet(opened: Opened, videos: Path) -> Figure:
    """Two clips of each class, in the middle of their events."""
    frames, names = [], []
    for category, name in enumerate(opened.dataset.categories):
        for number in torch.nonzero(opened.videos.category == category).flatten()[:2].tolist():
            seconds = torch.nonzero(opened.videos.relevance[number]).flatten()
            middle = int(seconds[len(seconds) // 2])
            found, _ = read_media(videos / f"{opened.videos.video_ids[number]}.mp4", start=middle, count=1)
            if found is not None:
                frames.append(found[0])
                names.append(name)
    return sheet_figure(frames, names, width=4.0)
