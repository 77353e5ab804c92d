"""Shape checks in every test, seeds, and folders of real files, whose tests are skipped without them."""

from __future__ import annotations

import dataclasses
import errno
import functools
import inspect
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxtyping
import pytest
import torch

import avsgn_pyg  # noqa: F401  before PyG, most of whose import it defers

if TYPE_CHECKING:
    from avsgn_pyg.data.videos import Videos

ROOT = Path(__file__).resolve().parent.parent


def _checked_from_the_first_call(*, typechecker: Callable) -> Callable[[Any], Any]:
    """``jaxtyping.jaxtyped`` of functions that are called: to compile the checks of all takes as long as 500 tests."""
    check = jaxtyped(typechecker=typechecker)

    def decorate(target: Any) -> Any:
        if isinstance(target, type):
            if dataclasses.is_dataclass(target) and "__init__" in vars(target):
                target.__init__ = decorate(target.__init__)
            return target
        if not inspect.isfunction(target) or "<locals>" in target.__qualname__:
            return target

        @functools.wraps(target)
        def call(*given: Any, **named: Any) -> Any:
            if torch.compiler.is_compiling():
                return target(*given, **named)
            if not checked:
                checked.append(check(target))
            return checked[0](*given, **named)

        checked: list[Callable] = []
        return call

    return decorate


# Before any import of a module with shapes.
jaxtyped, jaxtyping.jaxtyped = jaxtyping.jaxtyped, _checked_from_the_first_call
jaxtyping.install_import_hook("avsgn_pyg", "beartype.beartype")


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background; tests send Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _real(folder: str) -> Path:
    """Return a folder of real files under $AVSGN_DATA, or under shared/data next to the checkout."""
    path = Path(os.environ.get("AVSGN_DATA", ROOT.parent / "shared" / "data")) / folder
    if not path.is_dir():
        pytest.skip(f"no folder {path}; set AVSGN_DATA to the folder of the real files")
    return path


@pytest.fixture(scope="session")
def ave_root() -> Path:
    """The public AVE annotation files."""
    return _real("ave")


@pytest.fixture(scope="session")
def ave_composite_root() -> Path:
    """AVE-Composite: AVE's annotations, other features (train and val rows)."""
    return _real("ave-composite")


@pytest.fixture(scope="session")
def llp_root() -> Path:
    """The real LLP csv files."""
    return _real("llp")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """real_data("ov-ave"): a folder of real files."""
    return _real


@pytest.fixture(scope="session")
def _no_locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a file system without locks is imitated by a library, which needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("no_locks") / "no_locks.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, ROOT / "tests" / "no_locks.c", "-ldl"], check=True)
    return library


@pytest.fixture
def without_locks(request: pytest.FixtureRequest, _no_locks: Path) -> dict[str, str]:
    """The environment of a process to which no file system gives locks; the error is ENOLCK, or the parameter."""
    found = getattr(errno, getattr(request, "param", "ENOLCK"))
    return {**os.environ, "LD_PRELOAD": str(_no_locks), "NO_LOCKS": str(found)}


@pytest.fixture(scope="session")
def tiny_yaml() -> str:
    """The YAML of a run of a second."""
    return """
name: tiny
data: {kind: synthetic, synthetic: {videos: 40, classes: 3, width: 16}}
model: {dim: 16}
train: {epochs: 2, batch_size: 8, device: cpu, threads: 1}
evaluate: {bootstrap: 50}
"""


@pytest.fixture(scope="session")
def make_videos() -> Callable[..., Videos]:
    """Videos of 3 classes and 4 seconds, whose class and event can be read off the features, 6 wide."""
    from avsgn_pyg.data.videos import Videos

    def make(count: int = 24, seed: int = 0) -> Videos:
        draw = torch.Generator().manual_seed(seed)
        category = torch.arange(count) % 3
        relevance = (torch.rand(count, 4, generator=draw) < 0.6).float()
        relevance[:, 0] = 1.0
        audio, visual = (torch.randn(count, 4, 6, generator=draw) for _ in range(2))
        audio[..., :3] += 2.0 * torch.nn.functional.one_hot(category, 3)[:, None]
        visual[..., -1] += 2.0 * relevance
        names = tuple(f"v{number}" for number in range(count))
        return Videos(audio, visual, category, relevance, torch.arange(count) + 100, names, 4)

    return make


@pytest.fixture(scope="session")
def dense_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 videos of 6 to 12 s, 2 features a second, events of 3 classes: annotations.json and features.h5."""
    from torch.nn.utils.rnn import pad_sequence

    from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, write_annotations
    from avsgn_pyg.data.feature_store import Features, LabelText, write_store

    root, draw = tmp_path_factory.mktemp("dense"), torch.Generator().manual_seed(0)
    names, directions = ("bell", "dog", "saw"), torch.eye(8)[:3]
    videos, streams = [], []
    for number in range(64):
        seconds = 6 + number % 7
        features = 0.1 * torch.randn(2 * seconds, 8, generator=draw)
        events = []
        for label in torch.randperm(3, generator=draw)[: 1 + number % 2].tolist():
            start, length = torch.rand(2, generator=draw).mul(seconds / 2).tolist()
            end = start + max(length, 1.5)
            events.append(TimedEvent(names[label], start, end))
            time = torch.arange(2 * seconds) / 2
            features[(time + 0.25 > start) & (time + 0.25 < end)] += directions[label]
        split = ("train", "train", "val", "test")[number % 4]
        videos.append(AnnotatedVideo(f"v{number}", float(seconds), split, tuple(events)))
        streams.append(features)
    block, lengths = pad_sequence(streams, batch_first=True), torch.tensor([len(rows) for rows in streams])
    write_annotations(root / "annotations.json", videos)
    write_store(root / "features.h5", Features(
        block, block.clone(), tuple(video.video_id for video in videos), categories=names, lengths=lengths,
        label_text=LabelText(directions, directions), provenance={"extraction": {"segment_seconds": 0.5}}))
    return root


@pytest.fixture
def interrupt_training(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object], int], None]:
    """Train, and expect a Ctrl-C as the journal record of an epoch is written."""
    from avsgn_pyg.engine import trainer

    def interrupt(train: Callable[[], object], epoch: int) -> None:
        add = trainer.add_record

        def stop(path: Path, record: dict) -> None:
            if record["epoch"] == epoch:
                raise KeyboardInterrupt
            add(path, record)

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "add_record", stop)
            with pytest.raises(KeyboardInterrupt):
                train()

    return interrupt


@pytest.fixture
def videos(make_videos: Callable[..., Videos]) -> Videos:
    return make_videos()


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """The same random numbers for every test, and as many threads after it as before, whatever its run sets."""
    torch.manual_seed(0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
