"""VGG-19 with random weights, on small pictures."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features import vgg19
from avsgn_pyg.features.encode import Segment, WindowEncoder
from avsgn_pyg.features.encoder import FrameEncoder, encoder_from_record
from avsgn_pyg.features.signal import SignalAudio
from avsgn_pyg.features.vgg19 import Vgg19Encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg19, "SIDE", 64)
        yield


@pytest.fixture(scope="module")
def features() -> torch.nn.Module:
    """torchvision's layers up to pool5."""
    torch.manual_seed(9)
    with torch.device("meta"):
        net = vgg19.torchvision.models.vgg19(weights=None).features
    net = net.to_empty(device="cpu").eval()
    for parameter in net.parameters():
        parameter.data.uniform_(-1, 1).div_(2 * (parameter[0].numel() / 3) ** 0.5)
    return net


@pytest.fixture(scope="module")
def path(features: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a layer of the classifier, which is ignored."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    state = {f"features.{key}": tensor for key, tensor in features.state_dict().items()}
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, path)
    return path


@pytest.fixture(scope="module")
def encoder(path: Path) -> Vgg19Encoder:
    return Vgg19Encoder(weights=str(path), batch_size=2)


def pictures(count: int) -> torch.Tensor:
    return torch.randint(256, (count, 64, 64, 3), generator=torch.Generator().manual_seed(10), dtype=torch.uint8)


def test_pool5_is_averaged_over_positions_and_not_normalized(encoder: Vgg19Encoder, features: torch.nn.Module):
    frames = pictures(3)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = features(((frames / 255 - mean) / std).permute(0, 3, 1, 2)).mean((2, 3))
    found = encoder.encode_frames(encoder.preparation(frames))
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6) and found.shape == (3, 512) and found.min() >= 0
    assert isinstance(encoder, FrameEncoder)
    segments = [Segment(encoder.preparation(frames[:2]), torch.zeros(48_000))]
    [(_, visual)] = WindowEncoder(encoder, SignalAudio(width=16))([segments])
    assert torch.allclose(visual[0], expected[:2].mean(0), rtol=1e-4, atol=1e-6)


def test_the_original_weights_take_blue_first_without_scaling(path: Path, encoder: Vgg19Encoder):
    caffe, frames = Vgg19Encoder(weights=str(path), inputs="caffe"), pictures(1)
    expected = frames[0].float().flip(-1) - torch.tensor([103.939, 116.779, 123.68])
    assert torch.allclose(caffe.preparation(frames)[0], expected.permute(2, 0, 1))
    assert caffe.revision != encoder.revision and len(pickle.dumps(caffe.preparation)) < 300


def test_a_record_rebuilds_it_from_timms_file(
    encoder: Vgg19Encoder, features: torch.nn.Module, tmp_path: Path
):
    state = {f"features.{key}": tensor.contiguous() for key, tensor in features.state_dict().items()}
    save_file({**state, "head.fc.bias": torch.zeros(1000)}, tmp_path / "model.safetensors")
    record = encoder.record()
    assert record["options"]["weights"] == "vgg19.pth" and record["files"] == ["weights"]
    here = {"weights": str(tmp_path / "model.safetensors")}
    again = encoder_from_record(record, "visual", options=here, device="cpu")
    assert again.revision == encoder.revision


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("options", "message"), [
    ({}, "timm/vgg19.tv_in1k/resolve/main/model.safetensors and give weights=FILE"),
    ({"weights": "other.pt"}, "is it VGG-19"),
    ({"weights": "nowhere.pt"}, "no such checkpoint"),
])
def test_weights_that_cannot_be_used_are_an_error(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "other.pt")
    with pytest.raises(EncoderError, match=message):
        Vgg19Encoder(**options)
