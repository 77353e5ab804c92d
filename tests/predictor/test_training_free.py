"""Prediction by labels alone: encoders, prompts, calibration and windows; the rule is tested in tests/graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.common.errors import ConfigError, EncoderError
from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.graph.training_free import Calibration, likelihood_ratio, similarity
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.training_free import TrainingFree

LABELS, WIDTH = ("bell", "dog", "rain"), 16
SIGNAL = EncoderChoice("signal", {"width": WIDTH})


def make(**options: Any) -> TrainingFree:
    """With the signal encoders, whose label text is no language but is different for every label."""
    return Predictor.training_free(LABELS, encoders={"visual": SIGNAL, "audio": SIGNAL}, device="cpu", **options)


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    """Five clips of six and fewer seconds, with the record of the signal encoders."""
    def write(**records: Any) -> Path:
        encoders = make().encoders
        record = {"visual": encoders.visual.record(), "audio": encoders.audio.record(), **records}
        torch.manual_seed(0)
        write_store(tmp_path / "store.h5", Features(
            torch.randn(5, 6, WIDTH), torch.randn(5, 6, WIDTH), tuple("abcde"), provenance=record,
            lengths=torch.tensor([6, 5, 4, 3, 6])))
        return tmp_path / "store.h5"
    return write


def test_a_clip_of_any_length_is_localized_by_labels(clip: Callable[..., Path]) -> None:
    predictor = make()
    for seconds in (3, 13):
        prediction = predictor(clip(seconds))
        assert prediction.categories == LABELS and len(prediction) == seconds and prediction.tau == 0.5
        assert prediction.source is None and "clip" in prediction.table()


def test_a_window_is_localized_by_the_rule() -> None:
    predictor, audio, visual = make(none_below=0.0, share=0.2), torch.randn(10, WIDTH), torch.randn(10, WIDTH)
    found = similarity(audio[None], visual[None], predictor.text.audio, predictor.text.visual)
    expected = likelihood_ratio(found, none_below=0.0, share=0.2)
    prediction = predictor.localize(audio, visual)
    torch.testing.assert_close(prediction.relevance, expected.relevance[0].sigmoid())
    torch.testing.assert_close(prediction.category[0], expected.category[0].softmax(-1))


def test_padding_of_a_short_clip_has_no_influence() -> None:
    predictor, audio, visual = make(window=4), torch.randn(3, WIDTH), torch.randn(3, WIDTH)
    short = make(window=3).localize(audio, visual)
    padded = predictor.localize(audio, visual)
    torch.testing.assert_close(padded.relevance, short.relevance)
    torch.testing.assert_close(padded.category, short.category)


def test_a_store_calibrates_without_its_padding(store: Callable[..., Path]) -> None:
    predictor = make(calibration=store())
    torch.manual_seed(0)
    audio, visual = torch.randn(5, 6, WIDTH), torch.randn(5, 6, WIDTH)
    inside = torch.arange(6) < torch.tensor([6, 5, 4, 3, 6])[:, None]
    found = similarity(audio[inside][None], visual[inside][None], predictor.text.audio, predictor.text.visual)
    for part, cosines in zip(predictor.calibration, (found.audio, found.visual), strict=True):
        expected = Calibration.of(cosines)
        assert part.temperature == pytest.approx(expected.temperature, rel=1e-4)
        torch.testing.assert_close(part.prior, expected.prior)
    assert predictor.identity() != make().identity()


def test_a_store_of_other_encoders_is_refused(store: Callable[..., Path]) -> None:
    other = make(calibration=store(audio={"name": "clap", "revision": "0"}))
    with pytest.raises(ConfigError, match=r"store\.h5.*audio.*clap"):
        _ = other.calibration


def test_several_prompts_are_averaged_as_unit_vectors() -> None:
    prompts = ("a photo of {}", "{} in the distance")
    both = make(prompts={"visual": prompts}).text
    single = [make(prompts={"visual": prompt}).text for prompt in prompts]
    torch.testing.assert_close(both.visual, sum(F.normalize(text.visual, dim=-1) for text in single) / 2)
    torch.testing.assert_close(both.audio, F.normalize(single[0].audio, dim=-1))


@pytest.mark.parametrize(("options", "error", "match"), [
    ({"prompts": {"picture": "{}"}}, ConfigError, "picture"),
    ({"prompts": {"audio": []}}, ConfigError, "prompts"),
])
def test_wrong_prompts_are_refused_at_once(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make(**options)


def test_a_prompt_without_a_place_for_the_label_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"\{\}"):
        _ = make(prompts={"audio": "a sound"}).text
