"""The benchmark on data small enough that nothing it says about time matters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator

import pytest
import torch

from avsgn_pyg.config import ConfigError
from avsgn_pyg.experiments import benchmark
from avsgn_pyg.experiments.dense_step import HandStep
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.workload import Engine, Workload, random_videos, ready_batch

TINY = Workload(videos=11, segments=4, width=16, classes=3, batch_size=4, rounds=2, epochs=2,
                overrides=("model.dim=8",))


def one_row(name: str, value: float = 1.0) -> Callable[[Workload], Iterator[Row]]:
    return lambda workload: iter([Row(name, value, "s")])


def test_groups_are_measured_in_the_order_asked_for(monkeypatch):
    monkeypatch.setattr(benchmark, "GROUPS", {name: one_row(name) for name in ("a", "b", "c")})
    results = benchmark.measure(TINY, ["c", "a"])
    assert [row.name for row in results.rows] == ["c", "a"]
    assert results.settings["videos"] == 11 and results.machine["threads"] == 1


def test_what_was_measured_before_a_stop_is_kept(monkeypatch, tmp_path):
    def stopped(workload: Workload) -> Iterator[Row]:
        yield Row("second", 2.0, "s")
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "GROUPS", {"one": one_row("first"), "two": stopped, "three": one_row("third")})
    with pytest.raises(KeyboardInterrupt):
        benchmark.measure(TINY, ["one", "two", "three"], keep=tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [row["name"] for row in kept["rows"]] == ["first", "second"]


def test_an_unknown_group_names_those_there_are():
    with pytest.raises(ValueError, match="speed: no such group; choose from step"):
        benchmark.measure(TINY, ["speed"])


def test_the_table_of_groups_holds_every_kind_of_row():
    assert set(benchmark.GROUPS) == {"step", "compile", "operations", "epoch", "batching", "cmgi", "layers", "window",
                                     "gpu"}


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
    assert quick.overrides == ("model.cmsa.heads=2",) and quick.batch_size < full.batch_size
    assert len(quick.sizes) < len(full.sizes) and not quick.memory


def test_a_network_without_a_hand_written_step_is_refused_before_anything_is_timed():
    with pytest.raises(ConfigError, match="hand-written step"):
        benchmark.measure(dataclasses.replace(TINY, overrides=("model.cmgi.conv=gat",)))
