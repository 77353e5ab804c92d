"""A Ray cluster makes what one process makes; without Ray the error says what to install."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from avsgn_pyg.data.feature_store import read_store
from avsgn_pyg.features.encoder import EncoderChoice
from avsgn_pyg.features.extraction.extract import extract
from avsgn_pyg.features.extraction.jobs import ExtractionError, plan_folder
from avsgn_pyg.features.extraction.order import Order
from avsgn_pyg.features.signal import SignalAudio, SignalFrames

HAS_RAY = importlib.util.find_spec("ray") is not None
CHOICE = EncoderChoice("signal", {"width": 16})


def engine(device: str = "cpu", **more: int):
    from avsgn_pyg.features.extraction.cluster import RayEngine

    shape = {"segments": 2, "frames_per_segment": 2}
    return RayEngine(CHOICE, CHOICE, SignalFrames(width=16).preparation, **shape, device=device, **more)


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_error_says_what_to_install():
    with pytest.raises(ExtractionError, match=r'pip install "ray\[data\]>=2\.40" "pyarrow<26", or .* --shard'):
        engine()


class Rows(list):
    """Ray Data on no cluster: what is mapped is called here, by rows and by batches of one."""

    def map(self, read: Callable, **_: object) -> Rows:
        return Rows(map(read, self))

    def map_batches(self, encode: type, *, fn_constructor_args: tuple, **asked: object) -> Rows:
        asked.pop("batch_size")
        ASKED.append(asked)
        one = encode(*fn_constructor_args)
        found = (one({key: [value] for key, value in row.items()}) for row in self)
        return Rows({key: value[0] for key, value in row.items()} for row in found)

    def iter_rows(self) -> Rows:
        return self


ASKED: list[dict[str, object]] = []


@pytest.fixture
def stand_in_ray(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Calls that end in Ray end here, on a cluster of so many GPUs."""

    def cluster(gpus: int) -> None:
        fake = ModuleType("ray")
        fake.__spec__ = importlib.machinery.ModuleSpec("ray", None)
        fake.is_initialized, fake.cluster_resources = lambda: True, lambda: {"CPU": 8.0, "GPU": float(gpus)}
        fake.data = SimpleNamespace(from_items=Rows)
        monkeypatch.setitem(sys.modules, "ray", fake)
        ASKED.clear()

    return cluster


@pytest.mark.parametrize(("device", "gpus", "asked"), [
    ("auto", 0, {"concurrency": 2}), ("auto", 2, {"concurrency": 2, "num_gpus": 1}),
    ("cpu", 2, {"concurrency": 2}), ("cuda", 2, {"concurrency": 2, "num_gpus": 1}),
])
def test_actors_take_the_gpus_of_the_cluster_and_not_of_this_machine(
    stand_in_ray: Callable, device: str, gpus: int, asked: dict[str, object]
):
    stand_in_ray(gpus)
    assert {"concurrency": 2, **engine(device=device, actors=2)._gpus({"GPU": float(gpus)})} == asked
    list(engine(device="cpu", actors=2).run([]))
    assert ASKED == [{"concurrency": 2}]


def test_more_actors_than_gpus_and_no_actor_are_refused(stand_in_ray: Callable):
    stand_in_ray(1)
    with pytest.raises(ExtractionError, match="actors=2: each takes a GPU, the cluster has 1"):
        engine(device="auto", actors=2)._gpus({"GPU": 1.0})
    with pytest.raises(ExtractionError, match="actors=0"):
        engine(actors=0)


def test_rows_and_their_failures_pass_through_a_cluster(
    stand_in_ray: Callable, tmp_path: Path, make_clip: Callable[..., Path]
):
    stand_in_ray(0)
    make_clip(tmp_path / "a.mp4", seconds=2.0, size=(64, 48))
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    plan = plan_folder(tmp_path)
    (tmp_path / "gone.mp4").touch()
    gone = plan_folder(tmp_path).videos[-1]
    gone.path.unlink()
    outcomes = list(engine().run([*plan.videos, gone]))
    assert [list(outcome.finished) for outcome in outcomes] == [["a"], [], []]
    assert [(each.id, each.passing) for outcome in outcomes for each in outcome.failed] == [
        ("bad", False), ("gone", True)]


@pytest.mark.parametrize(("precision", "device"), [("bf16", "cpu"), ("fp16", "cuda")])
def test_the_encoders_that_only_describe_a_cluster_stay_on_the_cpu(precision: str, device: str):
    made = Order(videos=Path("v"), out=Path("f.h5"), engine="ray", device="cuda", precision=precision)
    assert made.describing()["device"] == device


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
