"""The door through which clips are written: frames and samples become an H.264/AAC mp4 file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float32, UInt8

from avsgn_pyg.scenes.script import ScenesError

PICTURE = {"preset": "veryfast", "crf": "26"}
SOUND_BITS = 128_000  #: a second
BLOCK = 1024  #: samples handed to the encoder at once, those of one AAC frame


def write_film(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    samples: Float32[np.ndarray, "2 n"],
    *,
    frame_rate: int,
    sample_rate: int,
) -> None:
    """Write an mp4 file; a reader sees the whole new file or what was there before, never a part.

    The same frames and samples give the same bytes on one version of FFmpeg: one thread a stream, no date.

    Args:
        path: the file.
        frames: RGB, sides even; frame k shows from k / frame_rate on.
        samples: left and right, in [-1, 1].
        frame_rate: frames a second, in the file.
        sample_rate: samples a second, in the file.

    Raises:
        ScenesError: this FFmpeg has no H.264 encoder.
        OSError: the file cannot be written.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with av.open(str(scratch), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            try:
                picture = container.add_stream("libx264", rate=frame_rate, options=PICTURE)
            except av.codec.codec.UnknownCodecError:
                raise ScenesError(f"{path}: this PyAV has no libx264; install PyAV's own wheels (av>=14)") from None
            sound = container.add_stream("aac", rate=sample_rate, layout="stereo", bit_rate=SOUND_BITS)
            picture.pix_fmt = "yuv420p"
            for stream in (picture, sound):
                stream.codec_context.thread_count = 1
            _encode(container, picture, sound, frames, samples)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _encode(
    container: av.container.OutputContainer,
    picture: av.VideoStream,
    sound: av.AudioStream,
    frames: Iterable[np.ndarray],
    samples: np.ndarray,
) -> None:
    """Write both streams side by side, so that a player need not look far ahead."""
    done = 0
    for number, pixels in enumerate(frames):
        if number == 0:
            picture.height, picture.width = pixels.shape[:2]
            picture.codec_context.gop_size = 2 * round(picture.codec_context.framerate)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1) / picture.codec_context.framerate
        container.mux(picture.encode(frame))
        due = round((number + 1) * sound.rate / picture.codec_context.framerate)
        done = _sound_until(container, sound, samples, done, due)
    _sound_until(container, sound, samples, done, samples.shape[1] + BLOCK)
    container.mux(picture.encode(None))
    container.mux(sound.encode(None))


def _sound_until(
    container: av.container.OutputContainer, sound: av.AudioStream, samples: np.ndarray, done: int, due: int
) -> int:
    """Encode blocks that end before sample `due`; returns how many samples are encoded."""
    while done + BLOCK <= due and done < samples.shape[1]:
        block = np.ascontiguousarray(samples[:, done : done + BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, done, Fraction(1, sound.rate)
        container.mux(sound.encode(frame))
        done += block.shape[1]
    return done
