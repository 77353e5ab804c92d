"""From a clip to events: the same numbers as evaluation's, at any length."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import CheckpointError, ConfigError, DataError, EncoderError
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import load_checkpoint, load_weights
from avsgn_pyg.engine.evaluator import predict
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.predictor import Predictor

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
ALL_WAY = {"model": {"head": {"segment_scores": True}}, "objective": {"losses": ("segment",)}}
MODELS = [{}, {"model": {"text": {"slots": "per_class"}, "head": {"gates": "vector"}}}, ALL_WAY]


def evaluated(folder: Path, audio: torch.Tensor, visual: torch.Tensor) -> Any:
    """The evaluator's outputs for windows, each a video."""
    checkpoint, windows = load_checkpoint(folder), len(audio)
    shape = zoo.Shape(16, 16, 10, 3)
    model = zoo.build_model(checkpoint.config.model, shape)
    load_weights(model, checkpoint.weights, folder)
    nodes, ids = zoo.text_nodes(checkpoint.config.model, shape), tuple(map(str, range(windows)))
    return predict(model, Videos(audio, visual, torch.zeros(windows, dtype=torch.long), torch.zeros(windows, 10),
                                 torch.arange(windows), ids, nodes))


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(23, 16), torch.randn(23, 16)


@pytest.mark.parametrize("settings", MODELS)
def test_one_window_has_the_evaluators_outputs_and_labels(checkpoint, features, settings) -> None:
    audio, visual = (rows[:10] for rows in features)
    folder, random_state = checkpoint(**settings), torch.get_rng_state()
    predictor = Predictor.from_checkpoint(folder, device="cpu")
    assert torch.equal(torch.get_rng_state(), random_state)
    expected = evaluated(folder, audio[None], visual[None])
    output, found = predictor.localize_windows(audio[None], visual[None], len(audio)), predictor.localize(audio, visual)
    torch.testing.assert_close(output.category, expected.category, **TOLERANCE)
    torch.testing.assert_close(output.relevance, expected.relevance, **TOLERANCE)
    labels = metrics.predict(expected.category, expected.relevance, 0.5, expected.segment_scores)
    assert torch.equal(found.labels, labels[0])
    assert set(found.gates) == {"audio", "visual"}
    torch.testing.assert_close(found.gates["audio"], output.gates["audio"][0].mean(-1), **TOLERANCE)


@pytest.mark.parametrize(("settings", "seconds"), [*((each, 23) for each in MODELS), ({}, 3)])
def test_seconds_are_the_weighted_mean_of_their_windows(checkpoint, features, settings, seconds) -> None:
    audio, visual = (rows[:seconds] for rows in features)
    folder = checkpoint(**settings)
    found = Predictor.from_checkpoint(folder, device="cpu", batch_size=2).localize(audio, visual)
    assert len(found) == seconds and found.padded == max(0, 10 - seconds)
    starts = {3: [0], 23: [0, 5, 10, 13]}[seconds]
    rows = torch.stack([start + torch.arange(10).clamp_max(seconds - 1) for start in starts])
    output = evaluated(folder, audio[rows], visual[rows])
    for second in range(seconds):
        parts, weights = [], []
        for window, at in ((window, second - start) for window, start in enumerate(starts)):
            if 0 <= at < 10:
                relevance = output.relevance[window, at].sigmoid()
                parts.append(torch.cat((relevance[None], output.category[window].softmax(-1)))
                             if output.segment_scores is None else output.segment_scores[window, at].softmax(-1))
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


@pytest.mark.parametrize("seconds", [3, 13])
def test_a_clip_has_the_seconds_and_times_of_its_length(predictor, clip, seconds: int) -> None:
    found = predictor(clip(seconds), tau=0.0)
    assert found.path == clip(seconds) and found.name == f"clip{seconds}.mp4"
    assert len(found) == len(found.seen) == len(found.heard) == seconds
    assert found.duration == pytest.approx(seconds, abs=0.1)
    assert found.padded == max(0, 10 - seconds)
    # Above tau 0 every second has a class: events follow one another and end with the clip.
    edges = [(event.start, event.end) for event in found.events]
    assert edges[0][0] == 0 and edges[-1][1] == pytest.approx(seconds, abs=0.1)
    assert all(end == start for (_, end), (start, _) in pairwise(edges))


def test_a_runs_selected_checkpoint_is_loaded(run: Path) -> None:
    assert Predictor.from_checkpoint(str(run), device="cpu").checkpoint.path == run / "checkpoints" / "epoch-0001"


@pytest.mark.parametrize("load", [Predictor.from_checkpoint, Predictor.from_pretrained])
def test_a_run_of_several_seeds_answers_with_the_mean_of_their_probabilities(seeds: Path, features, load) -> None:
    parts = [load(seeds / name, device="cpu").localize(*features) for name in ("seed-0", "seed-2")]
    together = load(seeds, device="cpu")
    found = together.localize(*features, tau=0.4)
    for name in ("relevance", "category"):
        one, other = (getattr(part, name) for part in parts)
        assert not torch.allclose(one, other, atol=1e-3)
        torch.testing.assert_close(getattr(found, name), (one + other) / 2, **TOLERANCE)
    torch.testing.assert_close(found.gates["visual"], (parts[0].gates["visual"] + parts[1].gates["visual"]) / 2)
    assert torch.equal(found.labels, torch.where(found.relevance > 0.4, found.category.argmax(-1), 3))
    assert found.source == seeds and torch.equal(load(seeds, seeds=1, device="cpu").localize(*features).relevance,
                                                 parts[0].relevance)
    with pytest.raises(CheckpointError, match="0, 2, not 1"):
        load(seeds, seeds=[1])


def test_seeds_of_other_features_do_not_answer_together(seeds: Path) -> None:
    path = seeds / "seed-2" / "checkpoints" / "epoch-0001" / "meta.json"
    path.write_text(path.read_text().replace('"signal"', '"clip"', 1))
    with pytest.raises(CheckpointError, match="differ in provenance"):
        Predictor.from_checkpoint(seeds)


@pytest.mark.parametrize(("kind", "regions", "word"), [("llp", "pool", "train_parsing"), ("ave", "keep", "regional")])
def test_a_model_that_parses_or_reads_regions_is_refused(checkpoint, kind: str, regions: str, word: str) -> None:
    folder = checkpoint(data={"regions": regions})
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("kind: ave", f"kind: {kind}"))
    with pytest.raises(ConfigError, match=word):
        Predictor.from_checkpoint(folder, device="cpu")


def test_other_classes_than_the_weights_have_are_refused(checkpoint) -> None:
    with pytest.raises(CheckpointError, match="another model"):
        Predictor.from_checkpoint(checkpoint(categories=("bell", "dog", "rain", "extra")), device="cpu")


def test_features_need_no_encoders_and_clips_do(checkpoint, features, clip) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(features={"audio": "a.h5"}), device="cpu")
    assert len(predictor.localize(*features)) == 23
    with pytest.raises(EncoderError, match="record of their visual encoder"):
        predictor(clip(3))


@pytest.mark.parametrize(("audio", "visual"), [
    ((0, 16), (0, 16)), ((5, 16), (4, 16)), ((5, 16), (5, 8)), ((16,), (16,)), ((), ()), ((5, 7, 16), (5, 7, 16)),
])
def test_features_of_another_shape_are_refused(predictor, audio, visual) -> None:
    with pytest.raises(DataError, match=r"audio \[S, 16\] and visual \[S, 16\]"):
        predictor.localize(torch.zeros(audio), torch.zeros(visual))


def test_features_may_be_arrays_and_must_be_finite(predictor, features) -> None:
    arrays = [rows.double().numpy() for rows in features]
    torch.testing.assert_close(predictor.localize(*arrays).relevance, predictor.localize(*features).relevance)
    arrays[1][7, 3] = float("nan")
    with pytest.raises(DataError, match="visual features have NaN or infinity in second 7"):
        predictor.localize(*arrays)
    for words in (arrays[0].astype(str), arrays[0].astype(object), arrays[0] + 1j):
        with pytest.raises(DataError, match="arrays of numbers"):
            predictor.localize(words, features[1])


def test_the_identity_tells_models_labels_and_encoders_apart(checkpoint, predictor) -> None:
    def identity(name: str = "again", labels=None, **options):
        return Predictor.from_checkpoint(checkpoint(name, **options), device="cpu", labels=labels).identity()

    assert identity() == predictor.identity()
    others = [identity("dim", model={"dim": 24}), identity("seed", seed=2), identity("labels", labels=["siren", "dog"]),
              identity("names", labels=["bell", "dog", "rain & wind"])]
    assert all(other != predictor.identity() for other in others)


def test_a_clip_beyond_a_limit_is_refused(checkpoint, clip) -> None:
    model = Predictor.from_checkpoint(checkpoint(), device="cpu", limits=Limits(seconds=2))
    with pytest.raises(DataError, match=r"clip3\.mp4: .*limit"):
        model(clip(3))


@pytest.mark.parametrize("tau", [-0.1, float("nan")])
def test_a_threshold_outside_its_range_is_refused(predictor, features, tau: float) -> None:
    with pytest.raises(ConfigError, match="tau="):
        predictor.localize(*features, tau=tau)


@pytest.mark.parametrize("settings", [
    ALL_WAY, {"model": {"name": "avsdn", "options": {"hidden": 8}}, "objective": {"supervision": "weak"}},
])
def test_a_model_of_all_way_scores_takes_no_threshold(checkpoint, features, settings: dict) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(**settings), device="cpu")
    assert predictor.localize(*features).tau is None
    with pytest.raises(ConfigError, match=r"4 classes.*without tau"):
        predictor.localize(*features, tau=0.5)
