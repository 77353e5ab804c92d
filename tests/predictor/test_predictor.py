"""From a clip to events: the same numbers as evaluation's, whatever the length."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import avsgn_pyg
from avsgn_pyg import zoo
from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.engine.checkpoint import CheckpointError, load_checkpoint, load_weights
from avsgn_pyg.engine.evaluator import Predictions, predict
from avsgn_pyg.features.encoder import EncoderError
from avsgn_pyg.predictor import Predictor
from avsgn_pyg.predictor.encoding import encode_clip
from avsgn_pyg.predictor.windows import window_starts

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def evaluated(folder: Path, audio: torch.Tensor, visual: torch.Tensor) -> Predictions:
    """What the evaluator says of windows, each a video."""
    checkpoint, windows = load_checkpoint(folder), len(audio)
    shape = zoo.Shape(16, 16, 10, 3)
    model = zoo.build_model(checkpoint.config.model, shape)
    load_weights(model, checkpoint.weights, folder)
    nodes, ids = zoo.text_nodes(checkpoint.config.model, shape), tuple(map(str, range(windows)))
    videos = Videos(audio, visual, torch.zeros(windows, dtype=torch.long), torch.zeros(windows, 10),
                    torch.arange(windows), ids, nodes)
    return predict(model, videos)


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(23, 16), torch.randn(23, 16)


MODELS = [
    {},
    {"model": {"text": {"slots": "per_class"}, "head": {"gates": "vector"}}},
    {"model": {"head": {"segment_scores": True}}, "objective": {"losses": ("segment",)}},
]


@pytest.mark.parametrize("settings", MODELS[:2])
def test_one_window_has_the_evaluators_logits_and_labels(checkpoint, features, settings) -> None:
    audio, visual = (rows[:10] for rows in features)
    folder = checkpoint(**settings)
    predictor = Predictor.from_checkpoint(folder, device="cpu")
    wanted = evaluated(folder, audio[None], visual[None])
    answer = predictor.answer(audio[None], visual[None])
    torch.testing.assert_close(answer.category, wanted.category, **TOLERANCE)
    torch.testing.assert_close(answer.relevance, wanted.relevance, **TOLERANCE)
    found = predictor.localize(audio, visual)
    assert torch.equal(found.labels, wanted.labels(0.5)[0])
    assert torch.equal(found.relevance, answer.relevance[0].sigmoid())
    torch.testing.assert_close(found.category[4], answer.category[0].softmax(-1), **TOLERANCE)
    torch.testing.assert_close(found.gates["audio"], answer.gates["audio"][0].mean(-1), **TOLERANCE)
    assert set(found.gates) == {"audio", "visual"}


@pytest.mark.parametrize("settings", MODELS)
@pytest.mark.parametrize("seconds", [3, 10, 23])
def test_seconds_are_the_weighted_mean_of_the_windows_that_cover_them(checkpoint, features, settings, seconds) -> None:
    audio, visual = (rows[:seconds] for rows in features)
    folder = checkpoint(**settings)
    found = Predictor.from_checkpoint(folder, device="cpu", batch_size=2).localize(audio, visual)
    assert len(found) == seconds and found.padded == max(0, 10 - seconds)
    starts = {3: [0], 10: [0], 23: [0, 5, 10, 13]}[seconds]
    place = torch.arange(10).clamp_max(seconds - 1)
    said = [evaluated(folder, audio[s + place][None], visual[s + place][None]) for s in starts]
    for second in range(seconds):
        parts, weights = [], []
        for start, answer in zip(starts, said, strict=True):
            at = second - start
            if not 0 <= at < 10:
                continue
            if answer.segment_scores is None:
                relevance = answer.relevance[0, at].sigmoid()
                parts.append(torch.cat((relevance[None], answer.category[0].softmax(-1))))
            else:
                parts.append(answer.segment_scores[0, at].softmax(-1))
            weights.append(min(at + 1, 10 - at))
        mean = (torch.stack(parts) * torch.tensor(weights)[:, None]).sum(0) / sum(weights)
        if found.tau is None:
            torch.testing.assert_close(found.relevance[second], 1 - mean[-1], **TOLERANCE)
            torch.testing.assert_close(found.category[second] * found.relevance[second], mean[:-1], **TOLERANCE)
            assert found.labels[second] == mean.argmax()
        else:
            torch.testing.assert_close(found.relevance[second], mean[0], **TOLERANCE)
            torch.testing.assert_close(found.category[second], mean[1:], **TOLERANCE)
            assert found.labels[second] == (mean[1:].argmax() if mean[0] > 0.5 else 3)


def test_one_window_of_all_way_scores_has_the_evaluators_labels(checkpoint, features) -> None:
    folder = checkpoint(**MODELS[2])
    audio, visual = (rows[:10] for rows in features)
    found = Predictor.from_checkpoint(folder, device="cpu").localize(audio, visual)
    assert torch.equal(found.labels, evaluated(folder, audio[None], visual[None]).labels(0.5)[0])


@pytest.mark.parametrize("seconds", [3, 10, 23])
def test_a_clip_has_the_seconds_and_stamps_of_its_length(checkpoint, clip, seconds: int) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    found = predictor(clip(seconds), tau=0.0)
    assert found.path == clip(seconds) and found.name == f"clip{seconds}.mp4"
    assert len(found) == len(found.seen) == len(found.heard) == seconds
    assert found.duration == pytest.approx(seconds, abs=0.1)
    assert found.padded == max(0, 10 - seconds)
    # Above tau 0 every second has a class: events follow one another and end with the clip.
    edges = [(event.start, event.end) for event in found.events]
    assert edges[0][0] == 0
    assert edges[-1][1] == pytest.approx(seconds, abs=0.1)
    assert all(end == start for (_, end), (start, _) in pairwise(edges))


def test_a_clip_answers_as_its_features_do(checkpoint, clip) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    found = predictor(clip(10))
    made = predictor.encoders
    windows = encode_clip(clip(10), made.visual, made.audio, segments=10, frames_per_segment=2)
    same = predictor.localize(windows.audio[0], windows.visual[0])
    assert torch.equal(found.relevance, same.relevance)
    assert torch.equal(found.labels, same.labels)


def test_seconds_keep_their_order(checkpoint, features) -> None:
    """What is changed late in a long video does not move what was said of its first seconds."""
    audio, visual = features
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    first = predictor.localize(audio, visual)
    second = predictor.localize(torch.cat((audio[:18], 5 * audio[18:])), visual)
    assert torch.equal(first.relevance[:10], second.relevance[:10])
    assert not torch.equal(first.relevance[18:], second.relevance[18:])


def test_a_runs_selected_checkpoint_is_taken(run: Path) -> None:
    assert Predictor.from_checkpoint(run, device="cpu").checkpoint.path == run / "checkpoints" / "epoch-0001"
    assert Predictor.from_checkpoint(str(run), device="cpu").segments == 10


def test_a_run_of_several_seeds_names_them(run: Path) -> None:
    both = run.parent / "several"
    both.mkdir()
    run.rename(both / "seed-0")
    (both / "seed-1").mkdir()
    with pytest.raises(CheckpointError, match="several seeds; choose one of seed-0, seed-1"):
        Predictor.from_checkpoint(both)


def test_a_model_that_chooses_among_regions_has_no_encoder_here(checkpoint) -> None:
    with pytest.raises(ConfigError, match=r"trained on regions .* models trained with data\.regions=pool"):
        Predictor.from_checkpoint(checkpoint(data_settings={"regions": "keep"}))


def test_other_classes_than_the_bank_has_are_refused(checkpoint) -> None:
    folder = checkpoint()
    meta = json.loads((folder / "meta.json").read_text())
    meta["categories"].append("extra")
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match="names 4 classes"):
        Predictor.from_checkpoint(folder, device="cpu")


def test_features_need_no_encoders_and_clips_do(checkpoint, features, clip) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(features={"audio": "a.h5"}), device="cpu")
    assert len(predictor.localize(*features)) == 23
    with pytest.raises(EncoderError, match="without a record of their visual encoder"):
        predictor(clip(3))


@pytest.mark.parametrize(
    ("audio", "visual"), [((0, 16), (0, 16)), ((5, 16), (4, 16)), ((5, 8), (5, 16)), ((5, 16), (5, 8))]
)
def test_features_that_do_not_fit_are_refused(checkpoint, audio, visual) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    with pytest.raises(DataError, match=r"this model takes \[S, 16\] and \[S, 16\]"):
        predictor.localize(torch.zeros(audio), torch.zeros(visual))


@pytest.mark.parametrize("tau", [-0.1, 1.0, float("nan")])
def test_a_threshold_outside_its_range_is_refused(checkpoint, features, tau: float) -> None:
    with pytest.raises(ConfigError, match="no threshold of a relevance"):
        Predictor.from_checkpoint(checkpoint(), device="cpu").localize(*features, tau=tau)


def test_a_model_of_all_way_scores_takes_no_threshold(checkpoint, features) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(**MODELS[2]), device="cpu")
    with pytest.raises(ConfigError, match="4 classes, which is decoded without tau"):
        predictor.localize(*features, tau=0.5)


@pytest.mark.parametrize("supervision", ["full", "weak"])
@pytest.mark.parametrize("name", ["avel", "avsdn", "psp"])
def test_a_baseline_of_all_way_scores_takes_no_threshold_and_reports_none(
    checkpoint, features, name: str, supervision: str
) -> None:
    folder = checkpoint(model={"name": name, "options": {"hidden": 8}}, objective={"supervision": supervision})
    predictor = Predictor.from_checkpoint(folder, device="cpu")
    assert predictor.localize(*features).tau is None
    with pytest.raises(ConfigError, match="4 classes, which is decoded without tau"):
        predictor.localize(*features, tau=0.5)


def test_nobodys_random_numbers_are_disturbed(checkpoint) -> None:
    folder = checkpoint()
    before = torch.get_rng_state()
    Predictor.from_checkpoint(folder, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_package_offers_it() -> None:
    assert avsgn_pyg.Predictor is Predictor


def test_an_hour_has_719_windows() -> None:
    assert len(window_starts(3600, 10)) == 719
