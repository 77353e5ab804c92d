"""A suite of models that find several events: both baselines and ours, two seeds, from training to the table."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.experiments.suites import load_suite, reproduce
from avsgn_pyg.experiments.suites.detections import HEADINGS
from avsgn_pyg.experiments.suites.reproduce import Reproduction

pytestmark = pytest.mark.slow

BASE = """
data: {{kind: dense, name: made, root: {root}, annotations: annotations.json, features: features.h5, limit: 16}}
train: {{epochs: 2, batch_size: 8, learning_rate: 0.01, schedule: constant, device: cpu, trackers: []}}
evaluate: {{bootstrap: 50}}
dense: {{limit: 10}}
"""
SUITE = """
title: Several
configs: {full: ours.yaml}
reference: ours
rows:
- {name: per_second, config: base.yaml, change: {model.name: per_second, model.options: {dim: 16}}, note: Alone.}
- {name: actionformer, config: base.yaml, change: {model.name: actionformer, model.options: {dim: 16, levels: 2}}}
- {name: ours}
"""


@pytest.fixture(scope="module")
def suite_path(dense_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "base.yaml").write_text(BASE.format(root=dense_root))
    (folder / "ours.yaml").write_text("base: base.yaml\nmodel: {dim: 16, text: {slots: per_class}}\n")
    (folder / "several.yaml").write_text(SUITE)
    return folder / "several.yaml"


@pytest.fixture(scope="module")
def out(suite_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    done = table(suite_path, folder, seeds=(0, 1), train=True)
    assert (done.done, done.left, done.failures) == (6, 0, ())
    return folder


def table(path: Path, out: Path, seeds: tuple[int, ...] | None = None, train: bool = False) -> Reproduction:
    return reproduce(load_suite(path), out=out, seeds=seeds, train=train, processes=0, progress=False)


def test_the_table_has_means_over_seeds_and_paired_differences(suite_path: Path, out: Path):
    [found] = table(suite_path, out).tables
    scores = {row: [json.loads((out / f"full/{row}/seed-{seed}/evaluation-test/metrics.json").read_text())["scores"]
                    for seed in (0, 1)] for row in ("per_second", "actionformer", "ours")}
    ours = statistics.fmean(each["mean_map"] for each in scores["ours"])
    for record in found.records:
        seeds = scores[record["row"]]
        assert record["mean_map"] == pytest.approx(statistics.fmean(each["mean_map"] for each in seeds))
        assert record["map@0.5_std"] == pytest.approx(statistics.stdev(each["map"]["0.5"] for each in seeds))
        assert record["mean_map_lo"] < record["mean_map_hi"]
        if record["row"] != "ours":
            assert record["against_lo"] - 3 < record["mean_map"] - ours < record["against_hi"] + 3
    text = (out / "several.md").read_text()
    assert all(heading in text for heading in HEADINGS) and "Alone." in text and "made, " in text
    assert len((out / "several.runs.csv").read_text().splitlines()) == 1 + 6


def test_finished_runs_are_kept_and_detections_of_another_evaluation_refused(
    suite_path: Path, out: Path, tmp_path: Path
):
    copied = Path(shutil.copytree(out, tmp_path / "out"))
    assert table(suite_path, copied, seeds=(0, 1), train=True).done == 0
    place = copied / "full/ours/seed-1/evaluation-test/detections.json"
    content = json.loads(place.read_text())
    content["results"] = {video: [] for video in content["results"]}
    place.write_text(json.dumps(content))
    with pytest.raises(DataError, match="different evaluations"):
        table(suite_path, copied)
