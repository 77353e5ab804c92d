"""What a trained model finds in videos of classes that it was not taught: when, by its relevance; what, by text.

What ``tools/predict.py --labels`` computes, on annotated features: a run trained with ``data.held_out`` answers the
videos of the classes that were held out of it. Nothing is fitted; temperatures are the shipped ones. (The predictor
cuts longer clips into windows and fills shorter ones up; here a video is one graph, as long as it is.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.dataset import Videos, load_dataset
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.label_text import LabelText
from avsgn_pyg.engine.evaluator import Predictions, predict
from avsgn_pyg.model.open_vocabulary import DEFAULT, label_scores
from avsgn_pyg.recipes.parts import open_run

#: Label lists that the videos are named from: the classes held out, and every class of the data.
LISTS: Final = ("held out", "all")
#: Scores of a report that the table shows, and how they are called there: "tau 0" calls every second event, and so does
#: "oracle", with the right class.
COLUMNS: Final = {"segment_accuracy": "segment accuracy", "force_all_foreground": "tau 0",
                  "class_accuracy": "class accuracy", "background_f1": "background F1",
                  "relevance_auc": "relevance AUC", "all_foreground_oracle": "oracle"}


@dataclass(frozen=True)
class Unseen:
    """The videos of held-out classes, as a run that was not taught them answers them.

    Attributes:
        dataset, split: whose.
        classes: those held out.
        labels: of all classes.
        reports: list of :data:`LISTS` -> scores, as of any evaluation; of one class alone, "all" alone.
    """

    dataset: str
    split: str
    classes: tuple[str, ...]
    labels: int
    reports: dict[str, metrics.Report]

    def table(self) -> str:
        """A line for each list."""
        first = self.reports[LISTS[-1]]
        lines = [f"{self.dataset}, {self.split}: {first.videos} videos of {len(self.classes)} classes held out of "
                 f"training ({', '.join(self.classes)}); tau {first.tau:g}",
                 f"{'named from':<22}" + "".join(f"{name:>18}" for name in COLUMNS.values())]
        for name, report in self.reports.items():
            size = len(self.classes) if name == LISTS[0] else self.labels
            cells = "".join(f"{getattr(report, score):>18.1f}" for score in COLUMNS)
            lines.append(f"{f'{size} labels, {name}':<22}{cells}")
        lines.append("event F1 @ " + " / ".join(f"{overlap:g}" for overlap in first.event_f1) + ": " + "; ".join(
            f"{name} " + " / ".join(f"{value:.1f}" for value in report.event_f1.values())
            for name, report in self.reports.items()))
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"dataset": self.dataset, "split": self.split, "classes": self.classes, "labels": self.labels,
                "named_from": {name: report.as_dict() for name, report in self.reports.items()}}


def measure_unseen(run: Path, *, split: str | None = None, overrides: Sequence[str] = ()) -> Unseen:
    """Score the videos of a run's held-out classes.

    Args:
        run: a run's folder or a checkpoint's, trained with ``data.held_out``.
        split: ``None`` takes the config's ``evaluate.split``.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: it was trained on every class; a setting or the data cannot be used; no label text; no
            video of the classes in the split, or longer ones than the model's learned time knows.
    """
    opened = open_run(run, split=split, overrides=overrides, use="a measurement")
    config, classes = opened.config, opened.config.data.held_out
    if not classes:
        raise ConfigError(f"{opened.checkpoint.path}: was trained on every class of its data; train one with "
                          "data.held_out=[...], then measure it on those classes")
    whole = load_dataset(config.data.model_copy(update={"held_out": ()}))
    if whole.label_text is None:
        raise DataError(f"{whole.name} brings no label text; give data.audio_labels and data.visual_labels, or a "
                        "store that was extracted with class names")
    held, every = whole.places(classes), torch.arange(len(whole.categories))
    split = whole.split(opened.split)
    rows = torch.isin(split.category, held).nonzero().flatten()
    if not len(rows):
        raise DataError(f"{whole.name}: the {opened.split} split has no video of {', '.join(classes)}; take another")
    videos = split.take(rows)
    longest, known = int(videos.seconds.max()), opened.dataset.span[1]
    if config.model.time_encoding == "learned" and longest > known:
        raise ConfigError(f"{opened.checkpoint.path}: model.time_encoding=learned knows {known} seconds, and a video "
                          f"of {', '.join(classes)} has {longest}; train with another time encoding")
    graph = {"text_nodes": opened.videos.text_nodes, "topology": opened.videos.topology}
    found = predict(opened.model, dataclasses.replace(videos, **graph))
    logits = _label_logits(found, videos, whole.label_text)
    lists = {name: places for name, places in zip(LISTS, (held, every), strict=True) if len(places) > 1}
    reports = {
        name: metrics.evaluate(
            logits[:, places], found.relevance, torch.searchsorted(places, videos.category), videos.relevance,
            tau=config.evaluate.tau,
            categories=[whole.categories[place] for place in places.tolist()], bootstrap=config.evaluate.bootstrap,
            mask=videos.mask)
        for name, places in lists.items()}
    names = tuple(whole.categories[place] for place in held.tolist())
    return Unseen(whole.name, opened.split, names, len(every), reports)


def _label_logits(found: Predictions, videos: Videos, text: LabelText) -> Float[Tensor, "N L"]:
    """Seconds weighed by their relevance; what fills a shorter video up names nothing."""
    seconds = (metrics.emptied(values, videos.mask)
               for values in (videos.audio, videos.visual, found.relevance.sigmoid()))
    return label_scores(*seconds, text.audio, text.visual, DEFAULT)
