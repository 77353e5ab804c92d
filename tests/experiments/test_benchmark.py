"""The benchmark on data small enough that nothing it says about time matters."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from avsgn_pyg.config import ConfigError
from avsgn_pyg.experiments import benchmark
from avsgn_pyg.experiments.workload import Engine, HandStep, Workload, random_videos, ready_batch

TINY = Workload(videos=11, segments=4, width=16, classes=3, batch_size=4, rounds=2, epochs=2,
                overrides=("model.dim=8",))


def test_rows_hold_every_target_and_the_quoted_figure(monkeypatch):
    monkeypatch.setattr(benchmark, "peak_bytes", lambda *_: 3 * 2**20)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    results = benchmark.measure(TINY)
    rows = {row.name: row for row in results.rows}
    assert rows["CPU: step / hand-written step"].at_most == 1.15
    assert rows["CPU: epoch / its steps"].at_most == 1.1
    assert rows["CPU: epoch / its steps"].note == "11 videos, 3 steps"
    assert rows["CPU: CMBS step"].value == 1.4 and "not re-run" in rows["CPU: CMBS step"].note
    assert rows["CPU: peak memory, step"].value == 3.0
    assert rows["GPU: every row"].value is None
    measured = [row for row in results.rows if row.low is not None]
    assert len(measured) == 9
    for row in measured:
        assert 0 < row.low <= row.value <= row.high
    assert results.settings["videos"] == 11 and results.machine["threads"] == 1


def test_the_bar_counts_every_sample(monkeypatch):
    bars = []

    class Bar(benchmark.tqdm):
        def __init__(self, **options):
            super().__init__(**{**options, "disable": False, "file": open("/dev/null", "w")})
            bars.append(self)

    monkeypatch.setattr(benchmark, "tqdm", Bar)
    monkeypatch.setattr(benchmark, "peak_bytes", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    benchmark.measure(TINY)
    assert bars[0].n == bars[0].total


def test_trainer_and_hand_written_step_descend_alike_without_dropout():
    quiet = tuple(f"model.dropout.{site}=0" for site in ("attention", "features", "graph", "head"))
    still = dataclasses.replace(TINY, overrides=(*TINY.overrides, *quiet))
    engine, by_hand = Engine.of(dataclasses.replace(still, videos=4), "cpu"), HandStep(still)
    start = [parameter.clone() for parameter in by_hand.parameters]
    for _ in range(3):
        engine.step(ready_batch(engine.train, 4))
        by_hand()
    for before, mine, theirs in zip(start, by_hand.parameters, engine.parts.model.parameters(), strict=True):
        assert not torch.equal(mine, before)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=5e-5)


def test_an_epoch_takes_every_video_once_and_moves_the_schedule():
    engine = Engine.of(TINY, "cpu")
    before = [parameter.clone() for parameter in engine.parts.model.parameters()]
    engine.epoch()
    assert engine.progress.step == 3 and engine.progress.epoch == 1
    engine.step(ready_batch(engine.train, 4))
    assert engine.progress.step == 4
    assert all(not torch.equal(a, b) for a, b in zip(before, engine.parts.model.parameters(), strict=True))


def test_random_videos_are_the_same_for_one_seed_and_hold_every_class():
    one, same = random_videos(TINY), random_videos(TINY)
    other = random_videos(dataclasses.replace(TINY, seed=1))
    assert torch.equal(one.audio, same.audio) and not torch.equal(one.audio, other.audio)
    assert one.category.min() >= 0 and one.category.max() < TINY.classes


def test_quick_asks_for_less_of_everything_and_keeps_the_network():
    quick = Workload(overrides=("model.cmsa.heads=2",)).quick()
    full = Workload()
    assert quick.videos < full.videos and quick.rounds < full.rounds and quick.epochs < full.epochs
    assert quick.overrides == ("model.cmsa.heads=2",) and quick.batch_size == full.batch_size


def test_a_network_without_a_hand_written_step_is_refused_before_anything_is_timed():
    with pytest.raises(ConfigError, match="hand-written step"):
        benchmark.measure(dataclasses.replace(TINY, overrides=("model.cmgi.conv=gat",)))
