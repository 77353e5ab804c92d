"""Scores of training-free rules on an annotated split; annotations are used for the scores alone.

Shapes: N videos, T seconds of the longest, C labels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.engine.recipes.open_vocabulary import Measurement, load_with_text
from avsgn_pyg.engine.recipes.reliability import class_reliability, write_reliability
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.training_free import (
    Calibration,
    Similarity,
    agreement,
    geometric_mean,
    likelihood_ratio,
    similarity,
)

#: Scores of a report -> headings.
COLUMNS: Final = {"segment_accuracy": "segment accuracy", "class_accuracy": "class accuracy",
                  "background_f1": "background F1", "relevance_auc": "relevance AUC"}
#: Our rule, calibrated on the clips of the split.
OWN: Final = "likelihood ratio"

#: A clip's similarities -> its localization.
Rule = Callable[[Similarity], Localization]


def measure_training_free(config: DataConfig, *, split: str = "val", bootstrap: int = 2000,
                          figure: Path | None = None) -> Measurement:
    """Score the rules of :mod:`avsgn_pyg.graph.training_free`, and the parts of our own, on a split.

    Our rule is calibrated on the seconds of all clips of the split, of train, or on each clip alone; their
    annotations are not read.

    Args:
        figure: file for the reliability figure of our rule.

    Returns:
        ``rows``: name -> scores of a :class:`~avsgn_pyg.metrics.Report`, with ``calibration_error``: the mean
        difference between the probability of a clip's class and the share of right classes, in percent, over ten bins.

    Raises:
        ConfigError: videos with several classes each. DataError: no label text, or no such split.
    """
    if config.kind in ("llp", "dense"):
        raise ConfigError(f"data.kind={config.kind}: expected videos of one class each, got videos with several events")
    dataset = load_with_text(config)
    clips = {name: _similarities(dataset.split(name), dataset.label_text) for name in {split, "train"}}
    videos, rows = dataset.split(split), {}
    for name, rule in _rules(clips[split], clips["train"]).items():
        output = _join([rule(clip) for clip in clips[split]], videos.mask)
        report = metrics.evaluate(
            output.category, output.relevance, videos.category, videos.relevance, tau=0.5, mask=videos.mask,
            categories=dataset.categories, bootstrap=bootstrap, segment_scores=output.segment_scores)
        rows[name] = report.as_dict() | {"calibration_error": class_reliability(output, videos).error}
        if figure is not None and name == OWN:
            write_reliability(figure, output, videos, f"{dataset.name}, {split}: {name}, nothing trained")
    values = {"dataset": dataset.name, "split": split, "videos": len(videos), "labels": len(dataset.categories)}
    return Measurement(values | {"rows": rows}, _table(**values, rows=rows))


def _rules(clips: list[Similarity], train: list[Similarity]) -> dict[str, Rule]:
    """Every rule, and ours calibrated in other ways and without each of its parts."""

    def calibrated(on: list[Similarity], prior: bool = True, **options: Any) -> Rule:
        audio, visual = (Calibration.of(torch.cat([getattr(clip, kind)[0] for clip in on]), prior=prior)
                         for kind in ("audio", "visual"))
        return lambda clip: likelihood_ratio(clip, audio, visual, **options)

    return {
        "agreement (OV-AVEL)": agreement,
        "geometric mean": geometric_mean,
        OWN: calibrated(clips),
        "calibrated on train": calibrated(train),
        "each clip alone": likelihood_ratio,
        "without prior": calibrated(clips, prior=False),
        "without smoothing": calibrated(clips, smoothing=False),
        "without none": calibrated(clips, none_below=0.0),
    }


def _similarities(videos: Videos, text: Any) -> list[Similarity]:
    """Similarities of every video alone, without padding."""
    return [similarity(audio[None, :seconds], visual[None, :seconds], text.audio, text.visual)
            for audio, visual, seconds in zip(videos.audio, videos.visual, videos.seconds.tolist(), strict=True)]


def _join(outputs: list[Localization], mask: Tensor | None) -> Localization:
    """One output for all videos, zero in padded seconds."""

    def padded(parts: list[Tensor]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)

    scores = [output.segment_scores for output in outputs]
    return Localization(torch.cat([output.category for output in outputs]),
                        padded([output.relevance[0] for output in outputs]),
                        segment_scores=None if scores[0] is None else padded([score[0] for score in scores]), mask=mask)


def _table(dataset: str, split: str, videos: int, labels: int, rows: dict[str, Any]) -> str:
    lines = [f"{dataset}, {split}: {videos} videos, {labels} labels, nothing trained; %",
             f"{'':<22}" + "".join(f"{name:>18}" for name in (*COLUMNS.values(), "calibration error"))]
    for name, scores in rows.items():
        cells = (scores[column] for column in (*COLUMNS, "calibration_error"))
        lines.append(f"{name:<22}" + "".join(f"{cell:>18.1f}" for cell in cells))
    return "\n".join(lines)
