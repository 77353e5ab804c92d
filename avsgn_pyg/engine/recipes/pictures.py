"""Figures of one row of a run's data: timeline, attention graph, exported graph, explanation of the prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch_geometric.explain import CaptumExplainer, HeteroExplanation

from avsgn_pyg import metrics
from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.common.errors import PictureError
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.engine.recipes.checks import check_tau
from avsgn_pyg.engine.recipes.parts import Opened, open_run
from avsgn_pyg.model.explain import explain
from avsgn_pyg.visualize.confusion import confusion_figure
from avsgn_pyg.visualize.files import VideoGraph
from avsgn_pyg.visualize.picture import Picture, named_layers, spans, text_names
from avsgn_pyg.visualize.theme import Figure

#: Method -> its name in figures.
METHODS: Final = {"gnn": "GNNExplainer", "integrated_gradients": "integrated gradients"}
STEPS: Final = 50  #: of the integral


def answer_row(
    run: Path, *, row: int | None = None, split: str | None = None, tau: float | None = None,
    overrides: Sequence[str] = (),
) -> VideoGraph:
    """Run a checkpoint on one row of its data, on the CPU; the row's number is ``batch.row``.

    Args:
        run: a run's folder or a checkpoint's.
        row: row of the annotation file (of synthetic data: number of the video); ``None`` takes the split's first.
        split: ``None`` takes the config's ``evaluate.split``.
        tau: threshold of the relevance; ``None`` takes the config's ``evaluate.tau``.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting, the row or the data cannot be used.
    """
    _, picture = open_row(run, row=row, split=split, tau=tau, overrides=overrides)
    return picture


def open_row(
    run: Path, *, row: int | None = None, split: str | None = None, tau: float | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Opened, VideoGraph]:
    """:func:`answer_row`, with the opened run."""
    check_tau(tau)
    opened = open_run(run, split=split, overrides=overrides, use="a picture")
    number = _number(opened.videos, row, opened.split)
    batch = opened.videos.batch(torch.tensor([number]))
    with torch.inference_mode():
        found = opened.model(batch)
    if tau is not None and found.segment_scores is not None:
        raise ConfigError(f"tau={tau}: {opened.checkpoint.path} scores every segment, which is decoded without tau; "
                          "leave it out")
    tau = opened.config.evaluate.tau if tau is None else tau
    return opened, VideoGraph(_picture(opened, number, found, tau), batch, found)


@torch.inference_mode()
def draw_confusion(opened: Opened) -> Figure:
    """Draw the confusion matrix of an opened run's split."""
    videos, names = opened.videos, opened.dataset.categories
    found = opened.model(videos.batch(torch.arange(len(videos))))
    target = metrics.segment_targets(videos.category, videos.relevance, len(names))
    confusion = metrics.confusion_matrix(metrics.labels(found, opened.config.evaluate.tau), target, len(names) + 1,
                                         found.mask)
    return confusion_figure(confusion, names, title=f"{opened.dataset.name}, {opened.split}: labels of the seconds")


def folder_in(run: Path, name: str) -> Path:
    """Return the default folder of pictures, inside the run's; `name` is that of a row, clip or split.

    Raises:
        ConfigError: nothing can be written there.
    """
    folder = run / "pictures" / name
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ConfigError(f"{folder}: cannot be written to; name another folder for the pictures, --out DIR")
    return folder


def explain_row(
    run: Path, *, method: str = "gnn", second: int | None = None, row: int | None = None, split: str | None = None,
    overrides: Sequence[str] = (),
) -> tuple[VideoGraph, HeteroExplanation, str]:
    """Explain a checkpoint's prediction for one row, against the mean second of the train split.

    Args:
        method: of :data:`METHODS`; ``integrated_gradients`` needs captum.
        second: explain event or background, whichever is predicted, in this second; ``None``: the predicted class.
        row, split, overrides: as for :func:`answer_row`.

    Returns:
        The answer, its explanation, and a sentence on what was explained and how.

    Raises:
        PictureError: captum is not installed, a second after the end, or a model without a graph.
        CheckpointError, ConfigError, DataError: as for ``answer_row``.
    """
    opened, answer = open_row(run, row=row, split=split, overrides=overrides)
    algorithm, nodes = (None, "object") if method == "gnn" else (_integrated_gradients(), "attributes")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            explanation = explain(opened.model, answer.batch, algorithm, second=second, node_mask_type=nodes,
                                  baseline=opened.dataset.train.mean)
        except ValueError as error:
            raise PictureError(str(error)) from None
    what = "the class"
    if second is not None:
        kind = "event" if int(explanation.target) else "background"
        what = f"{kind} in second {second} (relevance {float(explanation.prediction):.2f})"
    return answer, explanation, f"masks of {METHODS[method]} for {what}"


def _number(videos: Videos, row: int | None, split: str) -> int:
    rows = videos.row.tolist()
    if row is None:
        return 0
    if row not in rows:
        raise ConfigError(f"row={row} is not in the {split} split; its {len(rows)} rows lie between {min(rows)} and "
                          f"{max(rows)}, such as {', '.join(map(str, rows[:5]))}")
    return rows.index(row)


def _picture(opened: Opened, number: int, found: Any, tau: float) -> Picture:
    videos, names, config = opened.videos, opened.dataset.categories, opened.config.model
    here, end = slice(number, number + 1), int(videos.seconds[number])
    predicted = metrics.labels(found, tau)[0]
    relevance, scores = found.relevance[0].sigmoid(), found.segment_scores
    joint = (relevance[:, None] * found.category[0].softmax(-1) if scores is None else scores[0].softmax(-1))
    truth = metrics.segment_targets(videos.category[here], videos.relevance[here, :end], len(names))[0]
    return Picture(
        title=f"{opened.dataset.name}, {opened.split}, row {int(videos.row[number])}, {videos.video_ids[number]}",
        category=names[int(found.category[0].argmax())],
        relevance=relevance.numpy(),
        gates={name: gate[0].mean(-1).numpy() for name, gate in found.gates.items()},
        tau=None if scores is not None else tau,
        predicted=spans(predicted, names, joint),
        truth=spans(truth, names),
        adjacency=named_layers(found.adjacency, layers=config.cmgi.layers, residual=config.cmgi.residual),
        text=text_names(names, getattr(opened.model, "label_text", None)),
    )


def _integrated_gradients() -> CaptumExplainer:
    try:
        return CaptumExplainer("IntegratedGradients", n_steps=STEPS)
    except ImportError:
        raise PictureError("integrated gradients need captum; install it with pip install 'avsgn_pyg[figures]', or use "
                           "the method gnn") from None
