"""Clips that say what they are: each second has its own colour and its own tone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

# Far apart in RGB and inside every codec's range, so that the nearest one tells the second.
COLOURS = (
    (200, 40, 40), (40, 180, 40), (50, 60, 210), (200, 190, 40), (180, 50, 180),
    (40, 180, 190), (230, 130, 40), (110, 110, 110), (30, 30, 30), (225, 225, 225),
)  # fmt: skip
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".avi": ("mpeg4", "ac3"),
    ".wav": ("", "pcm_s16le"),
}
FASTER = {"libx264": {"preset": "ultrafast"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}


def colour(second: int) -> np.ndarray:
    """The picture's colour in a second, RGB."""
    return np.array(COLOURS[second % len(COLOURS)], dtype=np.uint8)


def pitch(second: int) -> float:
    """The tone's frequency in a second, in Hz."""
    return 400.0 + 150.0 * (second % len(COLOURS))


def tone(first: float, last: float, rate: int) -> np.ndarray:
    """The sound between two times, float32; every second holds whole periods, so that its phase starts at 0."""
    time = np.arange(round(first * rate), round(last * rate)) / rate
    second = np.floor(time + 0.5 / rate)
    return (0.5 * np.sin(2 * np.pi * (400 + 150 * (second % len(COLOURS))) * (time - second))).astype(np.float32)


def picture(time: float, width: int, height: int) -> np.ndarray:
    """The picture at a time: the second's colour, and a white top left corner that tells which way is up."""
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = colour(int(time))
    image[: height // 4, : width // 4] = 255
    return image


def make(
    path: Path,
    *,
    seconds: float = 4.0,
    frame_rate: int = 25,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = (96, 64),
    video: bool = True,
    video_from: float = 0.0,
    video_to: float | None = None,
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    group: int = 12,
    audio: bool = True,
    audio_from: float = 0.0,
    audio_to: float | None = None,
    rate: int = 48_000,
    layout: str = "stereo",
    codecs: tuple[str, str] | None = None,
    cover: bool = False,
    shift: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip with PyAV; the codecs go by the suffix unless they are named.

    Args:
        times: when each picture begins, in seconds, in place of a steady `frame_rate`.
        size: width, height, as encoded.
        video_from, video_to, audio_from, audio_to: where picture and sound begin and end; default: the whole clip.
        rotation: degrees counterclockwise by which a player turns the picture.
        group: pictures from one keyframe to the next.
        cover: add a cover picture, as music files have one.
        shift: seconds that every timestamp is later by.
        options: the container's own, such as ``{"movflags": "faststart"}``.
    """
    names = codecs or CODECS[path.suffix]
    if times is None:
        last = seconds if video_to is None else video_to
        times = np.arange(round(video_from * frame_rate), round(last * frame_rate)) / frame_rate
    with av.open(str(path), "w", options=options or {}) as file:
        screen = _screen(file, names[0], frame_rate, size, group, pixel_aspect) if video else None
        speaker = file.add_stream(names[1], rate=rate, layout=layout) if audio else None
        if screen is not None and rotation:
            screen.set_display_rotation(rotation)
        if cover:
            _cover(file)
        until = seconds if audio_to is None else audio_to
        # Second by second, as a recorder does: the file interleaves picture and sound.
        for second in range(math.ceil(seconds)):
            for time in times if screen is not None else ():
                if second <= time < second + 1:
                    file.mux(screen.encode(_frame(time, shift, size, screen.codec_context.time_base)))
            first, last = max(audio_from, second), min(until, second + 1)
            if speaker is not None and first < last:
                file.mux(speaker.encode(_sound(first, last, shift, speaker.codec_context)))
        for stream in (screen, speaker):
            if stream is not None:
                file.mux(stream.encode())
    return path


def _screen(file, name: str, frame_rate: int, size: tuple[int, int], group: int, aspect: Fraction | None):
    stream = file.add_stream(name, rate=frame_rate, options=FASTER.get(name, {}))
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.gop_size = group
    stream.codec_context.max_b_frames = 0
    fine = file.format.name not in ("avi", "flv")
    stream.codec_context.time_base = Fraction(1, 1000 * frame_rate if fine and name != "mpeg4" else frame_rate)
    if aspect is not None:
        stream.codec_context.sample_aspect_ratio = aspect
    return stream


def _frame(time: float, shift: float, size: tuple[int, int], tick: Fraction) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture(time, *size), format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = round((time + shift) / tick), tick
    return frame


def _sound(first: float, last: float, shift: float, encoder: av.AudioCodecContext) -> av.AudioFrame:
    samples = np.repeat(tone(first, last, encoder.rate)[None], encoder.layout.nb_channels, 0)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=encoder.layout)
    frame.sample_rate, frame.time_base = encoder.rate, Fraction(1, encoder.rate)
    frame.pts = round((first + shift) * encoder.rate)
    return frame


def _cover(file) -> None:
    stream = file.add_stream("png", rate=1)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
    file.mux(stream.encode(frame))
    file.mux(stream.encode())


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """:func:`make`: a clip whose colour and tone change every second."""
    return make


# --- Real architectures with random weights, made and saved once ----------------------------------

#: What the tests' tokenizer is trained on; real ones read any text.
LABELS = ("Church bell", "Male speech, man speaking", "Bark", "Violin, fiddle", "Frying (food)")


@pytest.fixture(scope="session")
def clip_model():
    """open_clip's smallest plain ViT with random weights: what a user would have trained."""
    from avsgn_pyg.features import clip

    torch.manual_seed(1)
    return clip.open_clip.create_model("ViT-S-32-alt").eval()


@pytest.fixture(scope="session")
def clip_weights(clip_model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint as open_clip's training writes it: an epoch beside it, ``module.`` before each key."""
    path = tmp_path_factory.mktemp("clip") / "epoch_3.pt"
    state = {f"module.{key}": tensor for key, tensor in clip_model.state_dict().items()}
    torch.save({"epoch": 3, "name": "mine", "state_dict": state}, path)
    return path


@pytest.fixture(scope="session")
def clap_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real byte-level BPE tokenizer trained on a few labels, in place of roberta-base's 50,265 words."""
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    words = ByteLevelBPETokenizer()
    texts = [f"This sound contains the {label}" for label in LABELS]
    words.train_from_iterator(texts, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    words.save_model(str(folder))
    return folder


@pytest.fixture(scope="session")
def clap_library(clap_tokenizer: Path) -> torch.nn.Module:
    """laion_clap's own module (HTSAT-tiny and RoBERTa) with random weights."""
    from avsgn_pyg.features import clap

    torch.manual_seed(2)
    words = clap.transformers.RobertaTokenizer.from_pretrained(str(clap_tokenizer))
    return clap.build("HTSAT-tiny", False, words).eval()


@pytest.fixture(scope="session")
def clap_options(
    clap_library: torch.nn.Module, clap_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Options that load its checkpoint, which is saved as the published ones are."""
    path = tmp_path_factory.mktemp("clap") / "epoch_top_0.pt"
    state = {f"module.{key}": tensor for key, tensor in clap_library.model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    torch.save({"epoch": 3, "best": np.float64(0.3), "state_dict": state}, path)
    words = len(clap_library.tokenize)
    return {"weights": str(path), "tokenizer": str(clap_tokenizer), "vocabulary": words}
