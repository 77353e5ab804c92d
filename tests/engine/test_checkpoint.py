from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from avsgn_pyg.config import Config
from avsgn_pyg.engine import checkpoint as under_test
from avsgn_pyg.engine.checkpoint import (
    CheckpointError,
    Meta,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)


@pytest.fixture
def saved(tmp_path: Path, meta: Meta) -> Path:
    folder = tmp_path / "epoch-0001"
    save_checkpoint(folder, nn.Linear(3, 2).state_dict(), Config(name="mine"), meta)
    return folder


def test_what_is_saved_is_what_is_loaded(tmp_path: Path, meta: Meta) -> None:
    weights = {"a": torch.randn(3, 4), "b": torch.tensor([1, 2]), "shared": torch.zeros(2, 2).T}
    weights["tied"] = weights["a"]
    config = Config(name="mine", train={"epochs": 7})
    save_checkpoint(
        tmp_path / "c", weights, config, meta.model_copy(update={"epoch": 5, "selection_score": 12.5})
    )
    found = load_checkpoint(tmp_path / "c")
    assert found.config == config
    assert (found.meta.epoch, found.meta.selection_score, found.meta.categories) == (5, 12.5, ("a", "b", "c"))
    assert found.weights.keys() == weights.keys()
    assert all(torch.equal(found.weights[name], value) for name, value in weights.items())


def test_a_checkpoint_is_never_written_over(saved: Path, meta: Meta) -> None:
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="never written over"):
        save_checkpoint(saved, nn.Linear(3, 2).state_dict(), Config(), meta)
    assert (saved / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("broken", ["save_file", "save_config", "flush"])
def test_a_write_that_dies_leaves_no_checkpoint_and_the_next_one_succeeds(
    tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(under_test, broken, die)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path / "c", {"a": torch.ones(2)}, Config(), meta)
    assert not (tmp_path / "c").exists()
    save_checkpoint(tmp_path / "c", {"a": torch.ones(2)}, Config(), meta)
    assert load_checkpoint(tmp_path / "c").weights["a"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("name", ["model.safetensors", "meta.json"])
def test_a_truncated_file_is_named(saved: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=rf"{name}: cannot be read, it is cut short"):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "meta.json", "config.yaml"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: no such file"):
        load_checkpoint(saved)


def test_a_pickle_under_the_right_name_is_refused_and_not_run(saved: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_checkpoint(saved)


def test_another_format_is_refused(saved: Path) -> None:
    values = json.loads((saved / "meta.json").read_text()) | {"format": 99}
    (saved / "meta.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="format 99, this version reads format 2; another version"):
        load_checkpoint(saved)


def test_a_meta_without_its_classes_is_refused(saved: Path) -> None:
    values = json.loads((saved / "meta.json").read_text())
    del values["categories"]
    (saved / "meta.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"meta\.json: categories: Field required"):
        load_checkpoint(saved)


def test_weights_of_another_model_are_refused_key_by_key() -> None:
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    weights = {"weight": torch.zeros(2, 4), "gate": torch.zeros(1)}
    with pytest.raises(CheckpointError) as error:
        load_weights(module, weights, Path("x/model.safetensors"))
    for part in (
        "x/model.safetensors",
        "missing: bias",
        "unexpected: gate",
        "weight (2, 4) instead of (2, 3)",
    ):
        assert part in str(error.value)
    assert torch.equal(module.weight, before)
