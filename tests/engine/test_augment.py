from __future__ import annotations

import dataclasses

import pytest
import torch

from avsgn_pyg.config import AugmentConfig
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.augment import _Seconds, add_noise, augment, flip_time, paste_boundaries
from avsgn_pyg.graph.regions import with_regions
from avsgn_pyg.graph.views import dense_view, padded_view


def test_without_rates_the_batch_itself_comes_back(videos: Videos) -> None:
    batch = videos.batch(torch.arange(4))
    assert augment(batch, AugmentConfig()) is batch


def test_regions_would_not_follow_and_are_refused(videos: Videos) -> None:
    batch = with_regions(videos.batch(torch.arange(4)), torch.randn(4, videos.visual.shape[1], 3, 6))
    assert augment(batch, AugmentConfig()) is batch
    with pytest.raises(ValueError, match=r"holds regions of its seconds; set its rates to 0, or data\.regions=pool"):
        augment(batch, AugmentConfig(noise=0.1))


def test_a_certain_flip_turns_sound_sight_and_relevance_around(videos: Videos) -> None:
    batch = videos.batch(torch.arange(4))
    turned = augment(batch, AugmentConfig(time_flip=1.0))
    assert torch.equal(dense_view(turned, "audio"), videos.audio[:4].flip(1))
    assert torch.equal(dense_view(turned, "visual"), videos.visual[:4].flip(1))
    assert torch.equal(turned.relevance, videos.relevance[:4].flip(1))
    assert torch.equal(turned.category, videos.category[:4])


def test_the_batch_given_is_left_as_it_was(videos: Videos) -> None:
    batch = videos.batch(torch.arange(4))
    augment(batch, AugmentConfig(time_flip=1.0, noise=1.0))
    assert torch.equal(dense_view(batch, "audio"), videos.audio[:4])
    assert torch.equal(batch.relevance, videos.relevance[:4])


def test_only_marked_videos_are_turned_around() -> None:
    values = torch.arange(12.0).view(3, 4)
    flipped = flip_time(values, torch.tensor([False, True, False]))
    assert flipped.tolist() == [[0, 1, 2, 3], [7, 6, 5, 4], [8, 9, 10, 11]]


def test_a_flip_turns_about_its_share_of_the_videos_around(videos: Videos) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24).repeat(50))
    turned = augment(batch, AugmentConfig(time_flip=0.25))
    same = (dense_view(turned, "audio") == dense_view(batch, "audio")).flatten(1).all(-1)
    assert 1 - same.float().mean().item() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_noise_is_measured_in_the_streams_own_root_mean_square(scale: float) -> None:
    torch.manual_seed(0)
    values = scale * torch.randn(200, 50) + scale
    noise = add_noise(values, 0.3) - values
    assert (noise.std() / values.square().mean().sqrt()).item() == pytest.approx(0.3, rel=0.03)


def test_each_stream_has_its_own_noise(videos: Videos) -> None:
    loud = videos.batch(torch.arange(24))
    loud["visual"].x = loud["visual"].x * 100
    noisy = augment(loud, AugmentConfig(noise=0.5))
    assert (noisy["audio"].x - loud["audio"].x).abs().max() < 10
    assert (noisy["visual"].x - loud["visual"].x).abs().max() > 50


def test_the_same_random_state_augments_alike(videos: Videos) -> None:
    recipe = AugmentConfig(time_flip=0.5, noise=0.1)
    batch = videos.batch(torch.arange(8))
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(augment(batch, recipe)["audio"].x)
    assert torch.equal(*results)


def test_a_pasted_run_is_background_and_takes_one_modality_from_another_class(videos: Videos) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24))
    pasted = augment(batch, AugmentConfig(boundary=1.0))
    changes = {modality: (dense_view(pasted, modality) != dense_view(batch, modality)).any(-1)
               for modality in ("audio", "visual")}
    assert changes["audio"].any() and changes["visual"].any()
    assert not (changes["audio"] & changes["visual"]).any()
    touched = changes["audio"] | changes["visual"]
    assert not pasted.relevance[touched].any()
    assert torch.equal(pasted.relevance[~touched], batch.relevance[~touched])
    assert torch.equal(pasted.category, batch.category)


def test_a_pasted_second_comes_from_the_same_second_of_a_video_of_another_class(videos: Videos) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24))
    before, after = dense_view(batch, "audio"), dense_view(augment(batch, AugmentConfig(boundary=1.0)), "audio")
    for video, second in (before != after).any(-1).nonzero().tolist():
        donors = (before[:, second] == after[video, second]).all(-1).nonzero().flatten()
        assert len(donors) == 1 and batch.category[donors[0]] != batch.category[video]


def test_pasting_leaves_at_least_two_event_seconds(videos: Videos) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24).repeat(20))
    pasted = augment(batch, AugmentConfig(boundary=1.0))
    cut = (pasted.relevance != batch.relevance).any(1)
    assert cut.any() and pasted.relevance[cut].sum(1).min() == 2


def test_pasting_happens_at_about_its_rate(videos: Videos) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24).repeat(100))
    shares = []
    for rate in (0.3, 0.6):
        pasted = augment(batch, AugmentConfig(boundary=rate))
        differs = [(dense_view(pasted, m) != dense_view(batch, m)).flatten(1).any(1) for m in ("audio", "visual")]
        shares.append((differs[0] | differs[1]).float().mean().item())
    assert shares[1] / shares[0] == pytest.approx(2, rel=0.15)


def test_one_class_alone_has_no_donor(videos: Videos) -> None:
    batch = videos.batch(torch.zeros(8, dtype=torch.int64))
    pasted = augment(batch, AugmentConfig(boundary=1.0))
    assert torch.equal(pasted.relevance, batch.relevance) and torch.equal(pasted["audio"].x, batch["audio"].x)


def test_recombining_gives_whole_events_the_sight_of_another_whole_event_of_the_class(videos: Videos) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24))
    paired = augment(batch, AugmentConfig(recombine=1.0))
    before, after = dense_view(batch, "visual"), dense_view(paired, "visual")
    assert torch.equal(paired.relevance, batch.relevance) and torch.equal(paired["audio"].x, batch["audio"].x)
    changed = (before != after).flatten(1).any(1).nonzero().flatten().tolist()
    assert changed
    for video in changed:
        donor = (before == after[video]).flatten(1).all(1).nonzero().item()
        assert donor != video and batch.category[donor] == batch.category[video]
        assert batch.relevance[donor].all() and batch.relevance[video].all()


def test_recombining_reads_no_relevance_under_weak_supervision(videos: Videos) -> None:
    batch = videos.batch(torch.arange(24))
    blind = videos.batch(torch.arange(24))
    blind.relevance = torch.full_like(blind.relevance, float("nan"))
    answers = []
    for given in (batch, blind):
        torch.manual_seed(0)
        answers.append(augment(given, AugmentConfig(recombine=1.0), segment_labels=False)["visual"].x)
    assert torch.equal(*answers) and not torch.equal(answers[0], batch["visual"].x)


def test_pasting_reads_no_relevance_under_weak_supervision_and_takes_half_a_video_at_most(videos: Videos) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24).repeat(20))
    batch.relevance = torch.full_like(batch.relevance, float("nan"))
    pasted = augment(batch, AugmentConfig(boundary=1.0), segment_labels=False)
    assert pasted.relevance.isnan().all()
    changed = (dense_view(pasted, "audio") != dense_view(batch, "audio")).any(-1)
    assert changed.any() and changed.sum(1).max() <= changed.shape[1] // 2


@pytest.mark.parametrize("segment_labels", [True, False])
def test_what_was_pasted_is_said_and_nothing_else(videos: Videos, segment_labels: bool) -> None:
    torch.manual_seed(0)
    batch = videos.batch(torch.arange(24).repeat(4))
    pasted = augment(batch, AugmentConfig(boundary=0.7, time_flip=0.0), segment_labels=segment_labels)
    differs = [(dense_view(pasted, m) != dense_view(batch, m)).any(-1) for m in ("audio", "visual")]
    assert torch.equal(pasted.pasted.bool(), differs[0] | differs[1]) and 0 < pasted.pasted.mean() < 0.5
    assert "pasted" not in batch


def test_what_was_pasted_turns_with_its_seconds(videos: Videos) -> None:
    batch, turned = videos.batch(torch.arange(24)), []
    for rate in (0.0, 1.0):
        torch.manual_seed(0)
        turned.append(augment(batch, AugmentConfig(boundary=0.7, time_flip=rate)).pasted)
    assert torch.equal(turned[0].flip(1), turned[1]) and not torch.equal(*turned)


@pytest.mark.parametrize("segment_labels", [True, False])
def test_a_video_of_one_second_has_no_room_for_a_boundary(segment_labels: bool) -> None:
    seconds = _Seconds(torch.randn(8, 1, 3), torch.randn(8, 1, 3), torch.ones(8, 1), torch.zeros(8, 1))
    pasted = paste_boundaries(seconds, torch.arange(8), 1.0, segment_labels=segment_labels)
    assert all(torch.equal(one, two) for one, two in zip(pasted, seconds, strict=True))


# Videos of mixed lengths.


@pytest.fixture
def mixed(videos: Videos) -> Videos:
    """Lengths 1 to 4 in every class; after a video's end stand numbers that must never come up."""
    whole = dataclasses.replace(videos, lengths=torch.arange(len(videos)) // 3 % 4 + 1)
    for name in ("audio", "visual", "relevance"):
        getattr(whole, name)[~whole.mask] = torch.nan
    return whole


EVERYTHING = AugmentConfig(recombine=0.5, boundary=0.7, time_flip=0.5, noise=0.1)


@pytest.mark.parametrize("segment_labels", [True, False])
def test_no_second_after_a_video_s_end_reaches_another(mixed: Videos, segment_labels: bool) -> None:
    torch.manual_seed(0)
    batch = mixed.batch(torch.arange(24).repeat(4))
    changed = augment(batch, EVERYTHING, segment_labels=segment_labels)
    beyond = ~padded_view(batch, "audio")[1]
    for node in ("audio", "visual"):
        assert changed[node].x.shape == batch[node].x.shape and changed[node].x.isfinite().all()
    assert not changed.relevance[beyond].any() and not changed.pasted[beyond].any()
    assert torch.equal(padded_view(changed, "visual")[1], ~beyond)
    assert [len(video["audio"].x) for video in changed.to_data_list()] == mixed.lengths.tolist() * 4


def test_each_video_is_turned_over_its_own_seconds(mixed: Videos) -> None:
    batch = mixed.batch(torch.arange(24))
    turned = augment(batch, AugmentConfig(time_flip=1.0))
    for before, after in zip(batch.to_data_list(), turned.to_data_list(), strict=True):
        seconds = len(before["audio"].x)
        assert torch.equal(after["audio"].x, before["audio"].x.flip(0))
        assert torch.equal(after.relevance[0, :seconds], before.relevance[0, :seconds].flip(0))


def test_the_sight_of_another_video_is_never_shorter_than_what_it_replaces(mixed: Videos) -> None:
    torch.manual_seed(0)
    batch = mixed.batch(torch.arange(24))
    before, real = padded_view(batch, "visual")
    after, _ = padded_view(augment(batch, AugmentConfig(recombine=1.0), segment_labels=False), "visual")
    changed = (before != after).flatten(1).any(1).nonzero().flatten().tolist()
    assert changed and real[changed].sum(1).min() < 4
    for video in changed:
        here = real[video]
        donor = (before[:, here] == after[video, here]).flatten(1).all(1).nonzero().item()
        assert real[donor].sum() >= here.sum() and batch.category[donor] == batch.category[video]


def test_a_pasted_run_of_mixed_lengths_ends_with_its_video_and_lies_within_its_donor(mixed: Videos) -> None:
    torch.manual_seed(0)
    batch = mixed.batch(torch.arange(24).repeat(20))
    pasted = augment(batch, AugmentConfig(boundary=1.0)).pasted.bool()
    _, real = padded_view(batch, "audio")
    lengths = real.sum(1)
    assert pasted.any() and not pasted[lengths < 3].any()
    rows = pasted[pasted.any(1)]
    last = lengths[pasted.any(1)] - 1
    assert (rows[:, 0] ^ rows[torch.arange(len(rows)), last]).all()


def test_noise_is_measured_over_real_seconds(mixed: Videos) -> None:
    batch = mixed.batch(torch.arange(24).repeat(200))
    noise = augment(batch, AugmentConfig(noise=0.3))["audio"].x - batch["audio"].x
    assert (noise.std() / batch["audio"].x.square().mean().sqrt()).item() == pytest.approx(0.3, rel=0.03)
