"""Encode windows of segments of one second, or of an equal part of one: used by both extraction and prediction.

Shapes: N segments, T segments of a window, k frames per segment, da / dv / d widths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment of a video, ready for the encoders; windows that overlap share the object.

    Attributes:
        frames: [k, ...] as the frame encoder's preparation returns them.
        samples: mono sound of the second around the segment's middle.
    """

    frames: Tensor
    samples: Float[Tensor, "48000"]


Window = Sequence[Segment]


class WindowEncoder:
    """Encodes windows in batches.

    Pictures are encoded once per segment. So is sound if the audio encoder has ``each_second_alone``; otherwise it is
    encoded once per window, because a second's features then depend on its neighbours. From one batch to the next only
    the features of the last window are kept, so memory does not grow with a video's length.

    Args:
        rate: segments a second, whose seconds of sound overlap (:func:`avsgn_pyg.features.media.subdivide`).
    """

    def __init__(self, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, rate: int = 1) -> None:
        self.audio_encoder, self.rate = audio_encoder, rate

        unit_length = getattr(frame_encoder, "unit_length", True)

        def encode_frames(segments: Window) -> Float[Tensor, "N dv"]:
            if hasattr(frame_encoder, "encode_segments"):
                return frame_encoder.encode_segments(torch.stack([segment.frames for segment in segments]))
            rows = frame_encoder.encode_frames(torch.cat([segment.frames for segment in segments]))
            return average_frames(rows.view(len(segments), -1, rows.shape[-1]), unit_length)

        def encode_seconds(segments: Window) -> Float[Tensor, "N da"]:
            return audio_encoder.encode_audio(_samples(segments)[None])[0]

        alone = getattr(audio_encoder, "each_second_alone", False)
        self._visual = _OncePerSegment(encode_frames)
        self._audio = _OncePerSegment(encode_seconds) if alone else self._whole_windows

    def __call__(self, windows: Sequence[Window]) -> list[tuple[Float[Tensor, "T da"], Float[Tensor, "T dv"]]]:
        """Return audio and visual features of each window; windows may differ in T.

        A segment's visual feature is the mean of its frames' features, normalized unless the encoder has
        ``unit_length = False``; or of its frames as one short video, if the encoder has ``encode_segments``.
        """
        return list(zip(self._audio(windows), self._visual(windows), strict=True))

    def _whole_windows(self, windows: Sequence[Window]) -> list[Float[Tensor, "T da"]]:
        found: dict[int, Tensor] = {}
        for length in sorted(set(map(len, windows))):
            places = [place for place, window in enumerate(windows) if len(window) == length]
            samples = torch.stack([_samples(windows[place]) for place in places])
            # Every rate-th segment follows the one before without a gap, as encoders of whole windows need it.
            samples = samples.unflatten(1, (-1, self.rate)).transpose(1, 2).flatten(0, 1)
            rows = self.audio_encoder.encode_audio(samples).unflatten(0, (-1, self.rate))
            found.update(zip(places, rows.transpose(1, 2).flatten(1, 2), strict=True))
        return [found[place] for place in range(len(windows))]


class _OncePerSegment:
    """Encodes the segments of windows; segments that neighbouring windows share are encoded only once."""

    def __init__(self, encode: Callable[[Window], Float[Tensor, "N d"]]) -> None:
        self.encode = encode
        self.known: dict[Segment, Tensor] = {}

    def __call__(self, windows: Sequence[Window]) -> list[Float[Tensor, "T d"]]:
        new = [segment for segment in dict.fromkeys(chain.from_iterable(windows)) if segment not in self.known]
        if new:
            self.known.update(zip(new, self.encode(new), strict=True))
        found = [torch.stack([self.known[segment] for segment in window]) for window in windows]
        self.known = {segment: self.known[segment] for segment in windows[-1]}
        return found


def average_frames(frames: Float[Tensor, "N k d"], unit_length: bool = True) -> Float[Tensor, "N d"]:
    """Return the mean over a segment's frames, normalized if asked; a single frame is returned bit-identical."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    mean = frames.mean(dim=1)
    return F.normalize(mean, dim=-1) if unit_length else mean


def find_not_finite(audio: Float[Tensor, "T da"], visual: Float[Tensor, "T dv"]) -> str | None:
    """Return a sentence that names the encoder and the first second with NaN or infinity; ``None`` if all is finite."""
    for kind, values in (("audio", audio), ("visual", visual)):
        bad = ~torch.isfinite(values).all(-1)
        if bool(bad.any()):
            return f"the {kind} encoder returned NaN or infinity for second {int(bad.nonzero()[0])}"
    return None


def _samples(segments: Window) -> Float[Tensor, "N 48000"]:
    return torch.stack([segment.samples for segment in segments])
