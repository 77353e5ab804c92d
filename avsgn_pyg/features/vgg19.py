"""VGG-19's pool5 as a frozen frame encoder, for features of the kind published with AVE; imports torchvision.

The 7 x 7 x 512 map of a picture is averaged to 512 values, as is usual where no spatial attention is used. They, and
their means over the frames of a second, are as the network returns them: 0 or more, and not of unit length.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from avsgn_pyg.features.compute import WithoutText, declare_torchvision_ops
from avsgn_pyg.features.weights import fingerprint, hub_weights, load_whole, read_state

declare_torchvision_ops()

import torchvision  # noqa: E402

#: torchvision's weights of ImageNet, as timm publishes them.
REPOSITORY: Final = "timm/vgg19.tv_in1k"
WIDTH: Final = 512
#: Side in pixels to which a whole picture is resized.
SIDE: Final = 224
#: Channel order, scale, mean and standard deviation that weights were trained with.
INPUTS: Final = {
    "torchvision": ((0, 1, 2), 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((2, 1, 0), 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
}


@dataclass(frozen=True)
class VggPreparation:
    """Resizes whole pictures to [F, 3, side, side], without keeping the aspect ratio, and normalizes them."""

    inputs: str
    side: int

    def __call__(self, frames: UInt8[Tensor, "F H W 3"]) -> Float[Tensor, "F 3 side side"]:
        order, scale, mean, std = INPUTS[self.inputs]
        size = (self.side, self.side)
        # One picture at a time: float32 copies of many large ones would fill the memory.
        small = [F.interpolate(frame.permute(2, 0, 1)[None].float(), size, mode="bilinear", antialias=True)
                 for frame in frames]
        pictures = torch.cat(small)[:, list(order)] * scale if small else torch.zeros(0, 3, *size)
        return (pictures - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


class Vgg19Encoder(WithoutText):
    """A frozen VGG-19 up to its fifth pooling.

    Args:
        weights: a checkpoint file of torchvision's or timm's VGG-19; ``None`` is torchvision's, as timm publishes it.
        inputs: ``torchvision``, or ``caffe`` for the original weights (blue first, 0 to 255, mean subtracted), which
            Keras has, too.
        width: raise an error unless it is 512.
        download: download the default weights if they are not in the local cache of huggingface.co.

    Raises:
        EncoderError: the weights are missing or do not fit, or the width is another.
    """

    name, packages = "vgg19", ("torch", "torchvision")
    unit_length = False

    def __init__(
        self, *, weights: str | None = None, inputs: Literal["torchvision", "caffe"] = "torchvision",
        width: int | None = None, download: bool = False, **place: Any,
    ) -> None:
        super().__init__({"weights": weights, "inputs": inputs}, **place)
        self.files = ["weights"] * bool(weights)
        self.check_width(WIDTH, width)
        path = Path(weights) if weights else hub_weights("vgg19 weights", REPOSITORY, ["model.safetensors"], download)
        with torch.device("meta"):
            features = torchvision.models.vgg19(weights=None).features
        self._net = nn.Sequential()
        self._net.add_module("features", features.to_empty(device="cpu"))
        state = {key: tensor for key, tensor in read_state(path).items() if key.startswith("features.")}
        state = load_whole(self._net, state, path, "is it VGG-19 without batch normalization?")
        self.preparation = VggPreparation(inputs, SIDE)
        self.revision = fingerprint(state, {"encoder": self.name, "inputs": inputs, "side": SIDE})
        self._net.eval().requires_grad_(False).to(self.device)

    def encode_frames(self, prepared: Float[Tensor, "F 3 side side"]) -> Float[Tensor, "F d"]:
        """Return the mean over the positions of pool5 for each picture."""
        return self.in_batches(prepared, self._embed)

    def _embed(self, pictures: Float[Tensor, "N 3 side side"]) -> Float[Tensor, "N d"]:
        return self._net(pictures.to(self.device)).float().mean((2, 3)).cpu()
