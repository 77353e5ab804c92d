"""Clips that change every second, and checkpoints of small untrained models whose features name signal encoders."""

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

RATE, FRAMES, WIDTH = 48_000, 5, 16
CATEGORIES = ("bell", "dog", "rain & wind")
PROMPTS = {"visual": "This photo contains the {}", "audio": "This sound contains the {}"}


def make_clip(path: Path, seconds: float, *, picture: bool = True, sound: bool = True) -> Path:
    """A small clip whose colour and pitch change at every whole second."""
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
    """:func:`make_clip` by length, each made once."""
    folder, made = tmp_path_factory.mktemp("clips"), {}

    def find(seconds: float, **tracks: bool) -> Path:
        key = "-".join((f"clip{seconds:g}", *(f"{name}_{value}" for name, value in tracks.items())))
        if key not in made:
            made[key] = make_clip(folder / f"{key}.mp4", seconds, **tracks)
        return made[key]

    return find


def encoders() -> tuple[Any, Any]:
    choice = EncoderChoice("signal", {"width": WIDTH})
    return make_frame_encoder(choice, device="cpu"), make_audio_encoder(choice, device="cpu")


def store_provenance(**changes: Any) -> dict[str, Any]:
    """What a store of the extraction says of itself, as far as prediction reads it."""
    visual, audio = encoders()
    return {
        "made by": "avsgn_pyg.features", "visual": visual.record(), "audio": audio.record(), "prompts": PROMPTS,
        "label_text": {"visual": visual.revision, "audio": audio.revision},
        "extraction": {"frames_per_segment": 2, "segment_seconds": 1.0, "segments": 10},
        **changes,
    }


@pytest.fixture
def provenance() -> Callable[..., dict[str, Any]]:
    return store_provenance


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes the checkpoint of an untrained model and answers its folder."""

    def save(
        name: str = "epoch-0001", *, features: dict[str, Any] | None = None, categories: tuple[str, ...] = CATEGORIES,
        model: dict[str, Any] | None = None, data: dict[str, Any] | None = None, bank_of: tuple[str, ...] = CATEGORIES,
        data_settings: dict[str, Any] | None = None, **settings: Any,
    ) -> Path:
        size = {} if model and "name" in model else {"dim": 16}
        config = Config.model_validate({"model": {**size, **(model or {})}, "evaluate": {"tau": 0.5},
                                        "data": data_settings or {}, **settings})
        torch.manual_seed(1)
        built = zoo.build_model(
            config.model, zoo.Shape(WIDTH, WIDTH, 10, len(bank_of)), label_text(*encoders(), bank_of, PROMPTS),
            config.objective.supervision,
        )
        # Untrained heads answer nearly the same everywhere; larger weights make seconds differ.
        for parameter in built.head.parameters() if hasattr(built, "head") else ():
            parameter.data.mul_(8)
        said = store_provenance() if features is None else features
        meta = Meta(
            categories=categories, audio_width=WIDTH, visual_width=WIDTH, segments=10, dataset="made", synthetic=False,
            provenance={"features": said, "splits": "txt", "files": {}, **(data or {})}, epoch=1, step=7,
        )
        save_checkpoint(tmp_path / name, built.state_dict(), config, meta)
        return tmp_path / name

    return save


@pytest.fixture
def run(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A finished run's folder with that checkpoint."""
    folder = checkpoint("runs/scenes/checkpoints/epoch-0001")
    index = {"last": "epoch-0001", "selected": "epoch-0001", "finished": "epochs"}
    (folder.parent / "index.json").write_text(json.dumps(index))
    return folder.parents[1]
