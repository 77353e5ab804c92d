"""Held-out classes: who is held out, what is fitted without them, and that the figures are counts."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from avsgn_pyg.config import ConfigError, DataConfig, SyntheticConfig
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.synthetic import make_synthetic
from avsgn_pyg.experiments.open_vocabulary import GRID, _cosines, fit_temperatures, measure_held_out
from avsgn_pyg.model.open_vocabulary import Temperatures, label_scores

MADE = SyntheticConfig(videos=120, classes=6, width=32)
DATA = DataConfig(kind="synthetic", synthetic=MADE)


def test_a_draw_is_what_counting_by_hand_gives():
    found = measure_held_out(DATA, split="val", held_out=3, seeds=[4])
    draw, dataset = found.draws[0], make_synthetic(MADE)
    new = [dataset.categories.index(name) for name in draw.classes]
    videos, text = dataset.val, dataset.label_text
    right = whole = every = 0
    for number in range(len(videos)):
        if int(videos.category[number]) not in new:
            continue
        parts = (videos.audio[number : number + 1], videos.visual[number : number + 1], torch.ones(1, 10))
        scores = label_scores(*parts, text.audio, text.visual, draw.temperatures)[0]
        whole += 1
        every += int(scores.argmax()) == int(videos.category[number])
        right += new[int(scores[new].argmax())] == int(videos.category[number])
    assert draw.videos == whole
    assert draw.among_held_out["both"] == pytest.approx(100 * right / whole)
    assert draw.among_all["both"] == pytest.approx(100 * every / whole)


def test_draws_are_of_their_seed_and_differ():
    one, two = (measure_held_out(DATA, held_out=3, seeds=range(3)) for _ in range(2))
    assert one == two and len({draw.classes for draw in one.draws}) > 1
    assert "3 of 6 classes held out, 3 draws" in one.table() and "chance" in one.table()
    assert len(json.loads(json.dumps(one.as_dict()))["draws"]) == 3


def test_temperatures_are_those_of_the_least_cross_entropy_on_the_other_classes():
    category, classes = torch.arange(200) % 4, torch.tensor([0, 2, 3])
    sharp = torch.nn.functional.one_hot(category, 4) * 0.2 + 0.01 * torch.randn(200, 4)
    noise = torch.randn(200, 4)
    found = fit_temperatures((sharp, noise), category, classes)
    assert isinstance(found, Temperatures) and found.audio == min(GRID) and found.visual == max(GRID)
    spoilt = sharp.clone()
    spoilt[category == 1] = torch.randn(50, 4)  # videos of the class that is held out are not looked at
    assert fit_temperatures((spoilt, noise), category, classes) == found


@pytest.mark.parametrize("held_out", [1, 5, 6])
def test_a_side_without_classes_is_refused(held_out: int):
    with pytest.raises(ConfigError, match="hold out 2 to 4 of the 6 classes"):
        measure_held_out(DATA, held_out=held_out)


def without(split: str, classes: list[int]):
    """The made data with no video of `classes` in a split."""
    dataset = make_synthetic(MADE)
    videos = dataset.split(split)
    kept = (~torch.isin(videos.category, torch.tensor(classes))).nonzero().flatten()
    return dataclasses.replace(dataset, **{split: videos.take(kept)})


def held_out_by(seed: int) -> list[int]:
    names = make_synthetic(MADE).categories
    return [names.index(name) for name in measure_held_out(DATA, held_out=2, seeds=[seed]).draws[0].classes]


def test_a_draw_without_a_video_to_judge_is_refused(monkeypatch: pytest.MonkeyPatch):
    dataset = without("val", held_out_by(4))
    monkeypatch.setattr("avsgn_pyg.experiments.open_vocabulary.load_dataset", lambda _: dataset)
    with pytest.raises(DataError, match=r"seed 4 holds out .*, and none of the videos to be judged is of them"):
        measure_held_out(DATA, held_out=2, seeds=[4])


def test_temperatures_are_not_fitted_on_nothing(monkeypatch: pytest.MonkeyPatch):
    dataset = without("train", [c for c in range(6) if c not in held_out_by(4)])
    monkeypatch.setattr("avsgn_pyg.experiments.open_vocabulary.load_dataset", lambda _: dataset)
    with pytest.raises(DataError, match="train's videos of the 4 classes that are not held out, and there is none"):
        measure_held_out(DATA, held_out=2, seeds=[4])


def test_videos_of_several_events_are_refused():
    with pytest.raises(ConfigError, match=r"data\.kind=llp: its videos hold several events"):
        measure_held_out(DataConfig(kind="llp"))


def test_seconds_after_a_video_s_end_count_nothing(monkeypatch: pytest.MonkeyPatch):
    made = MADE.model_copy(update={"segments": (3, 9)})
    found = measure_held_out(DATA.model_copy(update={"synthetic": made}), held_out=3, seeds=[4])
    dataset = make_synthetic(made)
    for videos in dataset.splits.values():
        videos.audio[~videos.mask] = torch.nan
    monkeypatch.setattr("avsgn_pyg.experiments.open_vocabulary.load_dataset", lambda _: dataset)
    assert measure_held_out(DATA, held_out=3, seeds=[4]) == found
    videos, text = dataset.val, dataset.label_text
    end = int(videos.lengths[0])
    alone = label_scores(videos.audio[:1, :end], videos.visual[:1, :end], torch.ones(1, end), text.audio, text.visual)
    heard, shown = _cosines(videos, dataset)
    torch.testing.assert_close(heard[:1] / 0.03 + shown[:1] / 0.01, alone)
