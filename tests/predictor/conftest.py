"""Clips that change every second, and checkpoints of small untrained models with a record of signal encoders."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg.common.config import Config
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import Meta, save_checkpoint
from avsgn_pyg.features.encoder import EncoderChoice, label_text, make_audio_encoder, make_frame_encoder
from avsgn_pyg.predictor.predictor import Predictor

WIDTH = 16
CATEGORIES = ("bell", "dog", "rain & wind")
PROMPTS = {"visual": "This photo contains the {}", "audio": "This sound contains the {}"}


_spec = importlib.util.spec_from_file_location("clip_maker", Path(__file__).parents[1] / "features" / "conftest.py")
clip_maker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(clip_maker)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A small clip by its length, whose colour and pitch change every second; each is made once."""
    folder = tmp_path_factory.mktemp("clips")

    def find(seconds: float, *, picture: bool = True, sound: bool = True) -> Path:
        path = folder / f"clip{seconds:g}{'' if picture else '-dark'}{'' if sound else '-silent'}.mp4"
        if not path.exists():
            clip_maker.make(path, seconds=seconds, frame_rate=5, size=(48, 32), layout="mono",
                            codecs=("mpeg4", "aac"), video=picture, audio=sound)
        return path

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
    model: dict[str, Any] | None = None, provenance: dict[str, Any] | None = None, seed: int = 0, rate: int = 1,
    **settings: Any,
) -> Path:
    """Write the checkpoint of an untrained model of the classes in `CATEGORIES`, which `categories` may rename."""
    size = {} if model and "name" in model else {"dim": 16}
    config = Config.model_validate({"model": {**size, **(model or {})}, "evaluate": {"tau": 0.5}, **settings})
    torch.manual_seed(1 + seed)
    built = zoo.build_model(
        config.model, zoo.Shape(WIDTH, WIDTH, 10 * rate, len(CATEGORIES), rate=rate),
        label_text(*signal_encoders(), CATEGORIES, PROMPTS), config.objective.supervision, config.events,
    )
    # Outputs of an untrained head hardly differ; larger weights make seconds differ.
    for parameter in built.head.parameters() if hasattr(built, "head") else ():
        if config.events is None or parameter.dim() > 1:  # a bias says how likely events are
            parameter.data.mul_(8)
    record = {"features": store_provenance() if features is None else features, "files": {}, **(provenance or {})}
    meta = Meta(categories=categories, audio_width=WIDTH, visual_width=WIDTH, segments=10 * rate, rate=rate,
                dataset="made", synthetic=False, provenance=record, epoch=1 + seed, step=7, seed=seed)
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
    return make_run("runs/scenes", checkpoint)


@pytest.fixture
def seeds(checkpoint: Callable[..., Path]) -> Path:
    """The folder of a finished run of the seeds 0 and 2."""
    folder, _ = (make_run(f"runs/several/seed-{seed}", checkpoint, seed=seed) for seed in (0, 2))
    return folder.parent


def make_run(name: str, checkpoint: Callable[..., Path], **options: Any) -> Path:
    folder = checkpoint(f"{name}/checkpoints/epoch-0001", **options)
    index = {"last": "epoch-0001", "selected": "epoch-0001", "finished": "epochs"}
    (folder.parent / "index.json").write_text(json.dumps(index))
    return folder.parents[1]


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Of the default checkpoint; do not change it."""
    return Predictor.from_checkpoint(write_checkpoint(tmp_path_factory.mktemp("model") / "epoch-0001"), device="cpu")
