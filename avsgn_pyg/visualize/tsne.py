"""Fig. 5 of the paper: where the classes lie, in sound and in sight, after each stage of a model.

t-SNE keeps neighbours and no distances, so a picture of it can flatter. Each panel's title therefore says the
silhouette of the classes, which is taken on the features themselves (cosine distance; 1: classes lie apart, 0: they
overlap, below: mixed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsgn_pyg.visualize.picture import PictureError
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH, styled, text_width, wrapped

#: Paul Tol's muted hues; a class is a hue and a shape, for no eye tells 28 hues apart.
HUES: Final = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255")
SHAPES: Final = ("o", "s", "^", "D", "v", "P", "X", "*")

#: Seeds that t-SNE takes: from 0 on, below this.
SEEDS: Final = 2**32

_EDGE, _GAP, _PAD = 0.08, 0.12, 0.06
_TITLE_FONT, _TITLE_LINE, _NAME_FONT, _NAME_LINE = 9.0, 0.16, 7.5, 0.14
_KEY_FONT, _KEY_LINE, _KEY_MARK = 6.5, 0.13, 0.14


class Panel(NamedTuple):
    """One modality after one stage: [M, 2] points, and the silhouette of the features that they stand for."""

    points: Float[np.ndarray, "M 2"]
    silhouette: float


def make_panel(features: Float[np.ndarray, "M d"], labels: Int[np.ndarray, "M"], *, perplexity: float = 30.0,
               seed: int = 0) -> Panel:
    """t-SNE and silhouette of features by their classes, both by cosine distance.

    Args:
        perplexity: about how many neighbours a point has, 1 or more; less where there are few points.
        seed: of t-SNE, 0 or more and below :data:`SEEDS`.

    Raises:
        PictureError: scikit-learn is not there, fewer than two classes, no class with two points, features that are
            not finite, or a seed or a perplexity that t-SNE does not take.
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
        raise PictureError("the features hold a NaN or an infinite value, which has no place on a plane")
    few = max(1.0, min(perplexity, (len(labels) - 1) / 3))
    # Spread of the start that scikit-learn's own has; PCA's would be 0 / 0 for features that are all alike.
    start = 1e-4 * np.random.default_rng(seed).standard_normal((len(labels), 2))
    if features.shape[1] > 1 and features.std(0).max() > 1e-6:
        start = "pca"
    tsne = sklearn.manifold.TSNE(perplexity=few, metric="cosine", init=start, random_state=seed, n_jobs=1)
    points = tsne.fit_transform(features.astype(np.float32)).astype(np.float32)
    return Panel(points, float(sklearn.metrics.silhouette_score(features, labels, metric="cosine")))


def tsne_figure(*, title: str, panels: Mapping[str, Mapping[str, Panel]], labels: Int[np.ndarray, "M"],
                names: Sequence[str], width: float = TEXT_WIDTH) -> Figure:
    """A row a modality, a column a stage, and one key of the classes for all.

    Args:
        title: what was drawn.
        panels: modality -> stage -> panel; every modality has the same stages.
        labels: class of each point, the same points in all panels.
        names: of the classes, by number.
        width: inches.

    Raises:
        PictureError: no panel, modalities of different stages, other numbers of points, or a class without a name.
    """
    stages = _check(panels, labels, names)
    side = (width - 2 * _EDGE - (len(stages) - 1) * _GAP) / len(stages)
    titles = wrapped(title, width - 2 * _EDGE, _TITLE_FONT)
    heads = {(modality, stage): wrapped(f"{modality}, {stage}: silhouette {panel.silhouette:.2f}".replace("-", "−"),
                                        side, _NAME_FONT)
             for modality, row in panels.items() for stage, panel in row.items()}
    head = _PAD + _NAME_LINE * max(len(lines) for lines in heads.values())
    shown = [int(label) for label in np.unique(labels)]
    columns, key_width = _key_columns([names[label] for label in shown], width - 2 * _EDGE)
    key = _KEY_LINE * -(-len(shown) // columns)
    top = _EDGE + _TITLE_LINE * len(titles)
    height = top + len(panels) * (head + side) + _GAP + key + _EDGE
    with styled():
        figure = Figure(figsize=(width, height))
        figure.text(_EDGE / width, 1 - _EDGE / height, "\n".join(titles), va="top", size=_TITLE_FONT)
        for row, modality in enumerate(panels):
            for column, stage in enumerate(stages):
                left = _EDGE + column * (side + _GAP)
                low = height - top - (row + 1) * (head + side)
                figure.text(left / width, (low + side + _PAD / 2) / height, "\n".join(heads[modality, stage]),
                            va="bottom", size=_NAME_FONT)
                axes = figure.add_axes((left / width, low / height, side / width, side / height))
                _draw(axes, panels[modality][stage].points, labels, shown)
        _draw_key(figure, shown, names, columns, key_width, key)
    return figure


def _sklearn() -> ModuleType:
    try:
        import sklearn
        import sklearn.manifold
        import sklearn.metrics
    except ImportError as error:
        raise PictureError(f"t-SNE needs scikit-learn ({error}); install it with: pip install -e .[figures]") from None
    return sklearn


def _check(panels: Mapping[str, Mapping[str, Panel]], labels: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """The stages, once everything fits."""
    rows = {modality: tuple(row) for modality, row in panels.items()}
    if not rows or not all(rows.values()) or len(set(rows.values())) > 1:
        raise PictureError(f"panels={rows}: give every modality the same stages, one or more")
    for modality, row in panels.items():
        for stage, panel in row.items():
            if len(panel.points) != len(labels):
                raise PictureError(f"{modality}, {stage}: {len(panel.points)} points for {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= len(names):
        raise PictureError(f"labels lie in [{labels.min()}, {labels.max()}], but there are {len(names)} names")
    return next(iter(rows.values()))


def _draw(axes: Axes, points: np.ndarray, labels: np.ndarray, shown: Sequence[int]) -> None:
    # Smaller the more there are, so that a crowd stays a crowd of points.
    size = float(np.clip(3000 / len(points), 1.5, 14.0))
    for label in shown:
        own = points[labels == label]
        axes.scatter(own[:, 0], own[:, 1], s=size, c=_hue(label), marker=_shape(label), linewidths=0)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(COLOURS["background"])


def _key_columns(names: Sequence[str], room: float) -> tuple[int, float]:
    """How many columns of names fit, and how wide one is."""
    wide = _KEY_MARK + max(text_width(name, _KEY_FONT) for name in names) + _GAP
    columns = max(1, min(len(names), int(room / wide)))
    return columns, room / columns


def _draw_key(figure: Figure, shown: Sequence[int], names: Sequence[str], columns: int, wide: float,
              high: float) -> None:
    """Mark and name of every class that is drawn, column by column."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((_EDGE / width, _EDGE / height, 1 - 2 * _EDGE / width, high / height))
    axes.set(xlim=(0, width - 2 * _EDGE), ylim=(0, high))
    axes.axis("off")
    deep = -(-len(shown) // columns)
    for place, label in enumerate(shown):
        x, y = place // deep * wide, high - (place % deep + 0.5) * _KEY_LINE
        axes.scatter(x + 0.05, y, s=14.0, c=_hue(label), marker=_shape(label), linewidths=0, clip_on=False)
        axes.text(x + _KEY_MARK, y, names[label], va="center_baseline", size=_KEY_FONT)


def _hue(label: int) -> str:
    return HUES[label % len(HUES)]


def _shape(label: int) -> str:
    return SHAPES[label // len(HUES) % len(SHAPES)]
