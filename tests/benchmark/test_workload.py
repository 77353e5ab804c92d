"""The work that is timed does what it is named for, on data too small for its times to matter."""

from __future__ import annotations

import dataclasses

import torch

from avsgn_pyg.benchmark.workload import Engine, Workload, random_videos

TINY = Workload(videos=11, segments=20, width=16, classes=3, batch_size=4, overrides=("model.dim=8",))


def test_an_epoch_takes_every_video_once_and_a_step_follows_it() -> None:
    engine = Engine.of(TINY)
    before = [parameter.clone() for parameter in engine.parts.model.parameters()]
    engine.epoch()
    assert engine.progress.step == 3 and engine.progress.epoch == 1
    engine.step(engine.first(4))
    assert engine.progress.step == 4
    assert all(not torch.equal(old, new) for old, new in zip(before, engine.parts.model.parameters(), strict=True))


def test_random_videos_follow_the_seed_and_have_valid_classes() -> None:
    one, same, other = random_videos(TINY), random_videos(TINY), random_videos(TINY.but(seed=1))
    assert torch.equal(one.audio, same.audio) and not torch.equal(one.audio, other.audio)
    assert one.category.min() >= 0 and one.category.max() < TINY.classes


def test_changes_and_overrides_add_up_and_a_recipe_can_stand_alone() -> None:
    changed = TINY.but("model.cmsa.heads=2", videos=5)
    assert changed.overrides == ("model.dim=8", "model.cmsa.heads=2") and changed.videos == 5
    assert changed.config().model.cmsa.heads == 2
    assert changed.but(recipe="avsgn_full.yaml", overrides=()).config().model.cmgi.conv == "graph"


def test_quick_reduces_everything_but_the_network() -> None:
    full, quick = Workload(overrides=("model.dim=8",)), Workload(overrides=("model.dim=8",)).quick()
    smaller = [field.name for field in dataclasses.fields(Workload)
               if getattr(quick, field.name) != getattr(full, field.name)]
    assert set(smaller) == {"videos", "batch_size", "rounds", "epochs", "sizes", "long", "budget", "memory"}
