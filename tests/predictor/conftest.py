"""Clips that change every second, and checkpoints of small untrained models with a record of signal encoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from avsgn_pyg import zoo
from avsgn_pyg.config import Config
from avsgn_pyg.engine.checkpoint import Meta, save_checkpoint
from avsgn_pyg.features.encoder import EncoderChoice, label_text, make_audio_encoder, make_frame_encoder
from avsgn_pyg.predictor.predictor import Predictor

RATE, FRAMES, WIDTH = 48_000, 5, 16
CATEGORIES = ("bell", "dog", "rain & wind")
PROMPTS = {"visual": "This photo contains the {}", "audio": "This sound contains the {}"}


def make_clip(path: Path, seconds: float, *, picture: bool = True, sound: bool = True) -> Path:
    """Write a small clip whose colour and pitch change at every whole second."""
    with av.open(str(path), "w") as file:
        screen = file.add_stream("mpeg4", rate=FRAMES) if picture else None
        if screen is not None:
            screen.width, screen.height, screen.pix_fmt = 48, 32, "yuv420p"
        speaker = file.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for number in range(round(seconds * FRAMES) if screen is not None else 0):
            shade = np.random.default_rng(number // FRAMES).integers(0, 255, 3, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(np.broadcast_to(shade, (32, 48, 3)).copy(), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES)
            file.mux(screen.encode(frame.reformat(format="yuv420p")))
        if screen is not None:
            file.mux(screen.encode())
        if speaker is not None:
            time = np.arange(round(seconds * RATE)) / RATE
            wave = 0.5 * np.sin(2 * np.pi * (300 + 90 * np.floor(time)) * time)
            frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            file.mux(speaker.encode(frame))
            file.mux(speaker.encode())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """:func:`make_clip` by length; each clip is made once."""
    folder, found = tmp_path_factory.mktemp("clips"), {}

    def find(seconds: float, **tracks: bool) -> Path:
        key = "-".join((f"clip{seconds:g}", *(f"{name}_{value}" for name, value in tracks.items())))
        if key not in found:
            found[key] = make_clip(folder / f"{key}.mp4", seconds, **tracks)
        return found[key]

    return find


def store_provenance(**changes: Any) -> dict[str, Any]:
    """The part of a feature store's record that prediction reads."""
    visual, audio = signal_encoders()
    return {
        "made by": "avsgn_pyg.features", "visual": visual.record(), "audio": audio.record(), "prompts": PROMPTS,
        "label_text": {"visual": visual.revision, "audio": audio.revision},
        "extraction": {"frames_per_segment": 2, "segment_seconds": 1.0, "segments": 10}, **changes,
    }


def signal_encoders() -> tuple[Any, Any]:
    choice = EncoderChoice("signal", {"width": WIDTH})
    return make_frame_encoder(choice, device="cpu"), make_audio_encoder(choice, device="cpu")


def write_checkpoint(
    folder: Path, *, features: dict[str, Any] | None = None, categories: tuple[str, ...] = CATEGORIES,
    model: dict[str, Any] | None = None, provenance: dict[str, Any] | None = None, **settings: Any,
) -> Path:
    """Write the checkpoint of an untrained model of the classes in `CATEGORIES`, which `categories` may rename."""
    size = {} if model and "name" in model else {"dim": 16}
    config = Config.model_validate({"model": {**size, **(model or {})}, "evaluate": {"tau": 0.5}, **settings})
    torch.manual_seed(1)
    built = zoo.build_model(
        config.model, zoo.Shape(WIDTH, WIDTH, 10, len(CATEGORIES)), label_text(*signal_encoders(), CATEGORIES, PROMPTS),
        config.objective.supervision,
    )
    # Outputs of an untrained head hardly differ; larger weights make seconds differ.
    for parameter in built.head.parameters() if hasattr(built, "head") else ():
        parameter.data.mul_(8)
    record = {"features": store_provenance() if features is None else features, "files": {}, **(provenance or {})}
    meta = Meta(categories=categories, audio_width=WIDTH, visual_width=WIDTH, segments=10, dataset="made",
                synthetic=False, provenance=record, epoch=1, step=7)
    save_checkpoint(folder, built.state_dict(), config, meta)
    return folder


@pytest.fixture
def provenance() -> Callable[..., dict[str, Any]]:
    return store_provenance


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """:func:`write_checkpoint` by name of the folder."""
    return lambda name="epoch-0001", **options: write_checkpoint(tmp_path / name, **options)


@pytest.fixture
def run(checkpoint: Callable[..., Path]) -> Path:
    """The folder of a finished run with that checkpoint."""
    folder = checkpoint("runs/scenes/checkpoints/epoch-0001")
    index = {"last": "epoch-0001", "selected": "epoch-0001", "finished": "epochs"}
    (folder.parent / "index.json").write_text(json.dumps(index))
    return folder.parents[1]


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Of the default checkpoint; do not change it."""
    return Predictor.from_checkpoint(write_checkpoint(tmp_path_factory.mktemp("model") / "epoch-0001"), device="cpu")
