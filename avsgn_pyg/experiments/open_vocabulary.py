"""How well a label list that nobody trained is told apart: classes of an annotated data set, held out by chance.

Nothing is trained here. Every second counts alike (a relevance of one), and the two temperatures are the only numbers
fitted: on the train videos of the classes that are *not* held out, by their cross-entropy. A draw then holds out
`held_out` classes and asks, on the videos of those classes in the evaluated split, which of the held-out labels each is
(as a user's own list would), and which of all labels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.config import ConfigError, DataConfig
from avsgn_pyg.data.dataset import Dataset, Videos, load_dataset
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.metrics import emptied, mean_std_interval
from avsgn_pyg.model.open_vocabulary import DEFAULT, Temperatures, label_scores

#: Temperatures that are tried for each modality.
GRID: Final = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)
#: How labels are scored: both modalities, at fitted temperatures or at those that are shipped, or one of them (the
#: other's cosines count nothing).
WAYS: Final = ("both", "shipped", "audio", "visual")


@dataclass(frozen=True)
class Draw:
    """One choice of classes.

    Attributes:
        seed: of the choice.
        classes: names of those held out.
        videos: of those classes in the split.
        temperatures: fitted without them.
        among_held_out, among_all: way of :data:`WAYS` -> percent of the videos whose class comes first.
    """

    seed: int
    classes: tuple[str, ...]
    videos: int
    temperatures: Temperatures
    among_held_out: dict[str, float]
    among_all: dict[str, float]


@dataclass(frozen=True)
class HeldOut:
    """All draws of a measurement."""

    dataset: str
    split: str
    labels: int
    draws: tuple[Draw, ...]

    def table(self) -> str:
        """Mean and spread over the draws, and the first draw by itself."""
        first = self.draws[0]
        lines = [f"{self.dataset}, {self.split}: {len(first.classes)} of {self.labels} classes held out, "
                 f"{len(self.draws)} draws; accuracy in %",
                 f"{'':<22}{'among held-out':>20}{'among all':>20}"]
        for way in WAYS:
            cells = (mean_std_interval([getattr(draw, name)[way] for draw in self.draws])
                     for name in ("among_held_out", "among_all"))
            lines.append(f"{way:<22}" + "".join(f"{f'{cell.mean:.1f} ± {cell.std:.1f}':>20}" for cell in cells))
        lines.append(f"{'chance':<22}{100 / len(first.classes):>20.1f}{100 / self.labels:>20.1f}")
        lines.append(f"seed {first.seed}: {', '.join(first.classes)} ({first.videos} videos); both "
                     f"{first.among_held_out['both']:.1f} among them, {first.among_all['both']:.1f} among all; "
                     f"temperatures audio {first.temperatures.audio:g}, visual {first.temperatures.visual:g}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"draws": [asdict(draw) | {"temperatures": draw.temperatures._asdict()}
                                         for draw in self.draws]}


def measure_held_out(
    config: DataConfig, *, split: str = "val", held_out: int = 7, seeds: Sequence[int] = range(20)
) -> HeldOut:
    """Hold classes out, `seeds` draws of them, and score their videos by text alone.

    Raises:
        DataError: the data cannot be used, or have no label text or no such split; a draw without a video of its
            held-out classes in the split, or of the others in train.
        ConfigError: `held_out` leaves no class on one of the two sides, or no seed; or videos of many classes each.
    """
    if config.kind == "llp":
        raise ConfigError("data.kind=llp: its videos hold several events each, and this asks which one; give data of "
                          "one class a video, data.kind=ave or synthetic")
    dataset = load_dataset(config)
    if dataset.label_text is None:
        raise DataError(f"{dataset.name} brings no label text; give data.audio_labels and data.visual_labels, or a "
                        "store that was extracted with class names")
    count = len(dataset.categories)
    if not 2 <= held_out < count - 1 or not seeds:
        raise ConfigError(f"held_out={held_out}, seeds={list(seeds)}: hold out 2 to {count - 2} of the {count} "
                          "classes, with a seed at least")
    train, judged = dataset.train, dataset.split(split)
    parts = [(_cosines(videos, dataset), videos.category) for videos in (train, judged)]
    return HeldOut(dataset.name, split, count, tuple(_draw(seed, held_out, dataset, *parts) for seed in seeds))


def _cosines(videos: Videos, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """[N, C] of audio and of visual: each alone is :func:`label_scores` with nothing of the other."""
    text, mask = dataset.label_text, videos.mask
    ones = emptied(torch.ones_like(videos.relevance), mask)
    audio, visual = emptied(videos.audio, mask), emptied(videos.visual, mask)
    silent, dark = torch.zeros_like(text.audio), torch.zeros_like(text.visual)
    plain = Temperatures(1.0, 1.0)
    return (label_scores(audio, visual, ones, text.audio, dark, plain),
            label_scores(audio, visual, ones, silent, text.visual, plain))


def _draw(seed: int, held_out: int, dataset: Dataset, train: tuple, judged: tuple) -> Draw:
    count = len(dataset.categories)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    new, seen = order[:held_out].sort().values, order[held_out:].sort().values
    temperatures = fit_temperatures(*train, seen)
    (heard, shown), category = judged
    rows = torch.isin(category, new)
    if not rows.any():
        raise DataError(f"{dataset.name}: seed {seed} holds out {', '.join(dataset.categories[c] for c in new)}, and "
                        "none of the videos to be judged is of them; hold out more classes, or take another split")
    ways = {"both": heard / temperatures.audio + shown / temperatures.visual,
            "shipped": heard / DEFAULT.audio + shown / DEFAULT.visual, "audio": heard, "visual": shown}
    scores = {way: values[rows] for way, values in ways.items()}
    truth = category[rows]
    among = {way: _percent(new[values[:, new].argmax(-1)] == truth) for way, values in scores.items()}
    every = {way: _percent(values.argmax(-1) == truth) for way, values in scores.items()}
    names = tuple(dataset.categories[place] for place in new.tolist())
    return Draw(seed, names, int(rows.sum()), temperatures, among, every)


def fit_temperatures(
    cosines: tuple[Float[Tensor, "N C"], Float[Tensor, "N C"]], category: Int[Tensor, "N"], classes: Int[Tensor, "K"]
) -> Temperatures:
    """The pair of :data:`GRID` with the least cross-entropy on the videos of `classes`, among those labels.

    Raises:
        DataError: there is no such video.
    """
    rows = torch.isin(category, classes) & (category != NO_EVENT)
    if not rows.any():
        raise DataError(f"temperatures are fitted on train's videos of the {len(classes)} classes that are not held "
                        "out, and there is none; hold out fewer classes")
    target = torch.searchsorted(classes, category[rows])
    heard, shown = (values[rows][:, classes] for values in cosines)
    tried = [Temperatures(*pair) for pair in itertools.product(GRID, GRID)]
    return min(tried, key=lambda t: float(F.cross_entropy(heard / t.audio + shown / t.visual, target)))


def _percent(right: Tensor) -> float:
    return 100.0 * float(right.float().mean())
