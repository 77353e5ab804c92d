"""Videos of mixed lengths, from training to scores: padding changes no prediction and no score."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg import metrics
from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.data.synthetic import make_synthetic
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine import recipes, zoo
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.evaluator import predict
from avsgn_pyg.engine.recipes import parts
from avsgn_pyg.engine.recipes.embedding import embed_run
from avsgn_pyg.engine.recipes.evaluation import evaluate_checkpoint, judge, paste_over
from avsgn_pyg.engine.recipes.parts import other_settings
from avsgn_pyg.engine.recipes.pictures import answer_row
from avsgn_pyg.engine.recipes.result import Result
from avsgn_pyg.graph.localization import Localization

Make = Callable[..., Config]
SYNTHETIC = {"videos": 60, "classes": 3, "width": 16, "segments": [3, 7]}
#: Videos of 3 to 7 seconds, and a model that takes them.
MIXED = {"data": {"kind": "synthetic", "synthetic": SYNTHETIC}, "evaluate": {"bootstrap": 50, "tau": 0.5}}
MODEL = {"text": {"slots": "per_class"}, "time_encoding": "relative"}
TRAIN = {"epochs": 2, "augment": {"recombine": 0.5, "boundary": 0.7, "time_flip": 0.5, "noise": 0.1}}


@pytest.fixture(scope="module")
def run(config_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return recipes.train(config_of(tmp_path_factory.mktemp("runs"), model=MODEL, **MIXED, **TRAIN), progress=False)


@pytest.fixture(scope="module")
def alone(run: Result) -> list[tuple[Localization, Videos]]:
    """Each video of the split by itself, without padding, and the run's predictions for it."""
    model = zoo.load_model(load_checkpoint(run.evaluations[0].checkpoint))
    found = []
    for number, seconds in enumerate(run.videos.lengths.tolist()):
        one = run.videos.take(torch.tensor([number]))
        cut = {name: getattr(one, name)[:, :seconds] for name in ("audio", "visual", "relevance")}
        one = dataclasses.replace(one, **cut, lengths=None)
        found.append((predict(model, one), one))
    return found


def test_predictions_of_a_mixed_split_are_those_of_its_videos_alone(
    run: Result, alone: list[tuple[Localization, Videos]]
) -> None:
    found = run.evaluations[0].predictions
    assert {len(one.relevance[0]) for one, _ in alone} == {3, 4, 5, 6, 7}
    assert torch.equal(found.mask, run.videos.mask) and not found.relevance[~found.mask].any()
    for number, (one, _) in enumerate(alone):
        torch.testing.assert_close(found.category[number], one.category[0])
        torch.testing.assert_close(found.relevance[number, : len(one.relevance[0])], one.relevance[0])


def test_scores_of_a_mixed_split_are_counted_from_its_videos_alone(
    run: Result, alone: list[tuple[Localization, Videos]]
) -> None:
    videos, [one] = run.videos, run.evaluations
    report, tau = one.report, one.tau
    each = [metrics.evaluate(found.category, found.relevance, video.category, video.relevance, bootstrap=0, tau=tau,
                             categories=one.meta.categories) for found, video in alone]
    assert report.segments == int(videos.seconds.sum()) < videos.relevance.numel()
    assert torch.equal(report.confusion, torch.stack([part.confusion for part in each]).sum(0))
    assert report.segment_accuracy == pytest.approx(100 * int(report.confusion.diagonal().sum()) / report.segments)
    assert report.all_foreground_oracle == pytest.approx(100 * int(videos.relevance.sum()) / report.segments)
    logits = torch.cat([found.relevance[0] for found, _ in alone])[None]
    assert report.relevance_auc == pytest.approx(metrics.relevance_auc(logits, videos.relevance[videos.mask][None]))
    counts = [metrics.count_events(metrics.labels(found, tau),
                                   metrics.segment_targets(video.category, video.relevance, 3), 3, 0.5)
              for found, video in alone]
    hits, predicted, true = (sum(values) for values in zip(*counts, strict=True))
    assert report.event_f1[0.5] == pytest.approx(200 * hits / (predicted + true))


def test_a_line_of_the_csv_ends_where_its_video_ends(run: Result) -> None:
    with (run.folder / "evaluation-test" / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    for column in ("true_labels", "predicted_labels", "relevance", "audio_gate", "visual_gate"):
        assert [len(line[column].split("|")) for line in lines] == run.videos.lengths.tolist()
    assert [float(line["accuracy"]) for line in lines] == pytest.approx((100 * run.correct[0]).tolist(), abs=0.051)


def test_evaluating_again_repeats_the_scores_of_the_run(run: Result) -> None:
    assert recipes.evaluate_run(run.folder, device="cpu", progress=False).as_dict() == run.as_dict()


@pytest.mark.slow
def test_an_evaluation_under_other_settings_has_them_in_its_name_and_replaces_none(run: Result, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "r"))
    own = (folder / "evaluation-test" / "metrics.json").read_bytes()
    found = [recipes.evaluate_run(folder, device="cpu", progress=False, **options) for options in (
        {"tau": 0.5}, {"tau": 0.4}, {"overrides": ["evaluate.tau=0.4"]}, {"tau_from": "val"}, {"split": "val"},
        {"overrides": ["data.name=other", "evaluate.bootstrap=0"]}, {"overrides": ["data.root=elsewhere"]},
        {"overrides": [f"data.synthetic={json.dumps(SYNTHETIC | {'seed': 1})}"]})]
    *names, other = (result.place.name for result in found)
    assert names == ["evaluation-test", "evaluation-test-tau=0.4", "evaluation-test-tau=0.4",
                     "evaluation-test-tau-from=val", "evaluation-val",
                     "evaluation-test-data.name=other-evaluate.bootstrap=0", "evaluation-test"]
    assert other.startswith("evaluation-test-data.synthetic=") and "-data=" in other
    assert {path.parent.name for path in folder.glob("*/metrics.json")} == {*names, other}
    assert (folder / "evaluation-test" / "metrics.json").read_bytes() == own.replace(
        str(run.folder).encode(), str(folder).encode())
    written = json.loads((folder / names[1] / "metrics.json").read_text())
    assert written["settings"] == ["tau=0.4"] and " | data.name=other | " in found[5].table()


def test_other_data_under_the_same_settings_are_named_by_a_digest(run: Result) -> None:
    checkpoint = load_checkpoint(run.evaluations[0].checkpoint)
    dataset = parts.open_dataset(checkpoint.config)
    assert not list(other_settings(checkpoint.config, checkpoint, dataset))
    one, other = (list(other_settings(checkpoint.config, checkpoint, dataclasses.replace(dataset, provenance=files)))
                  for files in ({"files": "a"}, {"files": "b"}))
    assert one != other and all(re.fullmatch(r"data=[0-9a-f]{8}", *found) for found in (one, other))


@pytest.mark.slow
def test_the_best_tau_of_a_mixed_split_is_the_best_and_selection_scores_it_alike(run: Result) -> None:
    def accuracy(**options: Any) -> float:
        found = recipes.evaluate_run(run.folder, split="val", device="cpu", progress=False, **options)
        return found.evaluations[0].report.segment_accuracy

    assert accuracy() == pytest.approx(run.evaluations[0].meta.selection_score)
    assert accuracy(tau_from="val") >= max(accuracy(tau=tau) for tau in (0.3, 0.5, 0.7))


def test_the_tau_of_pasted_seconds_separates_them_best_and_reads_no_segment_label(run: Result) -> None:
    checkpoint = load_checkpoint(run.evaluations[0].checkpoint)
    dataset = parts.open_dataset(checkpoint.config)
    wrong = dataclasses.replace(dataset.val, relevance=1 - dataset.val.relevance)
    taus = [evaluate_checkpoint(checkpoint, each, "val", tau_from="val-pasted").evaluations[0].tau
            for each in (dataset, dataclasses.replace(dataset, val=wrong))]
    assert taus[0] == taus[1]
    pasted = paste_over(dataset.val)
    relevance = predict(zoo.load_model(checkpoint), pasted).relevance.sigmoid()[pasted.mask]
    event = pasted.relevance.bool()[pasted.mask]
    right = {tau: int(((relevance > tau) == event).sum()) for tau in (taus[0], 0.3, 0.5, 0.7)}
    assert right[taus[0]] == max(right.values()) and (~event).any()


def test_the_scores_that_select_are_those_of_the_report(run: Result) -> None:
    checkpoint = load_checkpoint(run.evaluations[0].checkpoint)
    found = recipes.evaluate_run(run.folder, split="val", device="cpu", progress=False)
    scores = judge(zoo.load_model(checkpoint), found.videos, config=checkpoint.config, device=torch.device("cpu"))
    assert next(iter(scores)) == "segment_accuracy"
    assert scores == {name: getattr(found.evaluations[0].report, name) for name in scores}


@pytest.mark.slow
def test_values_of_padding_do_not_change_the_training(
    run: Result, make_config: Make, weights: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_nan(config: Any) -> Dataset:
        dataset = make_synthetic(config.synthetic)
        for videos in dataset.splits.values():
            for part in (videos.audio, videos.visual, videos.relevance):
                part[~videos.mask] = torch.nan
        return dataset

    monkeypatch.setattr(parts, "load_dataset", with_nan)
    result = recipes.train(make_config(model=MODEL, **MIXED, **TRAIN), progress=False)
    found = weights(result.folder)
    assert all(torch.equal(found[name], value) for name, value in weights(run.folder).items())
    assert result.evaluations[0].report.as_dict() == run.evaluations[0].report.as_dict()


@pytest.mark.slow
def test_a_learned_time_encoding_covers_the_longest_video(make_config: Make) -> None:
    result = recipes.train(make_config(model=MODEL | {"time_encoding": "learned"}, **MIXED), progress=False)
    assert result.evaluations[0].meta.segments == 7


@pytest.mark.slow
def test_the_interval_of_seeds_weighs_videos_by_their_seconds(make_config: Make) -> None:
    objective = {"supervision": "weak", "losses": ["mil", "gate", "pasted"]}
    config = make_config(model=MODEL, objective=objective, seeds=[0, 1], **MIXED, **TRAIN)
    result = recipes.train(config, progress=False)
    assert result.interval == metrics.bootstrap_interval(result.correct, 50, 0, seconds=result.videos.seconds)
    assert result.interval != metrics.bootstrap_interval(result.correct, 50, 0)


@pytest.fixture(scope="module")
def seeds(config_of: Make, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run of the seeds 0, 2 and 5."""
    folder = tmp_path_factory.mktemp("runs")
    return recipes.train(config_of(folder, model=MODEL, seeds=[0, 2, 5], **MIXED), progress=False)


@pytest.mark.slow
def test_a_run_of_several_seeds_scores_the_mean_of_their_probabilities(seeds: Result) -> None:
    [together], parts = seeds.ensemble.evaluations, [one.predictions for one in seeds.evaluations]
    found, mask = together.predictions, seeds.videos.mask
    for name, probability in (("category", lambda logits: logits.softmax(-1)), ("relevance", torch.sigmoid)):
        expected = torch.stack([probability(getattr(part, name)) for part in parts]).mean(0)
        torch.testing.assert_close(probability(getattr(found, name)), expected)
    target = metrics.segment_targets(seeds.videos.category, metrics.zero_padding(seeds.videos.relevance, mask), 3)
    assert together.report.segment_accuracy == metrics.accuracy(metrics.labels(found, 0.5), target, mask)
    values = json.loads((seeds.folder / "evaluation-test-seeds=0+2+5" / "metrics.json").read_text())
    assert [meta["seed"] for meta in values["ensemble"]] == [0, 2, 5] and "trained" not in values
    assert values["scores"] == json.loads(json.dumps(together.report.as_dict()))
    assert "ensemble: mean probabilities of seeds 0, 2, 5, epochs 1, 1, 1" in seeds.table()


@pytest.mark.slow
def test_some_seeds_of_a_run_replace_nothing_of_the_others(seeds: Result) -> None:
    before = (seeds.folder / "summary-test.json").read_bytes()
    found = recipes.evaluate_run(seeds.folder, seeds=2, tau_from="val", device="cpu", progress=False)
    assert found.seeds == (0, 2) and found.place.name == "summary-test-seeds=0+2-tau-from=val.json"
    [one] = found.ensemble.evaluations
    best = recipes.evaluate_run(seeds.folder, seeds=(0, 2), split="val", tau=one.tau, device="cpu", progress=False)
    other = recipes.evaluate_run(seeds.folder, seeds=(0, 2), split="val", tau=0.9, device="cpu", progress=False)
    accuracy, worse = (each.ensemble.evaluations[0].report.segment_accuracy for each in (best, other))
    assert accuracy >= worse  # tau is the best of the ensemble on val, not of a seed
    assert found.ensemble.place.name == "evaluation-test-seeds=0+2-tau-from=val"
    alone = recipes.evaluate_run(seeds.folder, seeds=[5], device="cpu", progress=False)
    assert alone.folder.name == "seed-5" and alone.ensemble is None
    assert (seeds.folder / "summary-test.json").read_bytes() == before


@pytest.mark.slow
def test_seeds_that_a_run_does_not_have_are_named(seeds: Result, run: Result) -> None:
    for folder, wanted, word in ((seeds.folder, [0, 7], "0, 2, 5, not 7"), (seeds.folder, 4, "not the first 4"),
                                 (run.folder, 2, "not a run of several seeds")):
        with pytest.raises(CheckpointError, match=word):
            recipes.evaluate_run(folder, seeds=wanted, device="cpu", progress=False)


@pytest.mark.parametrize(("model", "message"), [
    ({}, r"slots=segments .* 3 to 7 seconds"),
    ({"name": "late_fusion", "dim": 256}, r"late_fusion .* one length"),
])
def test_settings_of_one_length_are_refused_before_a_file_is_written(
    make_config: Make, tmp_path: Path, model: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.train(make_config(model=model, **MIXED), progress=False)
    assert not list(tmp_path.iterdir())


def test_a_picture_of_a_shorter_video_ends_with_it(run: Result) -> None:
    number = int(run.videos.seconds.argmin())
    found = answer_row(run.folder, row=int(run.videos.row[number]), split="test")
    assert len(found.picture.relevance) == 3 and found.localization.mask is None
    assert sum(span.end - span.start for span in found.picture.truth) == int(run.videos.relevance[number].sum())


def test_padding_is_not_embedded(run: Result) -> None:
    found = embed_run(run.folder, device="cpu")
    seconds = torch.from_numpy(found.stages["encoder"]["audio"])
    torch.testing.assert_close(seconds, run.videos.audio[run.videos.relevance > 0])
