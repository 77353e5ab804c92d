"""The synthetic data are as documented, and need both modalities and time to be read."""

from __future__ import annotations

import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import normalize

from avsgn_pyg.common.settings import SyntheticConfig
from avsgn_pyg.data.synthetic import make_synthetic
from avsgn_pyg.data.videos import Dataset


@pytest.fixture(scope="module")
def made() -> Dataset:
    return make_synthetic(SyntheticConfig())


def everything(data: Dataset, name: str) -> Tensor:
    return torch.cat([getattr(split, name) for split in data.splits.values()])


def test_the_same_seed_gives_the_same_data() -> None:
    small = SyntheticConfig(videos=40, classes=3, width=16)

    def make(**changes: object) -> bytes:
        data = make_synthetic(small.model_copy(update=changes))
        parts = [everything(data, name).flatten() for name in ("audio", "visual", "category", "relevance", "row")]
        return torch.cat([*parts, data.label_text.audio.flatten(), data.label_text.visual.flatten()]).numpy().tobytes()

    before, first = torch.get_rng_state(), make()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert make() == first
    assert len({first, make(seed=1), make(seed=-1)}) == 3


def test_shapes_splits_and_notes_follow_the_config(made: Dataset) -> None:
    assert [len(split) for split in (made.train, made.val, made.test)] == [840, 180, 180]
    assert made.train.audio.shape == made.train.visual.shape == (840, 10, 128)
    assert made.label_text.audio.shape == made.label_text.visual.shape == (12, 128)
    assert len(made.categories) == 12
    assert torch.equal(everything(made, "row").sort().values, torch.arange(1200))
    assert made.synthetic and made.name == "synthetic AVE" and made.provenance["config"]["seed"] == 0
    assert any("not recorded" in note for note in made.notes)


@pytest.mark.parametrize("segments", [1, 2, 25])
def test_any_length_can_be_made(segments: int) -> None:
    data = make_synthetic(SyntheticConfig(videos=60, classes=2, width=8, segments=segments))
    relevance = everything(data, "relevance")
    assert relevance.shape == (60, segments)
    assert bool(relevance.any(-1).all())
    assert data.train.text_nodes == segments


def test_lengths_are_drawn_from_a_range_and_events_end_with_their_videos() -> None:
    data = make_synthetic(SyntheticConfig(videos=120, classes=2, width=8, segments=[2, 5]))
    assert data.span == (2, 5)
    lengths, relevance = everything(data, "seconds"), everything(data, "relevance")
    assert sorted(set(lengths.tolist())) == [2, 3, 4, 5]
    beyond = torch.arange(5) >= lengths[:, None]
    assert not relevance[beyond].any() and bool(relevance.any(-1).all())
    assert not everything(data, "audio")[beyond].any() and everything(data, "visual")[~beyond].any(-1).all()


def test_more_than_a_third_of_the_videos_hold_a_boundary_and_most_seconds_the_event(made: Dataset) -> None:
    relevance = everything(made, "relevance")
    assert 0.33 < float((~relevance.bool().all(-1)).float().mean()) < 0.43
    for split in made.splits.values():
        assert int(split.category.bincount(minlength=12).min()) > 0
        assert 0.70 < float(split.relevance.mean()) < 0.85


def test_features_have_unit_length_and_modalities_lie_apart(made: Dataset) -> None:
    for name in ("audio", "visual"):
        length = everything(made, name).norm(dim=-1)
        torch.testing.assert_close(length, torch.ones_like(length))
    means = [normalize(everything(made, name).mean((0, 1)), dim=0) for name in ("audio", "visual")]
    assert float(means[0] @ means[1]) < 0.5


@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_label_text_names_the_class_of_its_own_modality(made: Dataset, modality: str) -> None:
    videos, text = getattr(made.test, modality).mean(1), getattr(made.label_text, modality)
    scores = (videos - videos.mean(0)) @ (text - text.mean(0)).T
    right = (scores.argmax(-1) == made.test.category).float().mean()
    assert right > 5 / 12


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}")
def test_one_modality_is_not_enough_and_single_seconds_are_not_enough(made: Dataset) -> None:
    """Logistic regression on single seconds; twenty steps are the best early stop."""

    def probe(*modalities: str) -> float:
        train, test = (torch.cat([getattr(split, name) for name in modalities], -1).flatten(0, 1).numpy()
                       for split in (made.train, made.test))
        labels = [torch.where(split.relevance.bool(), split.category[:, None], 12).flatten().numpy()
                  for split in (made.train, made.test)]
        return 100 * LogisticRegression(C=3.0, max_iter=20).fit(train, labels[0]).score(test, labels[1])

    audio, visual, both = probe("audio"), probe("visual"), probe("audio", "visual")
    assert max(audio, visual) + 8 < both < 82
