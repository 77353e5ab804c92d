"""Figures of how reliable a model's probabilities are on an annotated split."""

from __future__ import annotations

from pathlib import Path

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.engine.recipes.result import Result
from avsgn_pyg.engine.recipes.task import TaskResult
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.metrics.calibration import Reliability, reliability
from avsgn_pyg.visualize.reliability import Curve, reliability_figure
from avsgn_pyg.visualize.theme import save_figure


def class_reliability(found: Localization, videos: Videos) -> Reliability:
    """Return the probability of every video's likeliest class against whether it is right; videos with an event."""
    known = videos.category.cpu() >= 0
    probability, best = found.category[known].softmax(-1).max(-1)
    return reliability(probability, best == videos.category.cpu()[known])


def draw_result(result: Result | TaskResult, path: Path) -> Path:
    """Write the figure of an evaluation; of several seeds, that of their ensemble.

    Raises:
        ConfigError: the run finds several events a video.
    """
    if isinstance(result, TaskResult):
        raise ConfigError(f"{result.folder}: the figure of reliability is of one class a video and one relevance a "
                          "second, and this run finds several events a video")
    result = result.ensemble or result
    name = result.dataset + (" (synthetic)" if result.synthetic else "")
    title = f"{name}, {result.split}: {result.folder.name}"
    return write_reliability(path, result.evaluations[0].predictions, result.videos, title)


def write_reliability(path: Path, found: Localization, videos: Videos, title: str) -> Path:
    """Draw the classes of videos, and the relevance of every second against whether it is of an event.

    `path` ends in .png, .svg or .pdf (ValueError for another suffix).
    """
    scores = found.segment_scores
    relevance = found.relevance.sigmoid() if scores is None else 1 - scores.softmax(-1)[..., -1]
    event = metrics.zero_padding(videos.relevance.cpu(), videos.mask) > 0
    inside = event | True if videos.mask is None else videos.mask.cpu()
    parts = {"class of a video": class_reliability(found, videos),
             "event in a second": reliability(relevance[inside], event[inside])}
    panels = {name: Curve(part.count.numpy(), part.predicted.numpy(), part.observed.numpy(), part.error)
              for name, part in parts.items()}
    return save_figure(reliability_figure(title, panels), path)
