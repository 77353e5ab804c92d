"""Scores of event localization: segments, events, detections, intervals, the threshold of a validation split.

On AVE the right class on *every* second already scores 82 % of the test segments, so the segment accuracy alone says
little about localization. :func:`evaluate` reports it with that baseline, the background, the events and an interval.
Scores are percent; a share of nothing (0/0) is ``nan``.
"""

from __future__ import annotations

from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.metrics.detection import TIOU, DetectionReport, evaluate_detections, percentiles
from avsgn_pyg.metrics.event import THRESHOLDS, count_events, event_f1
from avsgn_pyg.metrics.interval import (
    Difference,
    Interval,
    Summary,
    bootstrap_interval,
    mean_std_interval,
    paired_bootstrap,
)
from avsgn_pyg.metrics.report import Report, Row, VideoRecord, evaluate, video_records
from avsgn_pyg.metrics.segment import (
    BACKGROUND,
    accuracy,
    best_tau,
    class_accuracy,
    confusion_matrix,
    correct_per_video,
    labels,
    predict,
    relevance_auc,
    segment_targets,
    zero_padding,
)

__all__ = [
    "BACKGROUND", "THRESHOLDS", "TIOU", "Detection", "DetectionReport", "Difference", "Interval", "Report", "Row",
    "Summary", "VideoRecord", "accuracy", "best_tau", "bootstrap_interval", "class_accuracy", "confusion_matrix",
    "correct_per_video", "count_events", "evaluate", "evaluate_detections", "event_f1", "labels", "mean_std_interval",
    "paired_bootstrap", "percentiles", "predict", "relevance_auc", "segment_targets", "video_records", "zero_padding",
]
