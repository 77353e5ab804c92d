from __future__ import annotations

import dataclasses

import pytest
import torch
from torch_geometric.data import Batch

from avsgn_pyg.common.settings import AugmentConfig
from avsgn_pyg.data.augment import Seconds, augment, drop_modality, paste_boundaries, recombine
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.graph.views import dense_view, padded_view, with_regions

MODALITIES = ("audio", "visual")
EVERYTHING = AugmentConfig(recombine=0.5, boundary=0.7, time_flip=0.5, noise=0.1)


@pytest.fixture
def batch(videos: Videos) -> Batch:
    return videos.batch(torch.arange(24).repeat(20))


@pytest.fixture
def mixed(videos: Videos) -> Videos:
    """Videos of 1 to 4 seconds in every class, padded with nan."""
    whole = dataclasses.replace(videos, lengths=torch.arange(len(videos)) // 3 % 4 + 1)
    for name in ("audio", "visual", "relevance"):
        getattr(whole, name)[~whole.mask] = torch.nan
    return whole


def changed_seconds(before: Batch, after: Batch) -> list[torch.Tensor]:
    """[B, T] whether the audio, and the visual features, of a second differ."""
    return [(dense_view(before, name) != dense_view(after, name)).any(-1) for name in MODALITIES]


def test_without_rates_the_batch_itself_is_returned_and_regions_are_refused(videos: Videos) -> None:
    batch = with_regions(videos.batch(torch.arange(4)), torch.randn(4, videos.visual.shape[1], 3, 6))
    assert augment(batch, AugmentConfig()) is batch
    with pytest.raises(ValueError, match=r"regions"):
        augment(batch, AugmentConfig(noise=0.1))


def test_the_given_batch_is_not_changed(batch: Batch) -> None:
    before = {name: batch[name].x.clone() for name in MODALITIES}, batch.relevance.clone()
    augment(batch, EVERYTHING)
    assert all(torch.equal(batch[name].x, x) for name, x in before[0].items())
    assert torch.equal(batch.relevance, before[1]) and "pasted" not in batch


def test_a_flip_reverses_features_and_relevance_of_a_share_of_the_videos(batch: Batch) -> None:
    flipped = augment(batch, AugmentConfig(time_flip=1.0))
    for name in MODALITIES:
        assert torch.equal(dense_view(flipped, name), dense_view(batch, name).flip(1))
    assert torch.equal(flipped.relevance, batch.relevance.flip(1)) and torch.equal(flipped.category, batch.category)
    changed, _ = changed_seconds(batch, augment(batch, AugmentConfig(time_flip=0.25)))
    assert changed.any(1).float().mean().item() == pytest.approx(0.25, abs=0.06) and changed.any(1).logical_not().any()


def test_noise_is_relative_to_the_root_mean_square_of_each_stream(batch: Batch) -> None:
    batch["visual"].x = batch["visual"].x * 100 + 30
    noisy = augment(batch, AugmentConfig(noise=0.3))
    for name in MODALITIES:
        values = batch[name].x
        noise = (noisy[name].x - values).std() / values.square().mean().sqrt()
        assert noise.item() == pytest.approx(0.3, rel=0.03)


def test_a_pasted_run_is_background_with_one_modality_of_another_class(videos: Videos) -> None:
    batch = videos.batch(torch.arange(24))
    pasted = augment(batch, AugmentConfig(boundary=1.0))
    audio, visual = changed_seconds(batch, pasted)
    assert audio.any() and visual.any() and not (audio & visual).any()
    assert not pasted.relevance[audio | visual].any() and torch.equal(pasted.category, batch.category)
    assert torch.equal(pasted.relevance[~(audio | visual)], batch.relevance[~(audio | visual)])
    before, after = dense_view(batch, "audio"), dense_view(pasted, "audio")
    for video, second in audio.nonzero().tolist():
        [donor] = (before[:, second] == after[video, second]).all(-1).nonzero().flatten()
        assert batch.category[donor] != batch.category[video]


def test_pasting_leaves_two_event_seconds(batch: Batch) -> None:
    pasted = augment(batch, AugmentConfig(boundary=1.0))
    cut = (pasted.relevance != batch.relevance).any(1)
    assert cut.any() and pasted.relevance[cut].sum(1).min() == 2


def test_pasting_has_its_rate(videos: Videos) -> None:
    batch = videos.batch(torch.arange(24).repeat(100))
    one, two = (augment(batch, AugmentConfig(boundary=rate)).pasted.any(1).float().mean() for rate in (0.3, 0.6))
    assert (two / one).item() == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("segment_labels", [True, False])
def test_pasted_marks_the_pasted_seconds_and_is_flipped_with_them(batch: Batch, segment_labels: bool) -> None:
    plain, flipped = [], []
    for rate, found in ((0.0, plain), (1.0, flipped)):
        torch.manual_seed(0)
        found.append(augment(batch, AugmentConfig(boundary=0.7, time_flip=rate), segment_labels=segment_labels))
    audio, visual = changed_seconds(batch, plain[0])
    assert torch.equal(plain[0].pasted.bool(), audio | visual) and 0 < plain[0].pasted.mean() < 0.5
    assert torch.equal(plain[0].pasted.flip(1), flipped[0].pasted)


@pytest.mark.parametrize("segment_labels", [True, False])
def test_a_video_of_one_second_and_videos_of_one_class_are_not_pasted_over(segment_labels: bool) -> None:
    for segments, category in ((1, torch.arange(8)), (4, torch.zeros(8, dtype=torch.int64))):
        audio, visual = torch.randn(2, 8, segments, 3)
        seconds = Seconds(audio, visual, torch.ones(8, segments), torch.zeros(8, segments))
        pasted = paste_boundaries(seconds, category, 1.0, segment_labels=segment_labels)
        assert all(torch.equal(one, two) for one, two in zip(pasted, seconds, strict=True))


def test_recombining_exchanges_the_visual_features_of_whole_events_of_a_class(videos: Videos) -> None:
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


@pytest.mark.parametrize("recipe", [AugmentConfig(recombine=1.0), AugmentConfig(boundary=1.0)])
def test_without_segment_labels_no_relevance_is_read(batch: Batch, recipe: AugmentConfig) -> None:
    blind, found = batch.clone(), []
    blind.relevance = torch.full_like(batch.relevance, torch.nan)
    for given in (batch, blind):
        torch.manual_seed(0)
        found.append(augment(given, recipe, segment_labels=False))
    assert all(torch.equal(found[0][name].x, found[1][name].x) for name in MODALITIES)
    assert not torch.equal(found[0]["visual"].x, batch["visual"].x) and found[1].relevance.isnan().all()
    audio, _ = changed_seconds(batch, found[0])
    assert audio.sum(1).max() <= audio.shape[1] // 2


@pytest.mark.parametrize("segment_labels", [True, False])
def test_padding_is_neither_used_nor_moved(mixed: Videos, segment_labels: bool) -> None:
    batch = mixed.batch(torch.arange(24).repeat(4))
    changed = augment(batch, EVERYTHING, segment_labels=segment_labels)
    padding = ~padded_view(batch, "audio")[1]
    for name in MODALITIES:
        assert changed[name].x.shape == batch[name].x.shape and changed[name].x.isfinite().all()
    assert not changed.relevance[padding].any() and not changed.pasted[padding].any()
    assert torch.equal(padded_view(changed, "visual")[1], ~padding)
    assert [len(video["audio"].x) for video in changed.to_data_list()] == mixed.lengths.tolist() * 4


def test_each_video_is_flipped_over_its_own_seconds(mixed: Videos) -> None:
    batch = mixed.batch(torch.arange(24))
    flipped = augment(batch, AugmentConfig(time_flip=1.0))
    for before, after in zip(batch.to_data_list(), flipped.to_data_list(), strict=True):
        seconds = len(before["audio"].x)
        assert torch.equal(after["audio"].x, before["audio"].x.flip(0))
        assert torch.equal(after.relevance[0, :seconds], before.relevance[0, :seconds].flip(0))


def test_a_partner_is_no_shorter(mixed: Videos) -> None:
    batch = mixed.batch(torch.arange(24))
    before, mask = padded_view(batch, "visual")
    after, _ = padded_view(augment(batch, AugmentConfig(recombine=1.0), segment_labels=False), "visual")
    changed = (before != after).flatten(1).any(1).nonzero().flatten().tolist()
    assert changed and mask[changed].sum(1).min() < 4
    for video in changed:
        donor = (before[:, mask[video]] == after[video, mask[video]]).flatten(1).all(1).nonzero().item()
        assert mask[donor].sum() >= mask[video].sum() and batch.category[donor] == batch.category[video]


def test_a_pasted_run_of_mixed_lengths_lies_at_an_end_of_its_video(mixed: Videos) -> None:
    batch = mixed.batch(torch.arange(24).repeat(20))
    pasted = augment(batch, AugmentConfig(boundary=1.0)).pasted.bool()
    lengths, some = padded_view(batch, "audio")[1].sum(1), pasted.any(1)
    assert some.any() and not some[lengths < 3].any()
    assert (pasted[some, 0] ^ pasted[some, lengths[some] - 1]).all()


def seconds_of(category: torch.Tensor, segments: int = 6) -> Seconds:
    """Videos whose event lasts all their seconds, if they have one; every feature row is different."""
    audio, visual = torch.randn(2, len(category), segments, 3)
    event = (category >= 0).float()[:, None].expand(-1, segments)
    return Seconds(audio, visual, event, torch.zeros(len(category), segments))


@pytest.mark.parametrize("mask", [None, torch.ones(6000, 6, dtype=torch.bool)], ids=["", "mask"])
@pytest.mark.parametrize(("segment_labels", "longest"), [(True, 4), (False, 3)])
def test_runs_of_every_length_lie_at_both_ends_and_over_both_modalities_equally_often(
        segment_labels: bool, longest: int, mask: torch.Tensor | None) -> None:
    category = torch.arange(6000)
    before = seconds_of(category)
    after = paste_boundaries(before, category, 1.0, segment_labels=segment_labels, mask=mask)
    pasted = after.pasted.bool()
    lengths = pasted.sum(1)[pasted.any(1)].bincount(minlength=7)
    assert lengths[1:longest + 1].min() > 0.85 * lengths.sum() / longest
    assert lengths[longest + 1:].sum() == 0
    run = pasted[pasted.any(1)]
    assert run[:, 0].float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert (run[:, 0] ^ run[:, -1]).all() and ((run[:, 1:] != run[:, :-1]).sum(1) == 1).all()
    audio = (before.audio != after.audio).any(-1)
    assert audio[pasted].float().mean().item() == pytest.approx(0.5, abs=0.04)


def test_recombining_has_its_rate_and_leaves_videos_without_an_event() -> None:
    category = torch.tensor([-1, 0, 1]).repeat(600)
    before = seconds_of(category)
    after = recombine(before, category, 0.3, segment_labels=False)
    changed = (before.visual != after.visual).flatten(1).any(1)
    assert not changed[category == -1].any()
    assert changed[category >= 0].float().mean().item() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("segment_labels", [True, False])
def test_runs_inside_a_video_begin_at_any_second(segment_labels: bool) -> None:
    category = torch.arange(6000)
    after = paste_boundaries(seconds_of(category), category, 1.0, segment_labels=segment_labels, inside=1.0)
    run = after.pasted.bool()[after.pasted.any(1)]
    assert ((run[:, 1:] != run[:, :-1]).sum(1) <= 2).all()
    single = run[run.sum(1) == 1].float()
    torch.testing.assert_close(single.mean(0), torch.full((6,), 1 / 6), atol=0.04, rtol=0)


def test_the_share_of_runs_inside_and_of_flickering_runs() -> None:
    category = torch.arange(6000)
    before = seconds_of(category)
    inside = paste_boundaries(before, category, 1.0, segment_labels=True, inside=0.6).pasted.bool()
    free = ~inside[:, 0] & ~inside[:, -1] & inside.any(1)
    length, chance = inside.sum(1), torch.tensor([0, 4 / 6, 3 / 5, 2 / 4, 1 / 3])  # that a run of 1 to 4 touches no end
    assert free.float().mean().item() == pytest.approx(0.6 * chance[length].mean().item(), abs=0.03)
    after = paste_boundaries(before, category, 1.0, segment_labels=True, flicker=0.3)
    audio, run = (before.audio != after.audio).any(-1), after.pasted.bool()
    mixed = (audio & run).any(1) & (~audio & run).any(1)
    expected = 0.3 * (1 - 0.5 ** (run.sum(1).clamp(min=1) - 1)).mean()
    assert mixed.float().mean().item() == pytest.approx(expected.item(), abs=0.03)


@pytest.mark.parametrize("segment_labels", [True, False])
def test_each_second_of_a_flickering_run_has_its_own_donor_of_another_class(segment_labels: bool) -> None:
    category = torch.arange(60) % 3
    place = torch.cartesian_prod(torch.arange(60), torch.arange(8)).view(60, 8, 2).float()
    before = Seconds(place, place, torch.ones(60, 8), torch.zeros(60, 8))
    after = paste_boundaries(before, category, 1.0, segment_labels=segment_labels, flicker=1.0)
    audio, visual = ((one != two).any(-1) for one, two in ((after.audio, place), (after.visual, place)))
    assert not (audio & visual).any() and torch.equal(audio | visual, after.pasted.bool())
    donors = [torch.where(audio[..., None], after.audio, after.visual)[row, run] for row, run in
              enumerate(after.pasted.bool()) if run.sum() > 2]
    assert donors and all(len(found.unique(dim=0)) > 1 for found in donors)
    donor = torch.where(audio, after.audio[..., 0], after.visual[..., 0]).long()
    assert (category[donor] != category[:, None])[after.pasted.bool()].all()
    assert torch.equal(after.relevance, 1 - after.pasted if segment_labels else before.relevance)


def test_flickering_runs_use_no_padding(mixed: Videos) -> None:
    recipe = AugmentConfig(boundary=1.0, flicker=1.0, inside=0.5)
    changed = augment(mixed.batch(torch.arange(24).repeat(20)), recipe)
    assert changed.pasted.any() and all(changed[name].x.isfinite().all() for name in MODALITIES)


def test_one_modality_of_a_share_of_the_videos_is_dropped() -> None:
    before = seconds_of(torch.arange(2000))
    after = drop_modality(before, 0.3)
    audio, visual = ((part == 0).all(-1).all(-1) for part in (after.audio, after.visual))
    assert not (audio & visual).any() and torch.equal(after.relevance, before.relevance)
    assert audio.float().mean().item() == pytest.approx(0.15, abs=0.03)
    assert visual.float().mean().item() == pytest.approx(0.15, abs=0.03)
    assert torch.equal(after.audio[~audio], before.audio[~audio])


def test_only_the_rate_of_dropping_a_modality_changes_a_batch(batch: Batch) -> None:
    changed = augment(batch, AugmentConfig(modality_drop=1.0))
    audio, visual = ((dense_view(changed, name) == 0).flatten(1).all(1) for name in MODALITIES)
    assert (audio ^ visual).all()
