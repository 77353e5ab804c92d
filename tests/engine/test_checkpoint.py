from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.engine import checkpoint as under_test
from avsgn_pyg.engine.checkpoint import load_checkpoint, load_weights, save_checkpoint
from avsgn_pyg.engine.files import Meta


@pytest.fixture
def saved(tmp_path: Path, meta: Meta) -> Path:
    save_checkpoint(tmp_path / "epoch-0001", nn.Linear(3, 2).state_dict(), Config(name="mine"), meta)
    return tmp_path / "epoch-0001"


def test_what_is_saved_is_what_is_loaded(tmp_path: Path, meta: Meta) -> None:
    weights = {"a": torch.randn(3, 4), "b": torch.tensor([1, 2]), "shared": torch.zeros(2, 2).T}
    weights["tied"] = weights["a"]
    config, meta = Config(name="mine", train={"epochs": 7}), meta.model_copy(update={"selection_score": 12.5})
    save_checkpoint(tmp_path / "c", weights, config, meta)
    found = load_checkpoint(tmp_path / "c")
    assert (found.config, found.meta) == (config, meta) and found.weights.keys() == weights.keys()
    assert all(torch.equal(found.weights[name], value) for name, value in weights.items())


def test_a_checkpoint_is_never_overwritten(saved: Path, meta: Meta) -> None:
    with pytest.raises(FileExistsError, match="epoch-0001"):
        save_checkpoint(saved, {"a": torch.ones(2)}, Config(), meta)
    assert load_checkpoint(saved).weights.keys() == {"weight", "bias"}


def test_an_interrupted_write_leaves_no_checkpoint(
    tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(under_test, "dump_config", die)  # after the weights
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "c", {"a": torch.ones(2)}, Config(), meta)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", "meta.json", "config.yaml"])
def test_a_damaged_or_missing_file_is_named(saved: Path, name: str) -> None:
    if name != "config.yaml":
        (saved / name).write_bytes((saved / name).read_bytes()[:20])
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(saved)
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(saved)


def test_a_pickle_under_the_right_name_is_refused(saved: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match="not safetensors"):
        load_checkpoint(saved)


@pytest.mark.parametrize(("change", "message"), [({"format": 99}, "format 99"), ({"categories": None}, "categories")])
def test_a_meta_that_cannot_be_used_is_refused(saved: Path, change: dict, message: str) -> None:
    values = json.loads((saved / "meta.json").read_text()) | change
    (saved / "meta.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=rf"meta\.json: {message}"):
        load_checkpoint(saved)


def test_weights_of_another_model_are_listed_and_change_nothing() -> None:
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    with pytest.raises(CheckpointError) as error:
        load_weights(module, {"weight": torch.zeros(2, 4), "gate": torch.zeros(1)}, Path("x/model.safetensors"))
    for part in ("x/model.safetensors", "missing: bias", "unexpected: gate", "weight (2, 4) instead of (2, 3)"):
        assert part in str(error.value)
    assert torch.equal(module.weight, before)
