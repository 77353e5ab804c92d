"""Data sets in PyG's form: its loader, transforms and subsets work on them, and a model trains on their batches."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader as TorchLoader
from torch_geometric.data import Dataset, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import NormalizeFeatures

from avsgn_pyg.common.config import ConfigError, load_config
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.feature_store import Features, LabelText, write_store
from avsgn_pyg.datasets import AVE, LLP, OVAVE, Synthetic
from avsgn_pyg.engine.zoo import build_model
from avsgn_pyg.graph.build import collate
from avsgn_pyg.tasks.parsing.llp import CATEGORIES, read_llp
from avsgn_pyg.tasks.parsing.synthetic import make_features

ROWS = ["Bell&a&good&0&10", "Dog&b&good&2&5", "Bell&c&good&0&0", "Dog&d&good&1&10"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four videos of AVE's form, two of them in train, with a feature store."""
    (tmp_path / "Annotations.txt").write_text("\n".join(ROWS))
    for split, rows in {"train": ROWS[:2], "val": ROWS[2:3], "test": ROWS[3:]}.items():
        (tmp_path / f"{split}Set.txt").write_text("\n".join(rows))
    text = LabelText(torch.randn(2, 3), torch.randn(2, 3))
    features = Features(torch.randn(4, 10, 3), torch.randn(4, 10, 3), video_ids=tuple("abcd"),
                        categories=("Bell", "Dog"), label_text=text)
    write_store(tmp_path / "features.h5", features)
    write_store(tmp_path / "no_text.h5", dataclasses.replace(features, label_text=None))
    return tmp_path


def small(split: str = "train", **settings: object) -> Synthetic:
    return Synthetic(split, **{"videos": 20, "classes": 3, "width": 8, "segments": 4} | settings)


def test_a_folder_is_a_data_set_of_pyg(root: Path):
    train = AVE(root, features="features.h5", splits="txt")
    assert isinstance(train, Dataset) and len(train) == 2 and train.num_classes == 2
    video = train[1]
    assert isinstance(video, HeteroData) and video.validate()
    assert int(video.category) == 1 and video.relevance[0].nonzero().flatten().tolist() == [2, 3, 4]
    assert torch.equal(video["audio"].x, train.videos.audio[1]) and train.categories == ("Bell", "Dog")
    assert len(train.split("val")) == 1 and int(train.split("test")[0].row) == 3


def test_settings_may_be_paths_and_names_may_have_any_letters(root: Path):
    (root / "features.h5").rename(root / "é😀.h5")
    assert len(AVE(root, features=Path("é😀.h5"), splits="txt")) == 2


def test_llp_has_the_events_of_each_video(tmp_path: Path):
    (tmp_path / "AVVP_train.csv").write_text("filename\tevent_labels\na_0_10\tSpeech,Dog\nb_0_10\tCat\n")
    write_store(tmp_path / "made.h5", make_features(read_llp(tmp_path), width=4))
    batch = next(iter(DataLoader(LLP(tmp_path, features="made.h5"), batch_size=2)))
    assert [[CATEGORIES[at] for at in row.nonzero()] for row in batch.labels] == [["Speech", "Dog"], ["Cat"]]


def test_ovave_has_events_with_gaps_and_classes_that_train_does_not_see(tmp_path: Path):
    (tmp_path / "ovave_dataset_meta.csv").write_text(
        "split,cls_name,cls_type,vid_name\ntrain,dog,close,a\ntrain,cat,close,b\nval,bell,open,c\n")
    labels = {"a": ("dog", [1, 0, 1]), "b": ("cat", [1, 1, 0]), "c": ("bell", [0, 1, 0])}
    (tmp_path / "released_ovavel_dataset_anno.json").write_text(
        json.dumps({key: {"category": name, "label": str(marks)} for key, (name, marks) in labels.items()}))
    write_store(tmp_path / "made.h5", Features(torch.randn(3, 3, 2), torch.randn(3, 3, 2), tuple("cab")))
    train = OVAVE(tmp_path, features="made.h5")
    assert train[0].relevance.tolist() == [[1, 0, 1]] and train.unseen == ("bell",)
    assert train.split("val")[0].category.tolist() == [train.categories.index("bell")]


def test_batches_of_pygs_loader_are_those_of_training():
    train = small()
    batch = next(iter(DataLoader(train, batch_size=5)))
    expected = train.videos.batch(torch.arange(5))
    model = build_model(load_config(None, ["model.dim=8"]).model, train.shape, train.label_text).eval()
    torch.testing.assert_close(model(batch).relevance, model(expected).relevance)
    assert torch.equal(batch.relevance, expected.relevance) and torch.equal(batch.category, expected.category)
    assert torch.equal(batch.get_example(3)["visual"].x, train[3]["visual"].x)


def test_the_graph_is_the_models():
    settings = load_config(None, ["model.text.slots=per_class", "model.cmgi.topology=window", "model.cmgi.window=1"])
    video = small(model=settings.model)[0]
    assert video["text"].node_id.tolist() == list(range(6))
    assert video["audio", "av", "visual"].num_edges == 4 + 2 * 3


def test_videos_of_mixed_lengths_are_collated_for_torchs_loader():
    train = small(segments=(2, 5))
    batch = next(iter(TorchLoader(train, batch_size=6, collate_fn=collate)))
    assert batch["audio"].num_nodes == int(train.videos.seconds[:6].sum()) and batch.relevance.shape[0] == 6


def test_transforms_and_subsets_leave_the_stored_videos_alone():
    train = small(transform=NormalizeFeatures())
    assert torch.allclose(train[0]["audio"].x.sum(-1), torch.ones(4))
    assert torch.equal(train.get(0)["audio"].x, train.videos.audio[0])
    assert len(train[3:5]) == 2 and torch.equal(train[3:5][0].row, train[3].row)
    assert train.split("val").transform is train.transform and len(train[:2].split("val")) == 3


def test_what_is_missing_is_named(root: Path):
    with pytest.raises(ConfigError, match=r"splitz.*did you mean data\.splits"):
        AVE(root, splitz="txt")
    (root / "testSet.txt").unlink()
    with pytest.raises(DataError, match=r"no split 'test'.*train, val"):
        AVE(root, "test", features="features.h5", splits="txt")
    with pytest.raises(DataError, match=r"label text.*audio_labels"):
        _ = AVE(root, features="no_text.h5", splits="txt").label_text
