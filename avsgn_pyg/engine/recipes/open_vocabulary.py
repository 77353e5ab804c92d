"""Two measurements of labels that were not trained, on classes of an annotated data set that are held out.

:func:`measure_held_out` trains nothing and scores whole videos by text alone. :func:`measure_unseen` scores a run that
was trained with ``data.held_out`` on the videos of those and of the other classes, as ``tools/predict.py --labels``
would.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import ConfigError, DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.dataset import Dataset, Videos, load_dataset
from avsgn_pyg.engine.assembly import LabelBanks
from avsgn_pyg.engine.evaluator import predict
from avsgn_pyg.engine.recipes.parts import Opened, open_run
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.open_vocabulary import DEFAULT, Temperatures, label_scores
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.graph.training_free import Calibration, likelihood_ratio, similarity
from avsgn_pyg.metrics.f_score import OpenScores, evaluate_open_vocabulary
from avsgn_pyg.model.open_vocabulary import OpenAVSGN

#: Temperatures that are tried for each modality.
GRID: Final = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)
#: How labels are scored: both modalities, at fitted or at the default temperatures, or one modality alone.
WAYS: Final = ("both", "shipped", "audio", "visual")
#: Rows of a run's measurement -> videos that are scored. "held out": named from the unseen classes, not from all.
ROWS: Final = {"held out": "unseen", "all": "unseen", "seen": "seen", "total": "total"}
#: Scores of a report -> headings; "tau 0" calls every second an event, and so does "oracle", with the true class.
COLUMNS: Final = {"segment_accuracy": "segment accuracy", "force_all_foreground": "tau 0",
                  "class_accuracy": "class accuracy", "background_f1": "background F1",
                  "relevance_auc": "relevance AUC", "all_foreground_oracle": "oracle"}


class Measurement(NamedTuple):
    """The figures of a measurement: JSON-ready, and as a table for a reader."""

    values: dict[str, Any]
    table: str


def measure_held_out(
    config: DataConfig, *, split: str = "val", held_out: int = 7, seeds: Sequence[int] = range(20)
) -> Measurement:
    """Hold out random classes, once for each seed, and classify their videos by text alone.

    Every second has the same weight. Only the two temperatures are fitted, on the train videos of the other classes.

    Returns:
        ``draws``: of each seed the held-out ``classes``, the number of their ``videos`` in the split, the
        ``temperatures``, and ``among_held_out`` and ``among_all``: way of :data:`WAYS` -> percent of the videos whose
        class has the highest score of these labels. ``labels`` is the number of all classes.

    Raises:
        DataError: the data cannot be used, or have no label text or no such split; the split has no video of the
            held-out classes, or train none of the others.
        ConfigError: no seed, or `held_out` leaves too few classes; videos with several events each.
    """
    if config.kind in ("llp", "dense"):
        raise ConfigError(f"data.kind={config.kind}: expected videos of one class each, got videos with several "
                          "events; use data.kind=ave or synthetic")
    dataset = load_with_text(config)
    count = len(dataset.categories)
    if not 2 <= held_out < count - 1 or not seeds:
        raise ConfigError(f"held_out={held_out}, seeds={list(seeds)}: hold out 2 to {count - 2} of the {count} "
                          "classes, with at least one seed")
    parts = [(text_cosines(videos, dataset), videos.category) for videos in (dataset.train, dataset.split(split))]
    values = {"dataset": dataset.name, "split": split, "labels": count,
              "draws": [_draw(seed, held_out, dataset, *parts) for seed in seeds]}
    return Measurement(values, _held_out_table(**values))


def measure_unseen(run: Path, *, split: str | None = None, overrides: Sequence[str] = ()) -> Measurement:
    """Score a run, which was trained with ``data.held_out``, on the videos of unseen and of seen classes.

    A model with ``head.classifier: text`` gets the text of all labels as its text nodes. Of any other model, the
    relevance decides when, and the text at the default temperatures decides what. Nothing is fitted.

    Args:
        run: folder of a run or of a checkpoint.
        split: ``None``: the config's ``evaluate.split``.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.

    Returns:
        The unseen ``classes``, the number of all ``labels``, and ``named_from``: row of :data:`ROWS` -> scores; no
        "held out" if a single class was held out; ``protocol``: OV-AVE's scores of seen, unseen and all videos, in
        which a video without an event second belongs to the class that it is listed under, and those of the
        training-free rule.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: it was trained on every class; a setting or the data cannot be used; no label text; the
            split has no video of the classes, or longer ones than the learned time encoding covers.
    """
    opened = open_run(run, split=split, overrides=overrides, use="a measurement")
    config, classes = opened.config, opened.config.data.held_out
    if not classes:
        raise ConfigError(f"{opened.checkpoint.path}: was trained on every class of its data; train a run with "
                          "data.held_out=[...] and measure that")
    dataset = load_with_text(config.data.model_copy(update={"held_out": ()}))
    held, every = dataset.places(classes), torch.arange(len(dataset.categories))
    videos = dataset.split(opened.split)
    unseen = torch.isin(videos.category, held)
    # A video without an event second is listed under an unseen class if the run's data left it out.
    whole = load_dataset(config.data.model_copy(update={"limit": None})) if config.data.limit else opened.dataset
    silent = (videos.category == NO_EVENT) & ~torch.isin(videos.row, whole.split(opened.split).row)
    if not unseen.any():
        raise DataError(f"{dataset.name}: the {opened.split} split has no video of {', '.join(classes)}; use another")
    longest, covered = int(videos.seconds.max()), opened.dataset.span[1]
    if config.model.time_encoding == "learned" and longest > covered:
        raise ConfigError(f"{opened.checkpoint.path}: model.time_encoding=learned covers {covered} seconds, and "
                          f"{dataset.name} has {longest}; train with another time encoding")
    found = _localize(opened, videos, dataset.label_text)

    def report(labels: Tensor, rows: Tensor) -> metrics.Report:
        mask = None if videos.mask is None else videos.mask[rows]
        category = torch.where(videos.category < 0, videos.category, torch.searchsorted(labels, videos.category))
        return metrics.evaluate(
            found.category[rows][:, labels], found.relevance[rows], category[rows], videos.relevance[rows], mask=mask,
            categories=[dataset.categories[place] for place in labels.tolist()], tau=config.evaluate.tau,
            bootstrap=config.evaluate.bootstrap)

    parts = (held, unseen), (every, unseen), (every, ~unseen & ~silent), (every, torch.ones_like(unseen))
    reports = {name: report(*part) for name, part in zip(ROWS, parts, strict=True)
               if len(part[0]) > 1 and part[1].any()}
    protocol = _protocol(opened, videos, dataset.label_text, found, unseen | silent)
    names = tuple(dataset.categories[place] for place in held.tolist())
    values = {"dataset": dataset.name, "split": opened.split, "classes": names, "labels": len(every)}
    figures = {"named_from": {name: report.as_dict() for name, report in reports.items()},
               "protocol": {name: one._asdict() for name, one in protocol.items()}}
    return Measurement(values | figures, _unseen_table(**values, reports=reports, protocol=protocol))


def _protocol(opened: Opened, videos: Videos, text: LabelBanks, found: Localization, unseen: Bool[Tensor, "N"]
              ) -> dict[str, OpenScores]:
    """OV-AVE's scores, also of the training-free rule; they are of videos of one length, so none for mixed lengths."""
    if videos.mask is not None:
        return {}
    classes, scores = len(text.audio), {}
    target = metrics.segment_targets(videos.category, videos.relevance, classes)
    outputs = {"": metrics.labels(found, opened.config.evaluate.tau),
               "training-free, ": metrics.labels(_training_free(opened.dataset.train, videos, text), 0.5)}
    for prefix, labels in outputs.items():
        each = evaluate_open_vocabulary(labels, target, unseen, classes=classes)
        scores |= {f"{prefix}{name}": one for name, one in each.items()}
    return scores


def _training_free(train: Videos, videos: Videos, text: LabelBanks) -> Localization:
    """The training-free rule, calibrated on the clips that the run was trained on, without their annotations."""
    seconds, found = (similarity(each.audio, each.visual, text.audio, text.visual) for each in (train, videos))
    return likelihood_ratio(found, Calibration.of(seconds.audio), Calibration.of(seconds.visual))


def _localize(opened: Opened, videos: Videos, text: LabelBanks) -> Localization:
    """Class logits of all labels, and relevance."""
    model, topology = opened.model, opened.videos.topology
    if isinstance(model, OpenAVSGN):
        with_nodes = dataclasses.replace(videos, text_nodes=2 * len(text.audio), topology=topology)
        return predict(model.with_labels(text.audio, text.visual), with_nodes)
    found = predict(model, dataclasses.replace(videos, text_nodes=opened.videos.text_nodes, topology=topology))
    weights = (metrics.zero_padding(values, videos.mask)
               for values in (videos.audio, videos.visual, found.relevance.sigmoid()))
    return dataclasses.replace(found, category=label_scores(*weights, text.audio, text.visual, DEFAULT),
                               segment_scores=None)


def fit_temperatures(
    cosines: tuple[Float[Tensor, "N C"], Float[Tensor, "N C"]], category: Int[Tensor, "N"], classes: Int[Tensor, "K"]
) -> Temperatures:
    """Return the pair of :data:`GRID` with the least cross-entropy on the videos of `classes`, among those labels.

    Raises:
        DataError: there is no such video.
    """
    rows = torch.isin(category, classes)
    if not rows.any():
        raise DataError(f"temperatures are fitted on train's videos of the {len(classes)} classes that are not held "
                        "out, and there is none; hold out fewer classes")
    target = torch.searchsorted(classes, category[rows])
    audio, visual = (values[rows][:, classes] for values in cosines)
    tried = [Temperatures(*pair) for pair in itertools.product(GRID, GRID)]
    return min(tried, key=lambda t: float(F.cross_entropy(audio / t.audio + visual / t.visual, target)))


def text_cosines(videos: Videos, dataset: Dataset) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"]]:
    """Return the cosines of audio and of visual with the labels: :func:`label_scores` with zeros for the other."""
    text, mask = dataset.label_text, videos.mask
    audio, visual, ones = (metrics.zero_padding(values, mask)
                           for values in (videos.audio, videos.visual, torch.ones_like(videos.relevance)))
    plain = Temperatures(1.0, 1.0)
    return (label_scores(audio, visual, ones, text.audio, torch.zeros_like(text.visual), plain),
            label_scores(audio, visual, ones, torch.zeros_like(text.audio), text.visual, plain))


def load_with_text(config: DataConfig) -> Dataset:
    """Load annotated videos; DataError if their classes have no label text."""
    dataset = load_dataset(config)
    if dataset.label_text is None:
        raise DataError(f"{dataset.name} has no label text; set data.audio_labels and data.visual_labels, or use a "
                        "store that was extracted with class names")
    return dataset


def _draw(seed: int, held_out: int, dataset: Dataset, train: tuple, evaluated: tuple) -> dict[str, Any]:
    order = torch.randperm(len(dataset.categories), generator=torch.Generator().manual_seed(seed))
    unseen, seen = order[:held_out].sort().values, order[held_out:].sort().values
    names = tuple(dataset.categories[place] for place in unseen.tolist())
    temperatures = fit_temperatures(*train, seen)
    (audio, visual), category = evaluated
    rows = torch.isin(category, unseen)
    if not rows.any():
        raise DataError(f"{dataset.name}: seed {seed} holds out {', '.join(names)}, and the split has no video of "
                        "them; hold out more classes, or use another split")
    ways = {"both": audio / temperatures.audio + visual / temperatures.visual,
            "shipped": audio / DEFAULT.audio + visual / DEFAULT.visual, "audio": audio, "visual": visual}
    scores, truth = {way: values[rows] for way, values in ways.items()}, category[rows]
    return {
        "seed": seed, "classes": names, "videos": int(rows.sum()), "temperatures": temperatures._asdict(),
        "among_held_out": {way: _percent(unseen[values[:, unseen].argmax(-1)] == truth)
                           for way, values in scores.items()},
        "among_all": {way: _percent(values.argmax(-1) == truth) for way, values in scores.items()},
    }


def _held_out_table(dataset: str, split: str, labels: int, draws: Sequence[dict[str, Any]]) -> str:
    """Mean and spread over the draws, and the first draw."""
    first, held_out = draws[0], len(draws[0]["classes"])
    lines = [f"{dataset}, {split}: {held_out} of {labels} classes held out, {len(draws)} draws; accuracy in %",
             f"{'':<22}{'among held-out':>20}{'among all':>20}"]
    for way in WAYS:
        cells = (metrics.mean_std_interval([draw[name][way] for draw in draws])
                 for name in ("among_held_out", "among_all"))
        lines.append(f"{way:<22}" + "".join(f"{f'{cell.mean:.1f} ± {cell.std:.1f}':>20}" for cell in cells))
    lines.append(f"{'chance':<22}{100 / held_out:>20.1f}{100 / labels:>20.1f}")
    lines.append(f"seed {first['seed']}: {', '.join(first['classes'])} ({first['videos']} videos); both "
                 f"{first['among_held_out']['both']:.1f} among them, {first['among_all']['both']:.1f} among all; "
                 "temperatures " + ", ".join(f"{key} {value:g}" for key, value in first["temperatures"].items()))
    return "\n".join(lines)


def _unseen_table(dataset: str, split: str, classes: Sequence[str], labels: int,
                  reports: Mapping[str, metrics.Report], protocol: Mapping[str, OpenScores]) -> str:
    """A line for each row of :data:`ROWS`, and the scores of OV-AVE."""
    first = reports["all"]
    lines = [f"{dataset}, {split}: {first.videos} videos of {len(classes)} classes held out of training "
             f"({', '.join(classes)}); tau {first.tau:g}",
             f"{'videos, named from':<26}{'videos':>8}" + "".join(f"{name:>18}" for name in COLUMNS.values())]
    for name, report in reports.items():
        count = len(classes) if name == "held out" else labels
        lines.append(f"{f'{ROWS[name]}, {count} labels':<26}{report.videos:>8}"
                     + "".join(f"{getattr(report, score):>18.1f}" for score in COLUMNS))
    lines.append("event F1 @ " + " / ".join(f"{overlap:g}" for overlap in first.event_f1) + ": " + "; ".join(
        f"{name} " + " / ".join(f"{value:.1f}" for value in report.event_f1.values())
        for name, report in reports.items()))
    if protocol:
        lines.append(f"{'protocol of OV-AVE':<26}{'videos':>8}" + "".join(
            f"{name:>18}" for name in ("accuracy", "segment F", "event F")))
    lines += (f"{name:<26}{one.videos:>8}{one.accuracy:>18.1f}{one.segment_f:>18.1f}{one.event_f:>18.1f}"
              for name, one in protocol.items())
    return "\n".join(lines)


def _percent(right: Tensor) -> float:
    return 100.0 * float(right.float().mean())
