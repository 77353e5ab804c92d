"""A Ray cluster makes what one process makes; without Ray the error says what to install."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg.data.feature_store import read_store
from avsgn_pyg.features.encoder import EncoderChoice
from avsgn_pyg.features.extraction.extract import extract
from avsgn_pyg.features.extraction.jobs import ExtractionError, plan_folder
from avsgn_pyg.features.signal import SignalAudio, SignalFrames

HAS_RAY = importlib.util.find_spec("ray") is not None
CHOICE = EncoderChoice("signal", {"width": 16})


def engine():
    from avsgn_pyg.features.extraction.cluster import RayEngine

    return RayEngine(CHOICE, CHOICE, SignalFrames(width=16).preparation, segments=2, frames_per_segment=2, device="cpu")


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_error_says_what_to_install():
    with pytest.raises(ExtractionError, match=r'pip install "ray\[data\]>=2\.40" "pyarrow<26", or .* --shard'):
        engine()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="needs the extra: pip install -e .[cluster]")
def test_ray_makes_what_one_process_makes(tmp_path: Path, make_clip: Callable[..., Path]):
    (tmp_path / "videos").mkdir()
    for number in range(4):
        make_clip(tmp_path / "videos" / f"{number}.mp4", seconds=2.0, size=(64, 48), audio_to=2.0 - number / 2)
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"nothing")
    plan, encoders = plan_folder(tmp_path / "videos"), (SignalFrames(width=16), SignalAudio(width=16))
    settings = {"segments": 2, "frames_per_segment": 2, "workers": 0, "progress": False}
    extract(plan, tmp_path / "one.h5", *encoders, **settings)
    extract(plan, tmp_path / "ray.h5", *encoders, **settings, engine=engine())
    one, ray = read_store(tmp_path / "one.h5"), read_store(tmp_path / "ray.h5")
    torch.testing.assert_close(one.audio, ray.audio, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.visual, ray.visual, rtol=0, atol=1e-6)
    assert (one.video_ids, one.provenance) == (ray.video_ids, ray.provenance)
