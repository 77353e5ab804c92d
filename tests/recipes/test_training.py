"""Videos of mixed lengths, all the way from files to numbers: no filling reaches an answer or a score."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from avsgn_pyg import metrics, recipes, zoo
from avsgn_pyg.config import Config, ConfigError, SyntheticConfig
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.data.synthetic import make_synthetic
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.evaluator import labels, predict
from avsgn_pyg.engine.result import Result
from avsgn_pyg.engine.run_folder import find_checkpoint
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.localization import Localization
from avsgn_pyg.recipes import parts
from avsgn_pyg.recipes.embedding import embed_run
from avsgn_pyg.recipes.pictures import answer_row

Make = Callable[..., Config]
MADE = {"videos": 60, "classes": 3, "width": 16, "segments": [3, 7]}
AUGMENT = {"recombine": 0.5, "boundary": 0.7, "time_flip": 0.5, "noise": 0.1}


def config_in(folder: Path, name: str = "r", *, model: dict | None = None, **sections: Any) -> Config:
    """A run of seconds on made videos of 3 to 7 seconds."""
    train = {"epochs": 2, "batch_size": 8, "device": "cpu", "augment": AUGMENT, **sections.pop("train", {})}
    return Config.model_validate({
        "name": name,
        "run_dir": folder,
        "data": {"kind": "synthetic", "synthetic": MADE},
        "model": {"dim": 16, "text": {"slots": "per_class"}, "time_encoding": "relative", **(model or {})},
        "train": train,
        "evaluate": {"bootstrap": 50, "tau": 0.5},
        **sections,
    })


@pytest.fixture
def make_config(tmp_path: Path) -> Make:
    return lambda *named, **sections: config_in(tmp_path, *named, **sections)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return recipes.train(config_in(tmp_path_factory.mktemp("runs")), progress=False)


@pytest.fixture(scope="module")
def alone(run: Result) -> list[Localization]:
    """The run's own model on each video of the split by itself, without filling."""
    checkpoint = load_checkpoint(run.evaluations[0].checkpoint)
    dataset = parts.open_dataset(checkpoint.config)
    model = zoo.build_model(checkpoint.config.model, parts.shape_of(dataset), dataset.label_text)
    model.load_state_dict(checkpoint.weights)
    return [predict(model, cut(dataset.test, number)) for number in range(len(dataset.test))]


def cut(videos: Videos, number: int) -> Videos:
    """One video as a split of its own, of one length."""
    one = videos.take(torch.tensor([number]))
    timed = {name: getattr(one, name)[:, : int(one.seconds)] for name in ("audio", "visual", "relevance")}
    return dataclasses.replace(one, **timed, lengths=None)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(find_checkpoint(folder)).weights


def test_answers_of_a_mixed_split_are_those_of_its_videos_alone(
    run: Result, alone: list[Localization]
) -> None:
    found, lengths = run.evaluations[0].predictions, run.videos.lengths
    assert sorted(set(lengths.tolist())) == [3, 4, 5, 6, 7]
    for number, (one, seconds) in enumerate(zip(alone, lengths.tolist(), strict=True)):
        assert one.mask is None and one.relevance.shape == (1, seconds)
        torch.testing.assert_close(found.category[number], one.category[0])
        torch.testing.assert_close(found.relevance[number, :seconds], one.relevance[0])


def test_scores_of_a_mixed_split_are_counted_from_its_videos_alone(
    run: Result, alone: list[Localization]
) -> None:
    videos, report, tau = run.videos, run.evaluations[0].report, run.evaluations[0].tau
    split = [cut(videos, number) for number in range(len(videos))]
    each = [metrics.evaluate(found.category, found.relevance, one.category, one.relevance, bootstrap=0, tau=tau,
                             categories=run.evaluations[0].meta.categories)
            for found, one in zip(alone, split, strict=True)]
    assert report.segments == int(videos.seconds.sum()) < videos.relevance.numel()
    assert torch.equal(report.confusion, torch.stack([one.confusion for one in each]).sum(0))
    assert report.segment_accuracy == pytest.approx(100 * int(report.confusion.diagonal().sum()) / report.segments)
    assert report.all_foreground_oracle == pytest.approx(100 * int(videos.relevance.sum()) / report.segments)
    logits = torch.cat([one.relevance[0] for one in alone])[None]
    relevance = videos.relevance[videos.mask][None]
    assert report.relevance_auc == pytest.approx(metrics.relevance_auc(logits, relevance))
    counts = [metrics.count_events(labels(found, tau), metrics.segment_targets(one.category, one.relevance, 3), 3, 0.5)
              for found, one in zip(alone, split, strict=True)]
    hits, predicted, true = (sum(values) for values in zip(*counts, strict=True))
    assert report.event_f1[0.5] == pytest.approx(200 * hits / (predicted + true))


def test_the_table_of_predictions_ends_each_video_where_it_ends(run: Result) -> None:
    with (run.folder / "evaluation-test" / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    for column in ("true_labels", "predicted_labels"):
        assert [len(line[column].split("|")) for line in lines] == run.videos.lengths.tolist()
    shares = (100 * run.correct[0]).tolist()
    assert [float(line["accuracy"]) for line in lines] == pytest.approx(shares, abs=0.051)


def test_evaluating_again_repeats_the_run_s_own_scores(run: Result) -> None:
    again = recipes.evaluate_run(run.folder, device="cpu", progress=False)
    assert again.as_dict() == run.as_dict()


def test_the_best_tau_of_a_mixed_split_is_the_best(run: Result) -> None:
    def accuracy(**named: Any) -> float:
        found = recipes.evaluate_run(run.folder, split="val", device="cpu", progress=False, **named)
        return found.evaluations[0].report.segment_accuracy

    best = accuracy(tau_from="val")
    assert all(best >= accuracy(tau=tau) for tau in (0.3, 0.5, 0.7))


def test_whatever_stands_after_a_video_s_end_trains_the_same_model(
    run: Result, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_rubbish(config: Any) -> Dataset:
        dataset = make_synthetic(config.synthetic)
        for videos in dataset.splits.values():
            for part in (videos.audio, videos.visual, videos.relevance):
                part[~videos.mask] = torch.nan
        return dataset

    monkeypatch.setattr(parts, "load_dataset", with_rubbish)
    result = recipes.train(make_config(), progress=False)
    found, expected = weights(result.folder), weights(run.folder)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert result.evaluations[0].report.as_dict() == run.evaluations[0].report.as_dict()


def test_a_stopped_run_on_mixed_lengths_goes_on_exactly(
    run: Result, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_epoch = Trainer._train_epoch

    def stop(self: Trainer, epoch: int, bar: Any) -> dict[str, Any]:
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, bar)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            recipes.train(make_config(), progress=False)
    result = recipes.train(make_config(), progress=False)
    found, expected = weights(result.folder), weights(run.folder)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("time", ["none", "learned", "sinusoidal"])
def test_every_time_encoding_trains_on_mixed_lengths(make_config: Make, time: str) -> None:
    result = recipes.train(make_config(model={"time_encoding": time}, train={"epochs": 1}), progress=False)
    assert result.evaluations[0].meta.segments == 7


def test_weak_supervision_with_pasted_boundaries_trains_on_mixed_lengths(make_config: Make) -> None:
    objective = {"supervision": "weak", "losses": ["mil", "gate", "pasted"]}
    result = recipes.train(make_config(objective=objective, train={"seeds": [0, 1], "epochs": 1}), progress=False)
    shares = result.correct
    seconds = result.videos.seconds
    assert result.interval == metrics.bootstrap_interval(shares, 50, 0, seconds=seconds)
    assert result.interval != metrics.bootstrap_interval(shares, 50, 0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"dim": 16}, r"model\.text\.slots=segments .* of 3 to 7 seconds; use model\.text\.slots=per_class"),
        ({"name": "late_fusion"}, r"model\.name=late_fusion takes .* one length.*use model\.name=avsgn with"),
        ({"name": "psp"}, r"model\.name=psp takes .* videos of 3 to 7 seconds; use model\.name=avsgn with"),
    ],
)
def test_settings_of_one_length_are_refused_before_a_file_is_touched(
    tmp_path: Path, model: dict, message: str
) -> None:
    config = config_in(tmp_path).model_dump()
    config = Config.model_validate(config | {"model": model, "train": {"device": "cpu"}})
    with pytest.raises(ConfigError, match=message):
        recipes.train(config, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_picture_of_a_shorter_video_ends_with_it(run: Result) -> None:
    videos = run.videos
    number = int(videos.seconds.argmin())
    answer = answer_row(run.folder, row=int(videos.row[number]), split="test")
    assert len(answer.picture.relevance) == 3 and answer.localization.mask is None
    assert sum(span.end - span.start for span in answer.picture.truth) == int(videos.relevance[number].sum())


def test_stages_are_shown_of_real_event_seconds(run: Result) -> None:
    found, videos = embed_run(run.folder, device="cpu"), run.videos
    assert len(found.labels) == int(videos.relevance.sum())
    seconds = torch.from_numpy(found.stages["encoder"]["audio"])
    torch.testing.assert_close(seconds, videos.audio[videos.relevance > 0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The made videos as files: annotations, orders and a store of mixed lengths."""
    made, root = make_synthetic(SyntheticConfig(**MADE)), tmp_path / "files"
    root.mkdir()
    rows = sorted((int(row), *video) for videos in made.splits.values() for row, *video in zip(
        videos.row, videos.video_ids, videos.category.tolist(), videos.relevance, videos.seconds.tolist(), strict=True))
    lines = []
    for _, video, category, relevance, _ in rows:
        event = relevance.nonzero().flatten()
        lines.append(f"{made.categories[category]}&{video}&good&{int(event[0])}&{int(event[-1]) + 1}")
    (root / "Annotations.txt").write_text("\n".join(lines))
    for split, videos in made.splits.items():
        with h5py.File(root / f"{split}_order.h5", "w") as file:
            file["order"] = videos.row.numpy()
    order = torch.cat([videos.row for videos in made.splits.values()]).argsort()
    audio, visual, seconds = (torch.cat([getattr(videos, name) for videos in made.splits.values()])[order]
                              for name in ("audio", "visual", "seconds"))
    write_store(root / "features.h5", Features(
        audio, visual, tuple(row[1] for row in rows), categories=made.categories, label_text=made.label_text,
        lengths=seconds))
    return root


def test_files_of_mixed_lengths_train_what_the_same_videos_in_memory_train(
    run: Result, make_config: Make, folder: Path
) -> None:
    config = make_config(data={"kind": "ave", "name": "files", "root": folder, "features": "features.h5"})
    result = recipes.train(config, progress=False)
    found, expected = weights(result.folder), weights(run.folder)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert result.evaluations[0].report.as_dict() == run.evaluations[0].report.as_dict()
