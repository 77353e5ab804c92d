"""Write frames and samples as an H.264/AAC mp4 file."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import Float32, UInt8

from avsgn_pyg.common.files import atomic

PICTURE = {"preset": "veryfast", "crf": "26"}
SOUND_BITS = 128_000  #: per second


def write_video(
    path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], samples: Float32[np.ndarray, "2 n"] | None, *,
    frame_rate: int, sample_rate: int,
) -> None:
    """Write an mp4 file, completely or not at all.

    The same frames and samples give the same bytes with one version of FFmpeg: one thread a stream, no date.

    Args:
        frames: RGB, sides even; frame k is shown from k / frame_rate on.
        samples: left and right, in [-1, 1]; ``None`` for a video without sound.
        frame_rate, sample_rate: frames and samples per second.

    Raises:
        OSError: this FFmpeg has no H.264 encoder, or the file cannot be written.
    """
    options = {"fflags": "+bitexact"}
    with atomic(path) as partial, av.open(str(partial), "w", format="mp4", options=options) as container:
        try:
            picture = container.add_stream("libx264", rate=frame_rate, options=PICTURE, pix_fmt="yuv420p")
        except av.codec.codec.UnknownCodecError:
            raise OSError(f"{path}: this PyAV has no libx264; install PyAV's own wheels (av>=14)") from None
        streams = [picture]
        if samples is not None:
            streams.append(container.add_stream("aac", rate=sample_rate, layout="stereo", bit_rate=SOUND_BITS))
        picture.codec_context.gop_size = 2 * frame_rate
        for stream in streams:
            stream.codec_context.thread_count = 1
        # Each frame with its part of the sound, so that a player need not look far ahead.
        for number, pixels in enumerate(frames):
            if number == 0:
                picture.height, picture.width = pixels.shape[:2]
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            image.pts, image.time_base = number, Fraction(1, frame_rate)
            container.mux(picture.encode(image))
            part = slice(*(round(at * sample_rate / frame_rate) for at in (number, number + 1)))
            for sound in streams[1:]:
                container.mux(sound.encode(_block(samples, part, sample_rate)))
        for stream in streams:
            container.mux(stream.encode(None))


def _block(samples: Float32[np.ndarray, "2 n"], part: slice, rate: int) -> Any:
    block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, part]), format="fltp", layout="stereo")
    block.sample_rate, block.pts, block.time_base = rate, part.start, Fraction(1, rate)
    return block
