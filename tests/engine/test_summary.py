from __future__ import annotations

import dataclasses
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg import metrics
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.checkpoint import Meta
from avsgn_pyg.engine.evaluator import Predictions
from avsgn_pyg.engine.report import Evaluation
from avsgn_pyg.engine.summary import format_summary, summarise


def evaluation(videos: Videos, meta: Meta, *, seed: int, tau: float = 0.5, **said: Any) -> Evaluation:
    generator = torch.Generator().manual_seed(seed)
    category = torch.randn(len(videos), 3, generator=generator)
    relevance = torch.randn(videos.relevance.shape, generator=generator)
    report = metrics.evaluate(
        category,
        relevance,
        videos.category,
        videos.relevance,
        categories=meta.categories,
        tau=tau,
        bootstrap=50,
    )
    named = {"synthetic": True, "split": "test", "tau_from": None} | {
        key: said.pop(key) for key in ("synthetic", "split", "tau_from") if key in said
    }
    meta = meta.model_copy(update={"seed": seed, "epoch": 3 + seed, **said})
    found = Predictions(category, relevance)
    return Evaluation(report, found, videos, meta, Path("runs/x"), "tiny", tau=tau, **named)


def test_a_summary_is_the_mean_and_deviation_over_seeds(videos: Videos, meta: Meta) -> None:
    found = [evaluation(videos, meta, seed=seed) for seed in (0, 1, 5)]
    scores = [one.report.segment_accuracy for one in found]
    summary = summarise(found, 200)
    mean, std, n = summary.scores["segment_accuracy"]
    assert (mean, std, n) == (
        pytest.approx(statistics.mean(scores)),
        pytest.approx(statistics.stdev(scores)),
        3,
    )
    assert summary.seeds == (0, 1, 5)
    assert summary.interval is not None
    assert summary.interval.lo < mean < summary.interval.hi
    text = format_summary(summary)
    assert f"{mean:.2f} ± {std:.2f} [{summary.interval.lo:.2f}, {summary.interval.hi:.2f}]" in text
    assert "event f1@0.5" in text


def test_a_summary_says_what_it_measures(videos: Videos, meta: Meta) -> None:
    said = {"tau_from": "val", "selected_on": "val"}
    found = [evaluation(videos, meta, seed=seed, tau=tau, **said) for seed, tau in ((0, 0.4), (1, 0.6))]
    summary = summarise(found, 0)
    values = json.loads(json.dumps(summary.as_dict()))
    assert {key: values[key] for key in values if key not in ("scores", "interval", "marks")} == {
        "dataset": "tiny",
        "synthetic": True,
        "split": "test",
        "seeds": [0, 1],
        "tau": [0.4, 0.6],
        "tau_from": "val",
        "selected_on": "val",
        "epochs": [3, 4],
    }
    head = format_summary(summary).splitlines()[:2]
    assert head[0].startswith("tiny (synthetic) | test | seeds 0, 1 | ")
    assert head[1] == "checkpoints: epochs 3, 4, selected on val | tau: 0.4, 0.6 (best on val)"


def test_only_synthetic_data_are_called_synthetic(videos: Videos, meta: Meta) -> None:
    found = [evaluation(videos, meta, seed=0, synthetic=False, selected_on="last")]
    text = format_summary(summarise(found, 0))
    assert "synthetic" not in text
    assert "the last ones | tau: 0.5\n" in text


@pytest.mark.parametrize("other", [{"split": "val"}, {"synthetic": False}, {"selected_on": "val"}])
def test_scores_of_different_things_are_not_averaged(
    videos: Videos, meta: Meta, other: dict[str, Any]
) -> None:
    one, two = evaluation(videos, meta, seed=0), evaluation(videos, meta, seed=1, **other)
    with pytest.raises(ValueError, match="a summary needs one dataset, synthetic, split"):
        summarise([one, two], 0)
    with pytest.raises(ValueError, match="no evaluation"):
        summarise([], 0)


def test_a_score_that_one_seed_lacks_is_null_in_json(videos: Videos, meta: Meta) -> None:
    found = [evaluation(videos, meta, seed=seed) for seed in (0, 1)]
    lacking = dataclasses.replace(found[0].report, relevance_auc=math.nan)
    summary = summarise([dataclasses.replace(found[0], report=lacking), found[1]], 0)
    assert summary.as_dict()["scores"]["relevance_auc"] == {"mean": None, "std": None, "n": 2}
    assert "relevance auc" in format_summary(summary)


def test_a_summary_keeps_the_marks(videos: Videos, meta: Meta) -> None:
    found = [evaluation(videos, meta, seed=seed, selected_on="test") for seed in (0, 1)]
    assert all("(selected on test)" in row for row in format_summary(summarise(found, 0)).splitlines()[3:])
