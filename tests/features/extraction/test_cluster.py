"""A Ray cluster makes what one process makes; without Ray the error says what to install."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data.feature_store import read_store
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.extraction import cluster
from avsgn_pyg.features.extraction.cluster import gpus_of_actor
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.extract import run_extraction
from avsgn_pyg.features.extraction.read import Reader
from avsgn_pyg.features.signal import Shrink

HAS_RAY = importlib.util.find_spec("ray") is not None
SIGNAL = EncoderChoice("signal", {"width": 16})
HERE = ExtractionConfig(videos=Path("v"), out=Path("f.h5"), visual=SIGNAL, audio=SIGNAL, engine="ray", device="cpu",
                        segments=2, frames_per_segment=2, own_length=True, workers=0, progress=False)


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_error_says_what_to_install():
    with pytest.raises(ExtractionError, match=r"pip install .*ray\[data\].* --shard"):
        HERE.make_engine(*HERE.encoders())


def test_an_engine_without_actors_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda _: object())
    with pytest.raises(ExtractionError, match="actors=0"):
        replace(HERE, actors=0).make_engine(*HERE.encoders())


@pytest.mark.parametrize(("device", "gpus", "wanted"), [
    ("auto", 0, {}), ("auto", 2, {"num_gpus": 1}), ("cpu", 2, {}), ("cuda", 2, {"num_gpus": 1}),
])
def test_actors_take_the_gpus_of_the_cluster(device: str, gpus: int, wanted: dict[str, int]):
    assert gpus_of_actor(device, 2, {"CPU": 8.0, "GPU": float(gpus)}) == wanted
    with pytest.raises(ExtractionError, match="actors=3"):
        gpus_of_actor("cuda", 3, {"GPU": float(gpus)})


def test_encoders_on_the_machine_that_starts_a_cluster_are_on_the_cpu():
    assert replace(HERE, device="cuda").encoders()[0].device.type == "cpu"


def test_videos_and_their_failures_pass_through_the_rows_of_a_cluster(root: Path):
    plan = replace(HERE, videos=root / "videos").plan()
    decode, encode = cluster._Read(Reader(2, 2, Shrink(64), own_length=True)), cluster._Encode(
        (HERE.choice("visual"), HERE.choice("audio")), HERE.placement)
    rows = decode({"value": list(map(cluster.pickle.dumps, plan.videos))})
    results = dict(map(cluster.pickle.loads, encode(rows)["value"]))
    assert {key: getattr(result, "audio", None) is None for key, result in results.items()} == {
        "a": False, "b": False, "bad": True, "c": False, "short": False}
    assert results["short"].audio.shape == (1, 16)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="needs the extra: pip install -e .[cluster]")
def test_ray_makes_what_one_process_makes(root: Path):
    config = replace(HERE, videos=root / "videos")
    for engine in ("processes", "ray"):
        run_extraction(replace(config, engine=engine, out=root / f"{engine}.h5"))
    one, ray = read_store(root / "processes.h5"), read_store(root / "ray.h5")
    torch.testing.assert_close(one.audio, ray.audio, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.visual, ray.visual, rtol=0, atol=1e-6)
    assert (one.video_ids, one.provenance) == (ray.video_ids, ray.provenance)
    assert torch.equal(one.seconds, ray.seconds)
