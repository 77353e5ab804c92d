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
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex
from matplotlib.figure import Figure

from avsgn_pyg.common.errors import PictureError
from avsgn_pyg.visualize.theme import (
    COLOURS,
    EDGE,
    TEXT_WIDTH,
    add_axes,
    short_names,
    start_figure,
    styled,
    text_width,
    wrapped,
)

#: Paul Tol's muted hues, for few classes.
HUES: Final = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255")

#: Seeds of t-SNE lie in [0, SEEDS).
SEEDS: Final = 2**32

_GAP, _PAD, _NAME_FONT, _NAME_LINE = 0.12, 0.06, 7.5, 0.14
#: Points of a class's name, and inches of its line and of the margin around the points.
_FONT, _LINE, _MARGIN = 5.5, 0.1, 0.12
#: Most classes without a name that are listed.
_LISTED: Final = 4
#: Most classes with which three panels next to each other have room for the names.
_FEW: Final = 12
#: Inches and directions in which a name is tried around its cluster, and inches that a covered point is worth.
_RADII: Final = (0.1, 0.16, 0.24, 0.34, 0.46, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)
_DIRECTIONS: Final = 24
_COVERED: Final = 0.02


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


class Name(NamedTuple):
    """A class's name in a panel, in inches: its middle, half of its size, and the point of its cluster."""

    x: float
    y: float
    half: tuple[float, float]
    centre: tuple[float, float]


@styled()
def tsne_figure(*, title: str, panels: Mapping[str, Mapping[str, Panel]], labels: Int[np.ndarray, "M"],
                names: Sequence[str], width: float = TEXT_WIDTH) -> Figure:
    """Draw one panel per modality and stage, with the name of each class beside the densest part of its points.

    A modality is a row; a column if there are many classes, whose names then have more room.

    Args:
        panels: modality -> stage -> panel; every modality has the same stages.
        labels: class of each point, the same points in all panels.
        names: class names, by number; drawn without what follows a comma.
        width: inches.

    Raises:
        PictureError: no panel, modalities of different stages, other numbers of points, or a class without a name.
    """
    stages = _check(panels, labels, names)
    shown = np.unique(labels).tolist()
    grid = [[(modality, stage) for stage in stages] for modality in panels]
    if len(shown) > _FEW:
        grid = [list(column) for column in zip(*grid, strict=True)]
    side = (width - 2 * EDGE - (len(grid[0]) - 1) * _GAP) / len(grid[0])
    short = dict(zip(shown, short_names([names[label] for label in shown]), strict=True))
    colours = dict(zip(shown, _colours(len(shown)), strict=True))
    places = {key: _fit(panels[key[0]][key[1]].points, side) for row in grid for key in row}
    found = {key: place_names(points, labels, short, side) for key, points in places.items()}
    lost = [short[label] for label in shown if any(label not in names for names in found.values())]
    heads = {(modality, stage): wrapped(f"{modality}, {stage}: silhouette "
                                        f"{panels[modality][stage].silhouette:.2f}".replace("-", "−"), side, _NAME_FONT)
             for modality, stage in places}
    up = _PAD + _NAME_LINE * max(len(lines) for lines in heads.values()) + side
    more = f" and {len(lost) - _LISTED} more" * (len(lost) > _LISTED)
    key = f"not named in every panel, for want of room: {', '.join(lost[:_LISTED])}{more}" if lost else ""
    figure, top = start_figure(title, width, len(grid) * up + EDGE, key=key)
    for row, column in np.ndindex(len(grid), len(grid[0])):
        this = grid[row][column]
        left, bottom = EDGE + column * (side + _GAP), top - (row + 1) * up
        axes = add_axes(figure, left, bottom, side, side)
        axes.annotate("\n".join(heads[this]), (0, 1), (0, 72 * _PAD / 2), xycoords="axes fraction",
                      textcoords="offset points", va="bottom", size=_NAME_FONT)
        axes.set(xticks=[], yticks=[], xlim=(0, side), ylim=(0, side))
        axes.spines[:].set_color(COLOURS["background"])
        # Smaller the more there are, so that dense regions still show single points.
        size = float(np.clip(3000 / len(labels), 1.5, 14.0))
        axes.scatter(*places[this].T, s=size, c=[colours[label] for label in labels.tolist()], linewidths=0)
        for label, name in found[this].items():
            _draw_name(axes, short[label], name, colours[label])
    return figure


def place_names(points: Float[np.ndarray, "M 2"], labels: Int[np.ndarray, "M"], names: Mapping[int, str], side: float
                ) -> dict[int, Name]:
    """Place names in a square of `side` inches near the densest points of their classes, on few points and no name.

    Returns:
        The names by class, without those that have no room.
    """
    found: dict[int, Name] = {}
    angles = np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
    tries = np.stack([np.outer(_RADII, ways(angles)).ravel() for ways in (np.cos, np.sin)], axis=1)
    costs = np.repeat(_RADII, _DIRECTIONS)
    for label in sorted(names, key=lambda label: -int((labels == label).sum())):
        own = points[labels == label]
        centre = own[_densest(own)]
        half = np.array([text_width(names[label], _FONT) + 0.04, _LINE]) / 2
        # The middle of the side or corner that is nearest to the centre lies at the radius.
        middles = centre + tries + np.sign(np.round(tries, 6)) * half * (np.abs(tries) > 0.05)
        free = ((middles - half >= 0) & (middles + half <= side)).all(1)
        for other in found.values():
            apart = np.abs(middles - (other.x, other.y)) >= half + other.half
            free &= apart.any(1)
        if free.any():
            covered = (np.abs(points[None] - middles[:, None]) < half + 0.01).all(2).sum(1)
            best = int(np.argmin(np.where(free, costs + _COVERED * covered, np.inf)))
            found[label] = Name(*middles[best].tolist(), tuple(half.tolist()), tuple(centre.tolist()))
    return found


def _densest(points: Float[np.ndarray, "K 2"]) -> int:
    """Return the point that has a quarter of the others nearest around it."""
    distances = np.sort(np.linalg.norm(points[:, None] - points, axis=2), axis=1)
    return int(distances[:, len(points) // 4].argmin())


def _draw_name(axes: Axes, text: str, name: Name, colour: str) -> None:
    middle, half, centre = np.array([name.x, name.y]), np.array(name.half), np.array(name.centre)
    edge = np.clip(centre, middle - half + 0.02, middle + half - 0.02)
    axes.plot(*zip(centre, edge, strict=True), color=COLOURS["ink"], linewidth=0.4, zorder=3)
    axes.plot(*centre, "o", color=colour, markersize=3.0, markeredgecolor=COLOURS["ink"], markeredgewidth=0.4, zorder=3)
    axes.text(*middle, text, size=_FONT, ha="center", va="center_baseline", zorder=5,
              bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.4})


def _fit(points: Float[np.ndarray, "M 2"], side: float) -> Float[np.ndarray, "M 2"]:
    """Return the points in a square of `side` inches."""
    low, high = points.min(0), points.max(0)
    scale = (side - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
    return (points - (low + high) / 2) * scale + side / 2


def _colours(count: int) -> list[str]:
    """Return one colour per class; of many, neighbours in the list differ in hue and lightness."""
    if count <= len(HUES):
        return list(HUES[:count])
    at = np.arange(count)
    values = np.stack([at * 0.618 % 1, np.full(count, 0.8), np.array((0.55, 0.9, 0.72))[at % 3]], axis=1)
    return [to_hex(colour) for colour in hsv_to_rgb(values)]


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
