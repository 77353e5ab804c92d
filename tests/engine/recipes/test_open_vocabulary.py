"""Held-out classes: what is fitted without them, whose videos are scored, and that the figures are counts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg import metrics
from avsgn_pyg.common.config import load_config
from avsgn_pyg.common.errors import ConfigError, DataError
from avsgn_pyg.common.settings import DataConfig, SyntheticConfig
from avsgn_pyg.data.dataset import Dataset, load_dataset
from avsgn_pyg.data.feature_store import Features, LabelText, write_store
from avsgn_pyg.data.files import BY_ID_FILES
from avsgn_pyg.data.folders import read_ovave
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes.open_vocabulary import GRID, fit_temperatures, measure_held_out, measure_unseen
from avsgn_pyg.engine.recipes.parts import open_run
from avsgn_pyg.graph.open_vocabulary import Temperatures, label_scores
from avsgn_pyg.graph.training_free import Calibration, likelihood_ratio, similarity

SYNTHETIC = SyntheticConfig(videos=120, classes=6, width=16)
DATA = DataConfig(kind="synthetic", synthetic=SYNTHETIC)
CONFIGS = Path(__file__).resolve().parents[3] / "configs"
LOAD = "avsgn_pyg.engine.recipes.open_vocabulary.load_dataset"
GONE = (1, 4)


def without(dataset: Dataset, split: str, classes: list[int]) -> Dataset:
    """The data with no video of `classes` in a split."""
    videos = dataset.split(split)
    kept = (~torch.isin(videos.category, torch.tensor(classes))).nonzero().flatten()
    return dataclasses.replace(dataset, **{split: videos.take(kept)})


def of_mixed_lengths(config: DataConfig) -> Dataset:
    """The data with nan in every padded second."""
    dataset = load_dataset(config)
    for videos in dataset.splits.values():
        videos.audio[~videos.mask], videos.visual[~videos.mask] = torch.nan, torch.nan
    return dataset


# --- By text alone -------------------------------------------------------------------------------


def test_a_draw_is_what_counting_by_hand_gives():
    [draw] = measure_held_out(DATA, split="val", held_out=3, seeds=[4]).values["draws"]
    dataset = load_dataset(DATA)
    unseen, videos, text = [dataset.categories.index(name) for name in draw["classes"]], dataset.val, dataset.label_text
    scores = label_scores(videos.audio, videos.visual, torch.ones_like(videos.relevance), text.audio, text.visual,
                          Temperatures(**draw["temperatures"]))
    pairs = [(row, category) for row, category in zip(scores.tolist(), videos.category.tolist(), strict=True)
             if category in unseen]
    assert draw["videos"] == len(pairs)
    assert draw["among_held_out"]["both"] == pytest.approx(
        100 * sum(max(unseen, key=row.__getitem__) == category for row, category in pairs) / len(pairs))
    assert draw["among_all"]["both"] == pytest.approx(
        100 * sum(row.index(max(row)) == category for row, category in pairs) / len(pairs))


def test_draws_are_reproducible_and_differ():
    one, two = (measure_held_out(DATA, held_out=3, seeds=range(3)) for _ in range(2))
    assert one == two and len({draw["classes"] for draw in one.values["draws"]}) > 1
    assert "3 of 6 classes held out, 3 draws" in one.table and json.dumps(one.values)


def test_temperatures_have_the_least_cross_entropy_on_the_other_classes():
    category, classes = torch.arange(200) % 4, torch.tensor([0, 2, 3])
    sharp = torch.nn.functional.one_hot(category, 4) * 0.2 + 0.01 * torch.randn(200, 4)
    noise = torch.randn(200, 4)
    found = fit_temperatures((sharp, noise), category, classes)
    assert found == Temperatures(min(GRID), max(GRID))
    changed = sharp.clone()
    changed[category == 1] = torch.randn(50, 4)  # videos of the held-out class
    assert fit_temperatures((changed, noise), category, classes) == found


@pytest.mark.parametrize(("config", "held_out", "says"), [
    (DATA, 1, "2 to 4"), (DATA, 5, "2 to 4"), (DataConfig(kind="llp"), 3, r"data\.kind=llp"),
    (DataConfig(kind="dense", name="d", features="f.h5"), 3, r"data\.kind=dense"),
])
def test_too_few_classes_and_videos_of_several_events_are_refused(config: DataConfig, held_out: int, says: str):
    with pytest.raises(ConfigError, match=says):
        measure_held_out(config, held_out=held_out)


def test_a_side_without_videos_is_refused(monkeypatch: pytest.MonkeyPatch):
    dataset = load_dataset(DATA)
    names = measure_held_out(DATA, held_out=2, seeds=[4]).values["draws"][0]["classes"]
    unseen = [dataset.categories.index(name) for name in names]
    seen = [place for place in range(6) if place not in unseen]
    for split, classes, says in (("val", unseen, "seed 4 holds out"), ("train", seen, "train's videos of the 4")):
        monkeypatch.setattr(LOAD, lambda _, split=split, classes=classes: without(dataset, split, classes))
        with pytest.raises(DataError, match=says):
            measure_held_out(DATA, held_out=2, seeds=[4])


def test_padding_does_not_count(monkeypatch: pytest.MonkeyPatch):
    config = DATA.model_copy(update={"synthetic": SYNTHETIC.model_copy(update={"segments": (3, 9)})})
    found, dataset = measure_held_out(config, held_out=3, seeds=[4]), of_mixed_lengths(config)
    monkeypatch.setattr(LOAD, lambda _: dataset)
    assert measure_held_out(config, held_out=3, seeds=[4]) == found


# --- A trained run -------------------------------------------------------------------------------


def train(config_of: Callable, folder: Path, *, segments: int | tuple[int, int] = 10,
          held_out: tuple[int, ...] = GONE, head: dict[str, str] | None = None) -> Path:
    synthetic = SYNTHETIC.model_copy(update={"segments": segments}).model_dump()
    data = {"kind": "synthetic", "synthetic": synthetic, "held_out": [f"class {place}" for place in held_out]}
    config = config_of(folder, data=data, model={"text": {"slots": "per_class"}, "head": head or {}},
                       evaluate={"bootstrap": 0, "split": "val"})
    return recipes.train(config, progress=False).folder


@pytest.fixture(scope="module")
def run(config_of: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(config_of, tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_the_run_gives_the_relevance_and_the_text_the_class(run: Path):
    found, dataset = measure_unseen(run), load_dataset(DATA)
    opened = open_run(run, split=None, overrides=[], use="a test")
    videos = dataset.val.take(torch.isin(dataset.val.category, torch.tensor(GONE)).nonzero().flatten())
    videos = dataclasses.replace(videos, text_nodes=opened.videos.text_nodes)
    relevance = opened.model(videos.batch(torch.arange(len(videos)))).relevance.detach()
    text = dataset.label_text
    scores = label_scores(videos.audio, videos.visual, relevance.sigmoid(), text.audio, text.visual)
    expected = metrics.evaluate(scores, relevance, videos.category, videos.relevance, categories=dataset.categories,
                                tau=opened.config.evaluate.tau, bootstrap=0).as_dict()
    named_from = json.loads(json.dumps(found.values))["named_from"]
    assert set(named_from) == {"held out", "all", "seen", "total"} and found.values["named_from"]["all"] == expected
    right = torch.tensor(GONE)[scores[:, list(GONE)].argmax(-1)] == videos.category
    assert named_from["held out"]["class_accuracy"] == pytest.approx(100 * right.double().mean().item())
    assert named_from["held out"]["relevance_auc"] == expected["relevance_auc"]
    for part in ("val", "(class 1, class 4)", "unseen, 2 labels", "total, 6 labels", "event F1 @ 0.5", "segment F"):
        assert part in found.table
    whole = {name: report["videos"] for name, report in named_from.items()}
    assert whole["all"] == len(videos) and whole["seen"] + whole["all"] == whole["total"] == len(dataset.val)


def test_label_text_as_the_classifier_is_given_all_labels_and_scored_by_the_protocol_of_ovave(
    config_of: Callable, tmp_path: Path
):
    run, dataset = train(config_of, tmp_path, head={"classifier": "text"}), load_dataset(DATA)
    found, opened = measure_unseen(run).values, open_run(run, split=None, overrides=[], use="a test")
    text, videos = dataset.label_text, dataclasses.replace(dataset.val, text_nodes=12)
    with torch.no_grad():
        output = opened.model.with_labels(text.audio, text.visual)(videos.batch(torch.arange(len(videos))))
    expected = metrics.evaluate(output.category, output.relevance, videos.category, videos.relevance, bootstrap=0,
                                categories=dataset.categories, tau=opened.config.evaluate.tau).as_dict()
    assert found["named_from"]["total"]["segment_accuracy"] == pytest.approx(expected["segment_accuracy"])
    unseen, protocol = torch.isin(videos.category, torch.tensor(GONE)), found["protocol"]
    assert protocol["unseen"]["videos"] == int(unseen.sum()) and protocol["total"]["videos"] == len(videos)
    for group, row in (("unseen", "all"), ("seen", "seen"), ("total", "total")):
        assert protocol[group]["accuracy"] == pytest.approx(found["named_from"][row]["segment_accuracy"])
    assert found["named_from"]["all"]["class_accuracy"] > 2 * 100 / 6  # twice chance, of classes never trained
    similar = [similarity(each.audio, each.visual, text.audio, text.visual) for each in (opened.dataset.train, videos)]
    rule = likelihood_ratio(similar[1], Calibration.of(similar[0].audio), Calibration.of(similar[0].visual))
    target = metrics.segment_targets(videos.category, videos.relevance, 6)
    assert protocol["training-free, total"]["accuracy"] == pytest.approx(
        metrics.accuracy(metrics.labels(rule, 0.5), target))


@pytest.mark.slow
def test_the_published_splits_of_ovave_are_trained_and_scored_end_to_end(real_data: Callable, tmp_path: Path):
    """Features are made: the direction of the class in event seconds, and noise."""
    (annotations, splits), chosen = read_ovave(real_data("ov-ave")), []
    trained = annotations.category[splits.train].unique().tolist()
    open_classes = tuple(name for number, name in enumerate(annotations.categories) if number not in trained)
    for rows in splits:
        chosen += [row for number in range(67) for row in rows[annotations.category[rows] == number][:4].tolist()]
    text = [F.normalize(torch.randn(67, 24), dim=-1) for _ in range(2)]
    shown = annotations.relevance[chosen][..., None]
    streams = [shown * bank[annotations.category[chosen]][:, None] + 0.15 * torch.randn(len(chosen), 10, 24)
               for bank in text]
    ids = tuple(annotations.video_ids[row] for row in chosen)
    meta, labels = (annotations.path.parent / name for name in BY_ID_FILES["ov-ave"])
    taken, tested = set(ids), set(splits.test.tolist())
    header, *lines = meta.read_text().splitlines()
    (tmp_path / meta.name).write_text("\n".join([header, *(line for line in lines if line.split(",")[-1] in taken)]))
    known = json.loads(labels.read_text())
    (tmp_path / labels.name).write_text(json.dumps({video_id: known[video_id] for video_id in ids}))
    write_store(tmp_path / "features.h5", Features(
        *streams, ids, categories=annotations.categories,
        label_text=LabelText(*text)))
    config = load_config(CONFIGS / "ov_ave.yaml", [
        f"data.root={tmp_path}", f"run_dir={tmp_path}", "train.epochs=1", "train.batch_size=32",
        "model.dim=16", "model.width=16", "train.trackers=[]", "evaluate.bootstrap=0", "evaluate.every=0"])
    found = measure_unseen(recipes.train(config, progress=False).folder).values
    unseen = [row for row in chosen if row in tested
              and annotations.categories[annotations.category[row]] in open_classes]
    assert found["classes"] == open_classes and found["labels"] == 67
    assert found["protocol"]["unseen"]["videos"] == len(unseen) == 84 and found["protocol"]["seen"]["videos"] == 184
    assert found["named_from"]["all"]["class_accuracy"] > 50  # chance: 1.5


@pytest.mark.slow
def test_padding_does_not_count_in_a_run_and_one_class_has_one_list(
    config_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = train(config_of, tmp_path, segments=(4, 9), held_out=(2,))
    found = measure_unseen(run)
    assert set(found.values["named_from"]) == {"all", "seen", "total"} and "unseen, 6 labels" in found.table
    assert not found.values["protocol"]
    monkeypatch.setattr(LOAD, of_mixed_lengths)
    assert measure_unseen(run) == found


def test_what_cannot_be_measured_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LOAD, lambda config: without(load_dataset(config), "val", list(GONE)))
    with pytest.raises(DataError, match="the val split has no video of class 1, class 4"):
        measure_unseen(run)
    opened = open_run(run, split=None, overrides=[], use="a test")

    def with_config(section: str, **changes: object) -> None:
        part = getattr(opened.config, section).model_copy(update=changes)
        changed = opened._replace(config=opened.config.model_copy(update={section: part}))
        monkeypatch.setattr("avsgn_pyg.engine.recipes.open_vocabulary.open_run", lambda *_, **__: changed)

    with_config("data", held_out=())
    with pytest.raises(ConfigError, match=r"every class.*data\.held_out=\[\.\.\.\]"):
        measure_unseen(run)
    longer = load_dataset(DATA.model_copy(update={"synthetic": SYNTHETIC.model_copy(update={"segments": 12})}))
    monkeypatch.setattr(LOAD, lambda _: longer)
    with_config("model", time_encoding="learned")
    with pytest.raises(ConfigError, match=r"learned covers 10 seconds, and synthetic AVE has 12"):
        measure_unseen(run)
