"""VGGish with random weights under TF-Slim's names, against a plain forward and the published spectrogram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features import vggish
from avsgn_pyg.features.encoder import AudioEncoder, encoder_from_record
from avsgn_pyg.features.vggish import VggishEncoder, log_mel

HIDDEN = 24
#: Variables of TF-Slim's checkpoint, with the shapes of their weights.
VARIABLES = {
    "conv1": (3, 3, 1, 64), "conv2": (3, 3, 64, 128), "conv3/conv3_1": (3, 3, 128, 256),
    "conv3/conv3_2": (3, 3, 256, 256), "conv4/conv4_1": (3, 3, 256, 512), "conv4/conv4_2": (3, 3, 512, 512),
    "fc1/fc1_1": (6 * 4 * 512, HIDDEN), "fc1/fc1_2": (HIDDEN, HIDDEN), "fc2": (HIDDEN, 128),
}


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Two hidden layers of 24 in place of 4,096, which would take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vggish, "HIDDEN", HIDDEN)
        yield


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(11)
    found = {"global_step": np.int64(3)}
    for name, shape in VARIABLES.items():
        weights = draw.standard_normal(shape) * math.sqrt(2 / math.prod(shape[:-1]))
        found[f"vggish/{name}/weights"] = weights.astype(np.float32)
        found[f"vggish/{name}/biases"] = draw.uniform(-0.1, 0.1, shape[-1]).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def path(variables: Mapping[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vggish") / "vggish_model.npz"
    np.savez(path, **variables)
    return path


@pytest.fixture(scope="module")
def encoder(path: Path) -> VggishEncoder:
    return VggishEncoder(weights=str(path), relu=False)


def plain_forward(variables: Mapping[str, np.ndarray], bands: Tensor) -> Tensor:
    """TF-Slim's network, layer by layer, with the channels last."""
    rows = bands[..., None]
    for name in VARIABLES:
        weights, biases = (torch.from_numpy(variables[f"vggish/{name}/{kind}"]) for kind in ("weights", "biases"))
        if weights.ndim == 2:
            rows = rows.flatten(1) @ weights + biases
        else:
            rows = F.conv2d(rows.permute(0, 3, 1, 2), weights.permute(3, 2, 0, 1), biases, padding=1)
            rows = (rows if name.endswith("_1") else F.max_pool2d(rows.relu(), 2)).permute(0, 2, 3, 1)
        rows = rows if name == "fc2" else rows.relu()
    return rows


def published_log_mel(wave: np.ndarray) -> np.ndarray:
    """The spectrogram of a second at 16 kHz as the authors define it, [96, 64]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    frames = np.stack([wave[160 * at:160 * at + 400] * window for at in range(96)])
    magnitude = np.abs(np.fft.rfft(frames, 512))
    mel = 1127 * np.log(1 + np.linspace(0, 8000, 257) / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    filters = np.stack([np.maximum(0, np.minimum((mel - low) / (mid - low), (high - mel) / (high - mid)))
                        for low, mid, high in zip(edges, edges[1:], edges[2:], strict=False)], 1)
    filters[0] = 0
    return np.log(magnitude @ filters + 0.01)


def chord(rate: int) -> np.ndarray:
    """A second of tones below 7 kHz that start and end in the second."""
    time = np.arange(rate) / rate
    return sum(np.sin(2 * np.pi * frequency * time + frequency) * np.exp(-((time - at) * 5) ** 2)
               for frequency, at in ((220, 0.3), (1000, 0.5), (3200, 0.2), (6400, 0.7))) / 5


def test_the_spectrogram_has_the_published_parameters():
    found = log_mel(torch.from_numpy(chord(48_000)).float()[None])[0]
    assert found.shape == (96, 64) and found.dtype == torch.float32
    assert np.abs(found.numpy() - published_log_mel(chord(16_000))).max() < 1e-2
    silent = log_mel(torch.zeros(1, 48_000))
    assert torch.allclose(silent, torch.tensor(math.log(0.01)))


def test_a_tensorflow_checkpoint_gives_a_plain_forward(encoder: VggishEncoder, variables: dict, path: Path):
    sounds = torch.randn(1, 3, 48_000, generator=torch.Generator().manual_seed(12)) * 0.1
    with torch.inference_mode():
        expected = plain_forward(variables, log_mel(sounds[0]))
    found = encoder.encode_audio(sounds)
    assert torch.allclose(found[0], expected, rtol=1e-3, atol=1e-4) and found.min() < 0 and found.shape == (1, 3, 128)
    clipped = VggishEncoder(weights=str(path)).encode_audio(sounds)
    assert torch.allclose(clipped, found.relu(), rtol=1e-3, atol=1e-4) and (found.norm(dim=-1) - 1).abs().min() > 0.1
    assert isinstance(encoder, AudioEncoder) and encoder.encode_audio(sounds[:0]).shape == (0, 3, 128)


def test_torchvggishs_checkpoint_is_the_same_model(encoder: VggishEncoder, variables: dict, tmp_path: Path):
    state = vggish.from_tensorflow({key: torch.from_numpy(np.asarray(array)) for key, array in variables.items()})
    torch.save({**state, "pproc.pca_means": torch.zeros(128, 1)}, tmp_path / "vggish-10086976.pth")
    record = encoder.record()
    assert record["files"] == ["weights"]
    here = {"weights": str(tmp_path / "vggish-10086976.pth")}
    again = encoder_from_record(record, "audio", options=here, device="cpu")
    assert again.revision == encoder.revision


def test_bf16_changes_little_and_the_spectrogram_not(
    encoder: VggishEncoder, path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen, sounds = [], torch.randn(1, 1, 48_000, generator=torch.Generator().manual_seed(13)) * 0.1
    exact = encoder.encode_audio(sounds)
    monkeypatch.setattr(vggish, "log_mel", lambda waves: seen.append(log_mel(waves)) or seen[0])
    rough = VggishEncoder(weights=str(path), relu=False, precision="bf16").encode_audio(sounds)
    assert torch.equal(seen[0], log_mel(sounds[0])) and not torch.equal(rough, exact)
    assert F.cosine_similarity(rough, exact, dim=-1).min() > 0.99


def test_weights_that_cannot_be_used_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    np.savez(tmp_path / "part.npz", **{"vggish/fc2/biases": np.zeros(128, np.float32)})
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    (tmp_path / "half.npz").write_bytes((tmp_path / "part.npz").read_bytes()[:-40])
    for options, message in (
        ({}, "download=true, or save https://github.com.*vggish-10086976.pth and give weights=FILE"),
        ({"weights": str(tmp_path / "part.npz")}, "missing.*is it VGGish"),
        ({"weights": str(tmp_path / "bad.npz")}, "not an .npz"),
        ({"weights": str(tmp_path / "half.npz")}, "not an .npz"),
        ({"weights": str(tmp_path / "nowhere.pth")}, "no such checkpoint"),
    ):
        with pytest.raises(EncoderError, match=message):
            VggishEncoder(**options)
