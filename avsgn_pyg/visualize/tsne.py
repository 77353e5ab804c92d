"""Fig. 5 of the paper: the classes in audio and visual features after each stage of a model.

t-SNE keeps neighbours but not distances, so a figure can show clearer clusters than the features have. Each panel's
title therefore gives the silhouette of the classes, computed on the features themselves (cosine distance; 1: separate
classes, 0: overlapping, negative: mixed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from avsgn_pyg.common.errors import PictureError
from avsgn_pyg.visualize.theme import COLOURS, EDGE, TEXT_WIDTH, add_axes, start_figure, styled, text_width, wrapped

#: Paul Tol's muted hues; a class is a hue and a marker, because 28 hues are hard to tell apart.
HUES: Final = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255")
SHAPES: Final = ("o", "s", "^", "D", "v", "P", "X", "*")

#: Seeds of t-SNE lie in [0, SEEDS).
SEEDS: Final = 2**32

_GAP, _PAD, _NAME_FONT, _NAME_LINE = 0.12, 0.06, 7.5, 0.14
_KEY_FONT, _KEY_LINE, _KEY_MARK = 6.5, 0.13, 0.14


class Panel(NamedTuple):
    """One modality after one stage: [M, 2] points, and the silhouette of their features."""

    points: Float[np.ndarray, "M 2"]
    silhouette: float


def make_panel(features: Float[np.ndarray, "M d"], labels: Int[np.ndarray, "M"], *, perplexity: float = 30.0,
               seed: int = 0) -> Panel:
    """Compute t-SNE and silhouette of features by their classes, both by cosine distance.

    Args:
        perplexity: about how many neighbours a point has, 1 or more; fewer if there are few points.
        seed: of t-SNE, 0 or more and below :data:`SEEDS`.

    Raises:
        PictureError: scikit-learn is not installed, fewer than two classes, no class with two points, features that
            are not finite, or a seed or a perplexity that t-SNE does not take.
    """
    if not 0 <= seed < SEEDS or not 1 <= perplexity < float("inf"):
        raise PictureError(f"seed={seed}, perplexity={perplexity}: t-SNE takes seeds from 0 to {SEEDS - 1}, and a "
                           "perplexity of 1 or more, such as 30")
    sklearn = _sklearn()
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.max() < 2:
        raise PictureError(f"{len(labels)} points of {len(classes)} classes: a t-SNE needs two classes or more, "
                           "and one of them more than a point; take a larger split")
    if not np.isfinite(features).all():
        raise PictureError("the features contain a NaN or an infinite value, which cannot be drawn")
    # scikit-learn's own random start, because PCA would be 0 / 0 for identical features.
    start = 1e-4 * np.random.default_rng(seed).standard_normal((len(labels), 2))
    if features.shape[1] > 1 and features.std(0).max() > 1e-6:
        start = "pca"
    few = max(1.0, min(perplexity, (len(labels) - 1) / 3))
    tsne = sklearn.manifold.TSNE(perplexity=few, metric="cosine", init=start, random_state=seed, n_jobs=1)
    points = tsne.fit_transform(features.astype(np.float32)).astype(np.float32)
    return Panel(points, float(sklearn.metrics.silhouette_score(features, labels, metric="cosine")))


@styled()
def tsne_figure(*, title: str, panels: Mapping[str, Mapping[str, Panel]], labels: Int[np.ndarray, "M"],
                names: Sequence[str], width: float = TEXT_WIDTH) -> Figure:
    """Draw one row per modality, one column per stage, and one legend of the classes.

    Args:
        panels: modality -> stage -> panel; every modality has the same stages.
        labels: class of each point, the same points in all panels.
        names: class names, by number.
        width: inches.

    Raises:
        PictureError: no panel, modalities of different stages, other numbers of points, or a class without a name.
    """
    stages = _check(panels, labels, names)
    side = (width - 2 * EDGE - (len(stages) - 1) * _GAP) / len(stages)
    heads = {(modality, stage): wrapped(f"{modality}, {stage}: silhouette {panel.silhouette:.2f}".replace("-", "−"),
                                        side, _NAME_FONT)
             for modality, row in panels.items() for stage, panel in row.items()}
    up = _PAD + _NAME_LINE * max(len(lines) for lines in heads.values()) + side
    shown = np.unique(labels).tolist()
    room = width - 2 * EDGE
    wide = _KEY_MARK + max(text_width(names[label], _KEY_FONT) for label in shown) + _GAP
    columns = max(1, min(len(shown), int(room / wide)))
    deep = -(-len(shown) // columns)
    key = _KEY_LINE * deep
    figure, top = start_figure(title, width, len(panels) * up + _GAP + key + EDGE)
    legend = add_axes(figure, EDGE, EDGE, room, key)
    legend.set(xlim=(0, room), ylim=(0, key))
    legend.axis("off")
    for row, column in np.ndindex(len(panels), len(stages)):
        (modality, points), stage = list(panels.items())[row], stages[column]
        left, bottom = EDGE + column * (side + _GAP), top - row * up - up
        axes = add_axes(figure, left, bottom, side, side)
        axes.annotate("\n".join(heads[modality, stage]), (0, 1), (0, 72 * _PAD / 2), xycoords="axes fraction",
                      textcoords="offset points", va="bottom", size=_NAME_FONT)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(COLOURS["background"])
        points = points[stage].points
        # Smaller the more there are, so that dense regions still show single points.
        size = float(np.clip(3000 / len(points), 1.5, 14.0))
        for label in shown:
            axes.scatter(*points[labels == label].T, s=size, **_look(label))
    for place, label in enumerate(shown):
        x, y = place // deep * room / columns, key - (place % deep + 0.5) * _KEY_LINE
        legend.scatter(x + 0.05, y, s=14.0, clip_on=False, **_look(label))
        legend.text(x + _KEY_MARK, y, names[label], va="center_baseline", size=_KEY_FONT)
    return figure


def _sklearn() -> ModuleType:
    try:
        import sklearn.manifold
        import sklearn.metrics
    except ImportError as error:
        raise PictureError(f"t-SNE needs scikit-learn ({error}); install it with: pip install -e .[figures]") from None
    return sklearn


def _check(panels: Mapping[str, Mapping[str, Panel]], labels: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """Return the stages, if everything fits."""
    rows = {modality: tuple(row) for modality, row in panels.items()}
    if not rows or not all(rows.values()) or len(set(rows.values())) > 1:
        raise PictureError(f"panels={rows}: give every modality the same stages, one or more")
    counts = {len(panel.points) for row in panels.values() for panel in row.values()}
    if counts != {len(labels)}:
        raise PictureError(f"panels of {', '.join(map(str, counts))} points for {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= len(names):
        raise PictureError(f"labels lie in [{labels.min()}, {labels.max()}], but there are {len(names)} names")
    return next(iter(rows.values()))


def _look(label: int) -> dict[str, str | float]:
    """Return colour and marker of a class."""
    return {"c": HUES[label % len(HUES)], "marker": SHAPES[label // len(HUES) % len(SHAPES)], "linewidths": 0}
