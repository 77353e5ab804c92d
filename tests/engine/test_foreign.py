"""Models of other libraries are recognized, by files as those libraries write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.engine.run_folder import find_checkpoint
from avsgn_pyg.predictor.inputs import check_model


def write(folder: Path, kind: str) -> Path:
    path = folder / kind
    if kind == "scripted.pt":
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    elif kind == "module.pth":
        torch.save(torch.nn.Linear(2, 2), path)
    elif kind == "old.pt":
        torch.save({}, path, _use_new_zipfile_serialization=False)
    elif kind == "lone.safetensors":
        save_file({"a": torch.ones(1)}, path)
    else:
        path.mkdir()
        (path / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
        save_file({"a": torch.ones(1)}, path / "model.safetensors")
    return path


@pytest.mark.parametrize(("kind", "says"), [
    ("scripted.pt", "TorchScript"), ("module.pth", "torch.save"), ("old.pt", "pickle"),
    ("lone.safetensors", "weights alone"), ("bert", "transformers .bert."),
])
def test_a_model_of_another_library_is_named(tmp_path: Path, kind: str, says: str) -> None:
    path = write(tmp_path, kind)
    for check in (find_checkpoint, check_model):
        with pytest.raises(CheckpointError, match=f"{kind}.*{says}"):
            check(path)


def test_a_folder_of_weights_is_described_by_them(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors in it is weights alone"):
        find_checkpoint(tmp_path)
