"""How long a suite takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avsgn_pyg.engine.zoo import DENSE, MODELS
from avsgn_pyg.experiments.suites.duration import EPOCH_SECONDS, RUN_SECONDS, Estimate, duration, estimate
from avsgn_pyg.experiments.suites.suite import load_suite


def test_every_model_has_a_measured_duration():
    assert set(EPOCH_SECONDS) == {*MODELS, *DENSE}


def test_epochs_are_estimated_as_measured_on_data_of_ave_s_size(written: Path, tmp_path: Path):
    suite = load_suite(written, ["train.epochs=10", "data.kind=ave", "data.root=."], supervisions=["full"])
    found = estimate(suite, out=tmp_path, seeds=(0, 1))
    assert found.seconds == (10 * EPOCH_SECONDS["avsgn"] + RUN_SECONDS,) * 4
    assert "4 runs to train, 40 epochs: about 4 min" in str(found) and "docs/suites.md" in str(found)
    assert "process. Estimated from measurements" in str(found)
    assert len(found.report().splitlines()) == 5


@pytest.mark.slow
def test_epochs_of_the_same_row_count_more_than_measurements(written: Path, copied: Path):
    for journal in copied.rglob("journal.jsonl"):
        records = [json.loads(line) | {"seconds": 20.0, "evaluation_seconds": 5.0} for line in journal.open()]
        journal.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    suite = load_suite(written, supervisions=["full"])
    found = estimate(suite, out=copied, seeds=(1, 2))
    assert [run.name for run in found.runs] == ["full/ours/seed-2", "full/no_av/seed-2"]
    assert found.seconds == (2 * 25.0 + RUN_SECONDS,) * 2 and "from epochs of the same rows here" in str(found)
    assert not (copied / "full" / "ours" / "seed-2").exists()


def test_nothing_is_left_of_a_finished_suite():
    assert "no run is left" in str(Estimate((), (), (), ()))


@pytest.mark.parametrize(("seconds", "text"), [(42.0, "42 s"), (150.0, "2 min"), (9000.0, "2.5 h")])
def test_a_duration_is_read_at_a_glance(seconds: float, text: str):
    assert duration(seconds) == text
