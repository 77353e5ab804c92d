"""Checkpoints: found without asking anyone, read without running anything, told apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from avsgn_pyg.features.compute import EncoderError
from avsgn_pyg.features.weights import fingerprint, hub_file, load_whole, looks_like_a_file, no_hub, read_state

STATE = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


def _prefixed() -> dict[str, Tensor]:
    return {f"module.{key}": tensor for key, tensor in STATE.items()}


FORMS: dict[str, Callable[[Path], None]] = {
    "a state_dict": lambda path: torch.save(STATE, path.with_suffix(".pt")),
    "safetensors": lambda path: save_file(STATE, path.with_suffix(".safetensors")),
    "data-parallel": lambda path: torch.save(_prefixed(), path.with_suffix(".pt")),
    "in a training checkpoint": lambda path: torch.save(
        {"epoch": 3, "best": np.float64(0.5), "steps": np.int64(7), "state_dict": _prefixed()}, path.with_suffix(".pt")
    ),
    "in a model entry": lambda path: torch.save({"model": STATE, "epoch": np.int32(2)}, path.with_suffix(".pt")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_common_form_is_read(tmp_path: Path, form: str):
    FORMS[form](tmp_path / "weights")
    (path,) = tmp_path.iterdir()
    found = read_state(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


class _Runs:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": STATE, "extra": _Runs(tmp_path / "made")}, path)
    with pytest.raises(EncoderError, match=r"weights\.pt: would run code of its own when opened"):
        read_state(path)
    assert not (tmp_path / "made").exists()


def test_a_missing_checkpoint_is_named(tmp_path: Path):
    with pytest.raises(EncoderError, match=r"nowhere\.pt: no such checkpoint"):
        read_state(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 100])
def test_a_checkpoint_that_is_cut_short_is_named(tmp_path: Path, suffix: str, keep: int):
    path = tmp_path / f"weights{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EncoderError, match=rf"weights\{suffix}: "):
        read_state(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {}])
def test_a_file_without_tensors_is_refused(tmp_path: Path, content: object):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(EncoderError, match="holds no tensors by name"):
        read_state(tmp_path / "weights.pt")


def test_weights_must_fit_key_by_key(tmp_path: Path):
    layer, path = torch.nn.Linear(3, 2), tmp_path / "w.pt"
    load_whole(layer, STATE, path, "is it mine?")
    assert torch.equal(layer.weight, STATE["weight"])
    broken = {
        "1 tensors missing \\(bias first\\); is it mine": {"weight": STATE["weight"]},
        "1 tensors unknown \\(more first\\)": {**STATE, "more": torch.ones(1)},
        "1 tensors of another shape \\(bias first\\)": {**STATE, "bias": torch.ones(3)},
    }
    for message, state in broken.items():
        with pytest.raises(EncoderError, match=message):
            load_whole(layer, state, path, "is it mine?")


def test_a_fingerprint_is_of_tensors_and_settings():
    one = fingerprint(STATE, {"size": (224, 224), "model": "a"})
    assert one == fingerprint(dict(reversed(STATE.items())), {"model": "a", "size": [224, 224]})
    others = [
        fingerprint({**STATE, "bias": torch.tensor([1.0, 1.0 + 2**-23])}, {"size": (224, 224), "model": "a"}),
        fingerprint({**STATE, "bias": STATE["bias"].half()}, {"size": (224, 224), "model": "a"}),
        fingerprint({**STATE, "weight": STATE["weight"].view(3, 2)}, {"size": (224, 224), "model": "a"}),
        fingerprint({"weight": STATE["weight"], "slope": STATE["bias"]}, {"size": (224, 224), "model": "a"}),
        fingerprint(STATE, {"size": (224, 224), "model": "b"}),
    ]
    assert len({one, *others}) == 6


def test_a_scalar_has_a_fingerprint():
    assert fingerprint({"scale": torch.tensor(1.0)}, {}) != fingerprint({"scale": torch.tensor(2.0)}, {})


@pytest.mark.parametrize(("weights", "file"), [
    ("laion2b_s34b_b79k", False), ("music_audioset_epoch_15_esc_90.14", False), ("openai", False),
    ("mine.pt", True), ("runs/mine", True), ("a.safetensors", True),
])
def test_a_file_is_told_from_a_tag(weights: str, file: bool):
    assert looks_like_a_file(weights) is file


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of huggingface.co with one file, laid out as its client does."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    home = tmp_path / "models--some--weights"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    (home / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (home / "snapshots" / ("0" * 40) / "second.bin").write_text("weights")
    return tmp_path


def test_a_cached_file_is_found_under_any_of_its_names(hub_cache: Path):
    found = hub_file("some/weights", ["first.safetensors", "second.bin"])
    assert found is not None and found.read_text() == "weights"


def test_what_is_not_cached_is_not_asked_for(hub_cache: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    original = huggingface_hub.hf_hub_download
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *names, local_files_only: (
        asked.append(local_files_only), original(*names, local_files_only=local_files_only))[1])
    assert hub_file("some/others", ["a", "b"]) is None
    assert asked == [True, True]


def test_the_hub_is_asked_when_told_to(hub_cache: Path, monkeypatch: pytest.MonkeyPatch):
    def download(repository: str, name: str, *, local_files_only: bool) -> str:
        if local_files_only or name == "a":
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        return f"/{repository}/{name}"

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert hub_file("some/others", ["a", "b"], download=True) == Path("/some/others/b")


def test_libraries_are_kept_from_the_hub_and_let_go_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with no_hub():
        assert huggingface_hub.constants.is_offline_mode()
    assert not huggingface_hub.constants.is_offline_mode()
    with no_hub(allowed=True):
        assert not huggingface_hub.constants.is_offline_mode()


def test_a_user_who_is_offline_stays_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with no_hub(allowed=True):
        assert huggingface_hub.constants.is_offline_mode()
