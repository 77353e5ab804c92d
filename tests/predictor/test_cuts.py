"""A clip and a picture of every event."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media import probe, read_seconds
from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.predictor.cuts import write_cuts


@pytest.fixture
def cut(predictor, tmp_path: Path):
    """The names and infos of the cuts of events, each (first, last) second."""

    @contextmanager
    def place(name: str):
        yield tmp_path / name

    def run(clip: Path, *events: tuple[int, int]):
        prediction = predictor(clip)
        labels = torch.full((len(prediction),), len(prediction.categories))
        for first, last in events:
            labels[first : last + 1] = 0
        return write_cuts(replace(prediction, labels=labels), place, "c", Limits())

    return run


def colours(path: Path) -> list[list[int]]:
    return [second.frames[0].float().mean((0, 1)).round().int().tolist() for second in read_seconds(path)]


@pytest.mark.slow
@pytest.mark.parametrize("event", [(0, 2), (3, 6), (8, 9)])
def test_a_cut_has_the_seconds_of_its_event_copied_or_encoded(cut, clip, tmp_path: Path, event) -> None:
    path = clip(10)
    assert cut(path, event) == ["c.event-1.mp4", "c.event-1.jpg"]
    found, wanted = colours(tmp_path / "c.event-1.mp4"), colours(path)[event[0] : event[1] + 1]
    assert len(found) == len(wanted)
    assert torch.allclose(torch.tensor(found).float(), torch.tensor(wanted).float(), atol=12)
    info = probe(tmp_path / "c.event-1.mp4")
    assert info.has_video and info.has_audio and info.duration == pytest.approx(len(wanted), abs=0.3)
    heard = [float(second.samples.abs().max()) for second in read_seconds(tmp_path / "c.event-1.mp4")]
    assert min(heard) > 0.1


def test_a_cut_of_float_times_begins_within_a_second(predictor, clip, tmp_path: Path) -> None:
    @contextmanager
    def place(name: str):
        yield tmp_path / name

    prediction = replace(predictor(clip(10)), found=(Detection(0, 3.6, 5.8, 0.5),))
    assert write_cuts(prediction, place, "c", Limits())[0] == "c.event-1.mp4"
    info = probe(tmp_path / "c.event-1.mp4")
    assert info.duration == pytest.approx(2.2, abs=0.2)
    # Its pictures are 0.6 s earlier than those of the clip from 4 s on.
    shown = next(iter(read_seconds(tmp_path / "c.event-1.mp4", frames_per_segment=5))).frames[[0, 1, 2, 4]]
    whole = list(read_seconds(clip(10), start=3, count=2, frames_per_segment=5))
    wanted = [whole[0].frames[3], whole[0].frames[4], whole[1].frames[0], whole[1].frames[2]]
    for got, want in zip(shown, wanted, strict=True):
        assert torch.allclose(got.float().mean((0, 1)), want.float().mean((0, 1)), atol=12)


@pytest.mark.slow
def test_a_clip_without_picture_has_no_picture_of_its_event(cut, clip, tmp_path: Path) -> None:
    assert cut(clip(4, picture=False), (1, 2)) == ["c.event-1.mp4"]
    assert probe(tmp_path / "c.event-1.mp4").duration == pytest.approx(2, abs=0.1)
    names = cut(clip(4, sound=False), (0, 0), (2, 3))
    assert not any(probe(tmp_path / f"c.event-{number}.mp4").has_audio for number in (1, 2))
    assert names == ["c.event-1.mp4", "c.event-1.jpg", "c.event-2.mp4", "c.event-2.jpg"]
    assert Image.open(tmp_path / "c.event-2.jpg").size == (48, 32)
