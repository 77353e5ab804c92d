"""VGGish (Hershey et al., ICASSP 2017) as a frozen audio encoder, for features of the kind of AVE's and LLP's.

The spectrogram has the published parameters: frames of 25 ms every 10 ms, 64 mel bands from 125 to 7,500 Hz, the
logarithm of the magnitude plus 0.01, and the first 96 frames of each second, since AVE's own script encodes each second
alone. The model expects 16 kHz. Frames of 48 kHz, three times as long, have the same frequencies up to 8 kHz, so
nothing is resampled. The 128 values are the embedding before PCA and quantization.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.compute import WithoutText
from avsgn_pyg.features.weights import fingerprint, load_whole, read_state

#: The checkpoint of torchvggish; its name ends with the beginning of its sha256.
PUBLISHED: Final = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"
WIDTH: Final = 128
#: Width of the two layers before the embedding.
HIDDEN: Final = 4096
#: Samples of 48 kHz per frame, from frame to frame, and of the transform (512 at 16 kHz); frames per second taken.
FRAME, HOP, TRANSFORM, FRAMES = 1200, 480, 1536, 96
BANDS, LOWEST, HIGHEST, OFFSET = 64, 125.0, 7500.0, 0.01
#: Layers of TF-Slim's checkpoint -> those here.
TF_LAYERS: Final = {
    "conv1": "features.0", "conv2": "features.3", "conv3/conv3_1": "features.6", "conv3/conv3_2": "features.8",
    "conv4/conv4_1": "features.11", "conv4/conv4_2": "features.13",
    "fc1/fc1_1": "embeddings.0", "fc1/fc1_2": "embeddings.2", "fc2": "embeddings.4",
}


class Vggish(nn.Module):
    """The network: six convolutions in four blocks, then three linear layers; its keys are those of torchvggish."""

    def __init__(self, hidden: int, relu: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for widths in ((64,), (128,), (256, 256), (512, 512)):
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(6 * 4 * channels, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, WIDTH), *([nn.ReLU()] if relu else []))

    def forward(self, bands: Float[Tensor, "N 96 64"]) -> Float[Tensor, "N 128"]:
        # TensorFlow flattens with the channels last.
        return self.embeddings(self.features(bands[:, None]).permute(0, 2, 3, 1).flatten(1))


class VggishEncoder(WithoutText):
    """A frozen VGGish.

    Args:
        weights: a checkpoint file of torchvggish, or the variables of TF-Slim's checkpoint as ``.npz`` or safetensors;
            ``None`` is the one that torchvggish publishes.
        relu: clip the embedding at 0, as AVE's features are; ``false`` is the newer definition of the authors.
        width: raise an error unless it is 128.
        download: download the default weights if they are not in the local cache of torch.hub.

    Raises:
        EncoderError: the weights are missing or do not fit, or the width is another.
    """

    name = "vggish"
    each_second_alone = True
    unit_length = False

    def __init__(
        self, *, weights: str | None = None, relu: bool = True, width: int | None = None, download: bool = False,
        **place: Any,
    ) -> None:
        super().__init__({"weights": weights, "relu": relu}, **place)
        self.files = ["weights"] * bool(weights)
        self.check_width(WIDTH, width)
        path = Path(weights) if weights else published(download)
        with torch.device("meta"):
            net = Vggish(HIDDEN, relu)
        self._net = net.to_empty(device="cpu")
        state = load_whole(self._net, from_tensorflow(read(path)), path, "is it VGGish up to its embedding?")
        self.revision = fingerprint(state, {"encoder": self.name, "relu": relu})
        self._net.eval().requires_grad_(False).to(self.device)

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        """Return the embedding of each second, not of unit length."""
        return self.each_second(samples, self._embed)

    def _embed(self, waves: Float[Tensor, "N 48000"]) -> Float[Tensor, "N d"]:
        with torch.autocast(self.device.type, enabled=False):
            bands = log_mel(waves.to(self.device))
        return self._net(bands).float().cpu()


def log_mel(waves: Float[Tensor, "N 48000"]) -> Float[Tensor, "N 96 64"]:
    """Return the logarithm of the mel spectrogram of seconds of 48 kHz, in float32."""
    window = torch.hann_window(FRAME, device=waves.device)
    spectrum = torch.fft.rfft(waves.float().unfold(-1, FRAME, HOP)[:, :FRAMES] * window, TRANSFORM).abs()
    # A third, since three times as many samples are summed as at 16 kHz.
    return ((spectrum[..., :TRANSFORM // 6 + 1] / 3) @ mel_filters().to(waves.device) + OFFSET).log()


def mel_filters() -> Float[Tensor, "257 64"]:
    """Return triangles of height 1 and equal width on the mel scale, straight in mel; the constant is left out."""
    def mel(frequency: Tensor) -> Tensor:
        return 1127 * (frequency / 700).log1p()

    bins = mel(torch.linspace(0, 8000, TRANSFORM // 6 + 1, dtype=torch.float64))[:, None]
    edges = torch.linspace(*mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64)).tolist(), BANDS + 2,
                           dtype=torch.float64)
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rise, fall).clamp_min(0)
    filters[0] = 0
    return filters.float()


def published(download: bool) -> Path:
    """Return the path of the published checkpoint in torch.hub's cache; EncoderError says where to get it."""
    path = Path(torch.hub.get_dir(), "checkpoints", PUBLISHED.rpartition("/")[2])
    reason = ""
    if not path.is_file() and download:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(PUBLISHED, str(path), hash_prefix="10086976", progress=False)
        except (OSError, RuntimeError) as error:
            reason = f" ({error})"
    if not path.is_file():
        raise EncoderError(f"vggish weights are not on this machine{reason}; fetch them with download=true, or save "
                           f"{PUBLISHED} and give weights=FILE")
    return path


def read(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint as :func:`avsgn_pyg.features.weights.read_state` does, or an ``.npz`` of arrays."""
    if path.suffix != ".npz":
        return read_state(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise EncoderError(f"{path}: not an .npz of arrays ({error})") from None


def from_tensorflow(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint under the names and axis orders used here; only TF-Slim's variables change.

    Their kernels are [height, width, in, out] and their matrices [in, out]; other variables of the file are left out,
    as is the post-processing (``pproc.``) that torchvggish saves.
    """
    if not any(key.startswith("vggish/") for key in state):
        return {key: tensor for key, tensor in state.items() if not key.startswith("pproc.")}
    found = {}
    for key, tensor in state.items():
        layer, _, kind = key.removeprefix("vggish/").removesuffix(":0").rpartition("/")
        if layer in TF_LAYERS and kind == "weights":
            order = (3, 2, 0, 1) if tensor.ndim == 4 else (1, 0)
            found[f"{TF_LAYERS[layer]}.weight"] = tensor.permute(order).contiguous()
        elif layer in TF_LAYERS and kind == "biases":
            found[f"{TF_LAYERS[layer]}.bias"] = tensor
    return found
