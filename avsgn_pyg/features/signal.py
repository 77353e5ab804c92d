"""Encoders without weights: statistics of sound and of pictures, mapped by a fixed random projection.

Nothing is learned. Two seconds have similar features if their spectra, or their colours and edges, are similar. This
is enough for tests, and for demos whose classes differ in look and sound; it does not replace CLIP and CLAP.
The text embeddings carry no meaning (:func:`text_codes`).

Shapes: F frames, V videos, S seconds, N sounds, B mel bands, d width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.compute import FrozenEncoder, unit

#: Increase this when the features change; features of two versions must not be mixed.
VERSION: Final = 1
NOTE: Final = "statistics through a fixed random projection; no learned weights, and text rows carry no meaning"

RATE: Final = 48_000
WINDOW, HOP, BANDS = 1024, 480, 48
LOWEST, HIGHEST = 50.0, 16_000.0
#: Power below which a band counts as silent: -90 dB of a full-scale sine.
FLOOR: Final = 1e-9
#: Edges in Hz of the bands in which changes of loudness are summed: rhythm, tremolo, roughness.
BEATS: Final = (1.5, 3.0, 6.0, 12.0, 25.0)
#: Side in pixels of a prepared picture, cells per side of its layout, levels per colour, angles of edges.
SIDE, CELLS, SHADES, ANGLES = 64, 4, 4, 8


class _Signal(FrozenEncoder):
    """Base of both encoders: projection to `width`, random codes instead of text embeddings.

    Statistics are always computed in float32; `precision` is always ``fp32``.
    """

    name, packages = "signal", ("torch", "numpy")
    text_has_meaning = False
    kind: str

    def __init__(self, *, width: int = 128, **place: Any) -> None:
        if width < 8:
            raise EncoderError(f"width={width}: the signal encoder projects to 8 or more")
        super().__init__({"width": width}, **place)
        self.width, self.precision = width, "fp32"
        self.revision = hashlib.sha256(f"avsgn_pyg signal {self.kind} v{VERSION} width {width}".encode()).hexdigest()

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        """Return a code for each text, which carries no meaning; see :func:`text_codes`."""
        return text_codes(texts, self.width)

    def record(self) -> dict[str, Any]:
        """Return the JSON-ready record with a note."""
        return {**super().record(), "note": NOTE}

    def _project(self, rows: Tensor, statistics: Callable[[Tensor], Tensor]) -> Float[Tensor, "N d"]:
        found = self.in_batches(rows, lambda batch: statistics(batch.to(self.device)).cpu())
        return unit(found @ _gaussian(f"{self.kind} {VERSION}", found.shape[-1], self.width))


class SignalFrames(_Signal):
    """Colours, their layout and edges of a picture."""

    kind = "visual"

    @property
    def preparation(self) -> Shrink:
        """Shrinks pictures to [F, 3, 64, 64] in [0, 1]; its pickle has a few bytes."""
        return Shrink(SIDE)

    def encode_frames(self, prepared: Float[Tensor, "F 3 side side"]) -> Float[Tensor, "F d"]:
        """Return one unit vector per picture."""
        return self._project(prepared, picture_statistics)


class SignalAudio(_Signal):
    """Spectrum, its change over time, and loudness of each second of sound."""

    kind = "audio"
    each_second_alone = True

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        """Return one unit vector per second."""
        return self._project(samples.flatten(0, 1), sound_statistics).unflatten(0, samples.shape[:2])


@dataclass(frozen=True)
class Shrink:
    """Shrinks pictures to `side` x `side` by averaging areas; the aspect ratio is not kept."""

    side: int

    def __call__(self, frames: UInt8[Tensor, "F H W 3"]) -> Float[Tensor, "F 3 side side"]:
        # One picture at a time: float32 copies of many large ones would fill the memory.
        small = [F.adaptive_avg_pool2d(frame.permute(2, 0, 1).float() / 255, self.side) for frame in frames]
        return torch.stack(small) if small else torch.zeros(0, 3, self.side, self.side)


def sound_statistics(samples: Float[Tensor, "N 48000"]) -> Float[Tensor, "N n"]:
    """Return statistics per second: spectral shape, its spread and change over time, beats, tonality, loudness.

    Bands are in dB relative to their mean, so that only three numbers depend on loudness, which says little about
    the class. The constants scale each group of statistics to about zero mean and unit size.
    """
    window = torch.hann_window(WINDOW, device=samples.device)
    spectrum = torch.stft(samples, WINDOW, HOP, window=window, return_complex=True)
    power = spectrum.abs().square() / window.sum().square() * 4
    bands = 10 * torch.log10(_mel_filters().to(samples.device) @ power + FLOOR)  # [N, B, time]
    loud = 10 * torch.log10(power.sum(1) + FLOOR)  # [N, time]
    level, spread = bands.mean(-1), bands.std(-1)
    motion = bands.diff(dim=-1).abs().mean(-1)
    ranks = torch.linspace(-1, 1, BANDS, device=samples.device)
    share = F.normalize(10 ** (bands / 20), p=1, dim=1)
    centre = (share * ranks[:, None]).sum(1)
    flat = power.clamp_min(FLOOR).log().mean(1) - power.clamp_min(FLOOR).mean(1).log()  # near 0: noise; lower: tones
    summary = torch.stack([
        (loud.mean(-1) + 35) / 20, (loud.amax(-1) + 30) / 20, (loud.std(-1) - 2) / 4,
        3 * centre.mean(-1), 6 * centre.std(-1) - 1, flat.mean(-1) / 3 + 1, flat.std(-1) - 0.5,
    ], -1)
    parts = [
        ((level - level.mean(-1, keepdim=True)) / 12).tanh(), ((spread - 4) / 5).tanh() / 2,
        ((motion - 3) / 4).tanh() / 2, _beats(loud), 1.5 * summary.tanh(),
    ]
    return torch.cat(parts, -1)


def _beats(loud: Float[Tensor, "N time"]) -> Float[Tensor, "N beats"]:
    """Return how strongly the loudness (dB) changes at the rates of :data:`BEATS`."""
    swing = torch.fft.rfft(loud - loud.mean(-1, keepdim=True)).abs() / loud.shape[-1]
    rates = torch.fft.rfftfreq(loud.shape[-1], HOP / RATE, device=loud.device)
    edges = [*BEATS, RATE / HOP / 2 + 1]
    sums = [swing[:, (rates >= low) & (rates < high)].square().sum(-1) for low, high in pairwise(edges)]
    return (torch.stack(sums, -1).sqrt() / 2 - 0.2).tanh()


def _mel_filters() -> Float[Tensor, "B bins"]:
    """Return triangles of height 1 and equal width on the mel scale."""
    lowest, highest = (float(2595 * np.log10(1 + frequency / 700)) for frequency in (LOWEST, HIGHEST))
    mel = torch.linspace(lowest, highest, BANDS + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = torch.linspace(0, RATE / 2, WINDOW // 2 + 1, dtype=torch.float64)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rise, fall).clamp_min(0).float()


def picture_statistics(pictures: Float[Tensor, "F 3 side side"]) -> Float[Tensor, "F n"]:
    """Return per picture: mean colour and contrast of 4 x 4 cells, a colour histogram, edges by angle and strength."""
    red, green, blue = pictures.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    opponent = torch.stack([luma - 0.45, red - green, blue - (red + green) / 2], 1)
    layout = F.adaptive_avg_pool2d(opponent, CELLS)
    square = F.adaptive_avg_pool2d(opponent[:, :1].square(), CELLS)
    contrast = (square - layout[:, :1].square()).clamp_min(0).sqrt()
    parts = [4 * layout, 4 * (contrast - 0.06), 2 * (_shades(pictures) - 0.08), 5 * (_edges(luma) - 0.04)]
    return torch.cat([part.flatten(1) for part in parts], -1)


def _shades(pictures: Float[Tensor, "F 3 side side"]) -> Float[Tensor, "F colours"]:
    """Return the square root of the share of each of 4 x 4 x 4 colours; pixels between colours count for both."""
    centres = torch.arange(SHADES, device=pictures.device)
    red, green, blue = ((1 - (pictures[:, :, None] * (SHADES - 1) - centres[:, None, None]).abs()).clamp_min(0)
                        .flatten(3).unbind(1))
    return (torch.einsum("frp,fgp,fbp->frgb", red, green, blue) / red.shape[-1]).flatten(1).sqrt()


def _edges(luma: Float[Tensor, "F side side"]) -> Float[Tensor, "F edges"]:
    """Return the square root of the gradient's strength by angle modulo 180 degrees, in 2 x 2 cells."""
    across, down = luma[:, 1:-1, 2:] - luma[:, 1:-1, :-2], luma[:, 2:, 1:-1] - luma[:, :-2, 1:-1]
    strength = (across.square() + down.square()).sqrt()
    turn = torch.atan2(down, across).remainder(torch.pi) / torch.pi * ANGLES  # [0, ANGLES]
    away = (turn[:, None] - torch.arange(ANGLES, device=luma.device)[:, None, None]).abs()
    weight = (1 - torch.minimum(away, ANGLES - away)).clamp_min(0)
    return F.adaptive_avg_pool2d(weight * strength[:, None], 2).flatten(1).sqrt()


def text_codes(texts: Sequence[str], width: int) -> Float[Tensor, "P d"]:
    """Return a fixed random unit vector for each text.

    Equal texts have equal codes; "dog" is as far from "puppy" as from "violin", and from the picture of a dog.
    """
    codes = [_gaussian(f"text {text}", 1, width) for text in texts]
    return unit(torch.cat(codes)) if codes else torch.zeros(0, width)


def _gaussian(seed: str, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    # numpy guarantees RandomState's numbers for all versions; those of torch and of Generator may change.
    digest = hashlib.sha256(seed.encode()).digest()
    draws = np.random.RandomState(np.frombuffer(digest, "<u4")).standard_normal((rows, columns))
    return torch.from_numpy(draws / np.sqrt(columns)).float()
