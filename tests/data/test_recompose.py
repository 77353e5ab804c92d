from __future__ import annotations

import dataclasses

import pytest
import torch

from avsgn_pyg.common.settings import DataConfig, SyntheticConfig
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.files import DataError
from avsgn_pyg.data.recompose import find_background, recompose
from avsgn_pyg.data.videos import Videos

HOW = ("runs", "seconds")


@pytest.fixture
def marked() -> Videos:
    """Forty videos of four classes and 7 to 10 seconds, one without an event; a feature row is (video, second)."""
    videos = load_dataset(DataConfig(kind="synthetic", synthetic=SyntheticConfig(
        videos=60, classes=4, segments=(7, 10), width=8, seed=1))).train
    place = torch.cartesian_prod(torch.arange(len(videos)), torch.arange(10)).view(len(videos), 10, 2).float()
    category, relevance = videos.category.clone(), videos.relevance.clone()
    category[3], relevance[3] = -1, 0
    return dataclasses.replace(videos, audio=place, visual=place.clone(), category=category, relevance=relevance)


@pytest.mark.parametrize("how", HOW)
def test_events_labels_padding_and_videos_without_an_event_stay(marked: Videos, how: str) -> None:
    made = recompose(marked, how)
    event = marked.relevance.bool()
    stays = event | (marked.category == -1)[:, None] | ~marked.mask
    for name in ("audio", "visual"):
        assert torch.equal(getattr(made, name)[stays], getattr(marked, name)[stays])
    for name in ("category", "relevance", "row", "lengths"):
        assert torch.equal(getattr(made, name), getattr(marked, name))


@pytest.mark.parametrize("how", HOW)
def test_a_background_second_is_one_event_second_and_one_background_second_of_another_class(
        marked: Videos, how: str) -> None:
    made, event = recompose(marked, how), marked.relevance.bool()
    background = ~event & marked.mask & (marked.category != -1)[:, None]
    kept = []
    for video, second in background.nonzero().tolist():
        sound, sight = made.audio[video, second].long().tolist(), made.visual[video, second].long().tolist()
        (own, other) = (sound, sight) if sound[0] == video else (sight, sound)
        kept.append(sound[0] == video)
        assert own[0] == video and event[video, own[1]]
        assert marked.category[other[0]] != marked.category[video]
        assert not event[tuple(other)] and marked.mask[tuple(other)]
    assert 0.3 < sum(kept) / len(kept) < 0.7


def test_a_run_keeps_one_modality_and_one_donor_and_seconds_do_not(marked: Videos) -> None:
    changes = {}
    for how in HOW:
        made = recompose(marked, how)
        runs = [run for run in find_background(marked) if marked.category[run[0]] != -1 and run[2] - run[1] > 1]
        changes[how] = [made.audio[video, start:end, 0].unique_consecutive().numel() > 1 for video, start, end in runs]
    assert not any(changes["runs"]) and sum(changes["seconds"]) > 0.6 * len(changes["seconds"])


@pytest.mark.parametrize("how", HOW)
def test_every_model_is_scored_on_the_same_copy(marked: Videos, how: str) -> None:
    one = recompose(marked, how)
    torch.manual_seed(5)
    assert torch.equal(one.audio, recompose(marked, how).audio)


def test_val_and_test_are_recomposed_and_train_is_not() -> None:
    given = {"kind": "synthetic", "synthetic": SyntheticConfig(videos=200, classes=3, width=8)}
    plain, made = load_dataset(DataConfig(**given)), load_dataset(DataConfig(**given, recompose="runs"))
    assert torch.equal(plain.train.audio, made.train.audio)
    assert not torch.equal(plain.val.audio, made.val.audio) and not torch.equal(plain.test.visual, made.test.visual)
    assert "recomposed (runs)" in made.name


def test_background_of_one_class_alone_is_an_error(marked: Videos) -> None:
    one = marked.take((marked.category == 2).nonzero().flatten())
    with pytest.raises(DataError, match=r"recompose=runs: row \d+ .* another class"):
        recompose(one, "runs")
