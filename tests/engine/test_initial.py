from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from torch import nn

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import CheckpointError, ConfigError
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.engine.checkpoint import Checkpoint, save_checkpoint
from avsgn_pyg.engine.files import Meta
from avsgn_pyg.engine.initial import Initial, find_frozen, read_initial
from avsgn_pyg.predictor import hub

CLASSES = ("a", "b", "c")


class Model(nn.Module):
    """A body, a head with an output for each class, and label text that is part of the data."""

    def __init__(self, classes: int = 3, width: int = 4) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(width, 4), nn.Linear(4, classes)
        self.label_text = nn.Module()
        self.label_text.register_buffer("audio", torch.randn(classes, 2))


@pytest.fixture
def source(tmp_path: Path, meta: Meta) -> Path:
    """The checkpoint of a model."""
    save_checkpoint(tmp_path / "source", Model().state_dict(), Config(), meta.model_copy(update={"epoch": 7}))
    return tmp_path / "source"


def start(source: Path, model: Model, categories: tuple[str, ...] = CLASSES, **recipe: Any) -> str:
    settings = TrainConfig(init=str(source), **recipe)
    return Initial(settings, categories, lambda: Model(len(categories) + 1))(model)


def taken(model: Model, source: Path) -> set[str]:
    weights = read_initial(str(source)).weights
    return {name for name, value in model.state_dict().items()
            if value.shape == weights[name].shape and torch.equal(value, weights[name])}


def test_all_weights_are_taken_but_label_text_stays_that_of_the_data(source: Path) -> None:
    model = Model()
    assert "4 of 5 tensors are those of epoch 7 on tiny" in start(source, model)
    assert taken(model, source) == {"body.weight", "body.bias", "head.weight", "head.bias"}


@pytest.mark.parametrize("categories", [("a", "b", "x"), ("b", "a", "c"), ("a", "b", "c", "d")])
def test_other_classes_are_refused_or_their_heads_are_left_fresh_and_named(
    source: Path, categories: tuple[str, ...]
) -> None:
    model = Model(len(categories))
    with pytest.raises(CheckpointError, match=r"other classes.*train\.init_strict=false"):
        start(source, model, categories)
    assert "trained anew: head.bias, head.weight" in start(source, model, categories, init_strict=False)
    assert taken(model, source) == {"body.weight", "body.bias"}


def test_another_shape_is_refused_or_left_fresh(source: Path) -> None:
    model = Model(width=6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"body\.weight \(4, 4\) instead of \(4, 6\)"):
        start(source, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert start(source, model, init_strict=False).endswith("trained anew: body.weight")
    assert taken(model, source) == {"body.bias", "head.weight", "head.bias"}


def test_weights_of_which_none_fits_are_refused(tmp_path: Path, meta: Meta) -> None:
    save_checkpoint(tmp_path / "other", {"encoder": torch.ones(2)}, Config(), meta)
    with pytest.raises(CheckpointError, match=r"missing: body\.bias.*unexpected: encoder"):
        start(tmp_path / "other", Model(), init_strict=False)


def test_weights_that_were_selected_on_test_need_a_run_that_says_so(tmp_path: Path, meta: Meta) -> None:
    chosen = meta.model_copy(update={"selected_on": "test"})
    save_checkpoint(tmp_path / "chosen", Model().state_dict(), Config(), chosen)
    with pytest.raises(ConfigError, match=r"selected on the test split.*train\.select=test"):
        start(tmp_path / "chosen", Model())
    assert start(tmp_path / "chosen", Model(), select="test")


def test_a_saved_folder_and_a_repository_of_a_hub_that_is_no_real_one_start_a_training(
    source: Path, tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = read_initial(str(source))
    hub.save([loaded], tmp_path / "saved", "mit")
    hub.save([loaded, Checkpoint(source, Config(), meta, loaded.weights)], tmp_path / "two", "mit")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: tmp_path / name.partition("/")[2])
    for where in (str(tmp_path / "saved"), "someone/saved"):
        assert taken(Model(), source) == set() and start(Path(where), model := Model()) and taken(model, source)
    with pytest.raises(CheckpointError, match="ensemble of 2 models"):
        read_initial("someone/two")


def test_what_is_neither_a_folder_nor_a_repository_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"train\.init=runs/typo: no such folder.*no network"):
        read_initial("runs/typo")
    with pytest.raises(CheckpointError, match="a/b/c: no such folder"):
        read_initial("a/b/c")


@pytest.mark.parametrize(("names", "message"), [
    (["hed"], "no part 'hed'; it has body, head; did you mean head"), (["label_text"], "label_text has no weights"),
    (["body", "head"], "leaves nothing to train")])
def test_parts_that_cannot_be_frozen_are_named(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_frozen(Model(), names)
