"""Checkpoints are found without the network, read without running code, and identified by their tensors."""

from __future__ import annotations

import os
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.weights import fingerprint, hub_weights, is_path, load_whole, no_hub, read_state, summarize

STATE = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


def _prefixed() -> dict[str, Tensor]:
    return {f"module.{key}": tensor for key, tensor in STATE.items()}


@pytest.mark.parametrize("content", [
    STATE, _prefixed(), {"model": STATE, "epoch": np.int32(2)},
    {"epoch": 3, "best": np.float64(0.5), "steps": np.int64(7), "state_dict": _prefixed()},
], ids=["state_dict", "data-parallel", "model", "training"])
def test_every_common_form_is_read(tmp_path: Path, content: dict):
    torch.save(content, tmp_path / "weights.pt")
    save_file(STATE, tmp_path / "weights.safetensors")
    for name in ("weights.pt", "weights.safetensors"):
        found = read_state(tmp_path / name)
        assert found.keys() == STATE.keys() and all(torch.equal(found[key], STATE[key]) for key in STATE)


class _MakesFolder:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": STATE, "extra": _MakesFolder(tmp_path / "made")}, path)
    with pytest.raises(EncoderError, match=r"weights\.pt: would run its own code"):
        read_state(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [None, 100])
def test_a_missing_or_cut_checkpoint_is_named(tmp_path: Path, suffix: str, keep: int | None):
    path = tmp_path / f"weights{suffix}"
    if keep is not None:
        save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
        path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EncoderError, match=rf"weights\{suffix}: (no such|damaged)"):
        read_state(path)


def test_a_file_without_tensors_is_an_error(tmp_path: Path):
    torch.save({"epoch": 3}, tmp_path / "weights.pt")
    with pytest.raises(EncoderError, match="no tensors"):
        read_state(tmp_path / "weights.pt")


def test_weights_must_fit_key_by_key():
    layer, path = torch.nn.Linear(3, 2), Path("w.pt")
    load_whole(layer, STATE, path, "is it mine?")
    assert torch.equal(layer.weight, STATE["weight"])
    for message, state in {
        r"1 tensors missing \(bias first\); is it mine": {"weight": STATE["weight"]},
        r"1 tensors unknown \(more first\)": {**STATE, "more": torch.ones(1)},
        r"1 tensors of another shape \(bias first\)": {**STATE, "bias": torch.ones(3)},
    }.items():
        with pytest.raises(EncoderError, match=message):
            load_whole(layer, state, path, "is it mine?")


def test_a_fingerprint_depends_on_tensors_and_settings():
    settings = {"size": (224, 224), "model": "a"}
    one = fingerprint(STATE, settings)
    assert one == fingerprint(dict(reversed(STATE.items())), {"model": "a", "size": [224, 224]})
    # Feature stores hold such fingerprints.
    assert one == "a4dc74706bdcd01b0a9f4bdae2f0f61708493137399a033d76e45117e094b191"
    others = [
        fingerprint({**STATE, "bias": torch.tensor([1.0, 1.0 + 2**-23])}, settings),
        fingerprint({**STATE, "bias": STATE["bias"].half()}, settings),
        fingerprint({**STATE, "weight": STATE["weight"].view(3, 2)}, settings),
        fingerprint({"weight": STATE["weight"], "slope": STATE["bias"]}, settings),
        fingerprint(STATE, {**settings, "model": "b"}),
    ]
    assert len({one, *others}) == 6


def test_a_path_is_distinguished_from_a_tag():
    assert all(map(is_path, ("mine.pt", "runs/mine", "a.safetensors")))
    assert not any(map(is_path, ("openai", "laion2b_s34b_b79k", "music_audioset_epoch_15_esc_90.14")))


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """A hub whose cache has ``cached`` and that has ``remote`` besides; collects what is looked for, and where."""
    calls = []

    def find(repository: str, name: str, *, local_files_only: bool) -> str:
        calls.append((name, local_files_only))
        if name == "cached" or (name == "remote" and not local_files_only):
            return f"/{repository}/{name}"
        raise huggingface_hub.errors.LocalEntryNotFoundError("not here")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", find)
    return calls


def test_published_weights_are_downloaded_only_on_demand(downloads: list):
    assert hub_weights("weights", "some/weights", ["other", "cached"], False) == Path("/some/weights/cached")
    with pytest.raises(EncoderError, match="download=true"):
        hub_weights("weights", "some/weights", ["other", "remote"], False)
    assert all(local for _, local in downloads)
    assert hub_weights("weights", "some/weights", ["other", "remote"], True) == Path("/some/weights/remote")


@pytest.mark.parametrize("offline", [False, True])
def test_libraries_are_offline_for_a_while(monkeypatch: pytest.MonkeyPatch, offline: bool):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    for allowed in (False, True):
        with no_hub(allowed):
            assert huggingface_hub.constants.is_offline_mode() == (offline or not allowed)
        assert huggingface_hub.constants.is_offline_mode() == offline


def test_a_long_message_of_a_library_is_visibly_cut():
    assert summarize(OSError("short\nlines")) == "OSError: short lines"
    assert summarize(OSError("x" * 121)) == f"OSError: {'x' * 117}..."
