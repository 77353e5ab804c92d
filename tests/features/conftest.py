"""Clips whose colour and tone change every second, and real encoder architectures with random weights."""

from __future__ import annotations

import importlib.util
import math
import socket
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

# Far apart in RGB and inside every codec's range, so that the nearest one identifies the second.
COLOURS = (
    (200, 40, 40), (40, 180, 40), (50, 60, 210), (200, 190, 40), (180, 50, 180),
    (40, 180, 190), (230, 130, 40), (110, 110, 110), (30, 30, 30), (225, 225, 225),
)  # fmt: skip
CODECS = {
    ".mp4": ("libx264", "aac"), ".webm": ("libvpx-vp9", "libopus"), ".avi": ("mpeg4", "ac3"),
    ".ts": ("libx264", "aac"), ".mkv": ("libx264", "aac"), ".mp3": ("", "libmp3lame"), ".wav": ("", "pcm_s16le"),
}  # fmt: skip
FASTER = {"libx264": {"preset": "ultrafast"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
          "libsvtav1": {"preset": "12"}, "mjpeg": {"strict": "unofficial"}}


def pitch(second: float) -> float:
    """The frequency of a second's tone, in Hz."""
    return 400 + 150 * (second % len(COLOURS))


def tone(first: float, last: float, rate: int) -> np.ndarray:
    """The sound between two times, float32; every second holds whole periods, so that its phase starts at 0."""
    time = np.arange(round(first * rate), round(last * rate)) / rate
    second = np.floor(time + 0.5 / rate)
    return (0.5 * np.sin(2 * np.pi * pitch(second) * (time - second))).astype(np.float32)


def picture(time: float, width: int, height: int) -> np.ndarray:
    """The picture at a time: the second's colour, and a white top left corner that shows which way is up."""
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = COLOURS[int(time) % len(COLOURS)]
    image[: height // 4, : width // 4] = 255
    return image


def make(
    path: Path, *, seconds: float = 4.0, frame_rate: int = 25, times: Sequence[float] | None = None,
    size: tuple[int, int] = (96, 64), video: bool = True, video_from: float = 0.0, video_to: float | None = None,
    pixel_aspect: Fraction | None = None, group: int = 12, audio: bool = True, audio_from: float = 0.0,
    audio_to: float | None = None, rate: int = 48_000, layout: str = "stereo", codecs: tuple[str, str] | None = None,
    cover: bool = False, shift: float = 0.0, options: dict[str, str] | None = None,
) -> Path:
    """Write a clip; the codecs follow from the suffix unless they are given.

    Args:
        times: when each picture begins, in seconds, in place of a steady `frame_rate`.
        size: width, height, as encoded.
        video_from, video_to, audio_from, audio_to: where picture and sound begin and end; default: the whole clip.
        group: pictures from one keyframe to the next.
        cover: add a cover picture, as music files have one.
        shift: seconds that are added to every timestamp.
        options: the container's own, such as ``{"movflags": "faststart"}``.
    """
    names = codecs or CODECS[path.suffix]
    if times is None:
        last = seconds if video_to is None else video_to
        times = np.arange(round(video_from * frame_rate), round(last * frame_rate)) / frame_rate
    with av.open(str(path), "w", options=options or {}) as file:
        video_stream = _video_stream(file, names[0], frame_rate, size, group, pixel_aspect) if video else None
        audio_stream = file.add_stream(names[1], rate=rate, layout=layout) if audio else None
        if cover:
            _cover(file)
        until = seconds if audio_to is None else audio_to
        # Second by second, as a recorder does: the file interleaves picture and sound.
        for second in range(math.ceil(seconds)):
            for time in times if video else ():
                if second <= time < second + 1:
                    file.mux(video_stream.encode(_frame(time, shift, size, video_stream.codec_context.time_base)))
            first, last = max(audio_from, second), min(until, second + 1)
            if audio and first < last:
                file.mux(audio_stream.encode(_sound(first, last, shift, audio_stream.codec_context)))
        for stream in (video_stream, audio_stream):
            if stream is not None:
                file.mux(stream.encode())
    return path


def _video_stream(file, name: str, frame_rate: int, size: tuple[int, int], group: int, aspect: Fraction | None):
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
    file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")))
    file.mux(stream.encode())


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """:func:`make`: write a clip whose colour and tone change every second."""
    return make


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a clip by its suffix and the options of :func:`make`, each once per session; not to be changed."""
    folder, made = tmp_path_factory.mktemp("clips"), {}

    def get(suffix: str = ".mp4", **options: Any) -> Path:
        key = repr((suffix, options))
        if key not in made:
            made[key] = make(folder / f"{len(made)}{suffix}", **options)
        return made[key]

    return get


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fail a test that opens a connection, and return the empty folder that is its cache of huggingface.co."""
    import huggingface_hub.constants
    import transformers

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(transformers.utils.hub, "TRANSFORMERS_CACHE", str(tmp_path / "hub"), raising=False)
    return tmp_path / "hub"


@pytest.fixture(scope="session")
def save_tokenizer() -> Callable[[Path], int]:
    """Save a tokenizer trained on a few labels in a folder, as transformers does, and return its vocabulary's size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    def save(folder: Path) -> int:
        words = Tokenizer(models.BPE(unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        labels = ("Church bell", "Male speech, man speaking", "Bark", "the first violin", "a barking dog")
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        words.train_from_iterator(labels, trainers.BpeTrainer(vocab_size=300, special_tokens=special,
                                                              show_progress=False))
        PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", pad_token="<pad>", eos_token="</s>",
                                unk_token="<unk>", model_max_length=64).save_pretrained(folder)
        return words.get_vocab_size()

    return save


@pytest.fixture(scope="session")
def clip_model():
    """open_clip's smallest plain ViT with random weights."""
    from avsgn_pyg.features import clip

    torch.manual_seed(1)
    return clip.open_clip.create_model("ViT-S-32-alt").eval()


@pytest.fixture(scope="session")
def clip_weights(clip_model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint as open_clip's training writes it: with an epoch, and ``module.`` before each key."""
    path = tmp_path_factory.mktemp("clip") / "epoch_3.pt"
    state = {f"module.{key}": tensor for key, tensor in clip_model.state_dict().items()}
    torch.save({"epoch": 3, "name": "mine", "state_dict": state}, path)
    return path


@pytest.fixture(scope="session")
def clap_library(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    """laion_clap's own module (HTSAT-tiny and RoBERTa), with random weights and a tokenizer trained on a few labels."""
    if importlib.util.find_spec("laion_clap") is None:
        pytest.skip("laion_clap is not installed, which has no numpy for Python 3.13")
    from tokenizers import ByteLevelBPETokenizer

    from avsgn_pyg.features import clap

    words = ByteLevelBPETokenizer()
    texts = [f"This sound contains the {label}" for label in ("Church bell", "Male speech, man speaking", "Bark")]
    words.train_from_iterator(texts, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    folder = tmp_path_factory.mktemp("tokenizer")
    words.save_model(str(folder))
    torch.manual_seed(2)
    return clap.build("HTSAT-tiny", False, clap.transformers.RobertaTokenizer.from_pretrained(str(folder))).eval()


@pytest.fixture(scope="session")
def clap_options(clap_library: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options that load its checkpoint, which is saved as the published ones are."""
    path = tmp_path_factory.mktemp("clap") / "epoch_top_0.pt"
    state = {f"module.{key}": tensor for key, tensor in clap_library.model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    torch.save({"epoch": 3, "best": np.float64(0.3), "state_dict": state}, path)
    folder = clap_library.tokenize.name_or_path
    return {"weights": str(path), "tokenizer": folder, "vocabulary": len(clap_library.tokenize)}
