"""The three timings are of the same videos, and the ratios are taken within rounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.features.extraction.jobs import ExtractionError, plan_folder
from avsgn_pyg.features.extraction.throughput import Throughput, Timing, measure
from avsgn_pyg.features.signal import SignalAudio, SignalFrames


def test_ratios_are_medians_of_rounds():
    found = Throughput(
        10, Timing([1.0, 9.0, 1.0], [1.0, 1.0, 1.0]), Timing([2.0, 2.0, 2.0], [3.0, 3.0, 3.0]),
        Timing([2.5, 10.0, 4.0], [4.0, 5.0, 4.4]),
    )
    assert found.ratio == pytest.approx(0.8) and found.overhead == pytest.approx(1.1)
    assert "extraction / slower half: 0.80" in found.table() and "decoding        1.00      10.00" in found.table()


def test_a_measurement_times_all_three_in_every_round(tmp_path: Path, make_clip: Callable[..., Path]):
    for number in range(3):
        make_clip(tmp_path / f"{number}.mp4", seconds=2.0, size=(64, 48))
    ticks: list[int] = []
    encoders = SignalFrames(width=16), SignalAudio(width=16)
    settings = {"segments": 2, "workers": 0, "rounds": 2}
    found = measure(plan_folder(tmp_path), *encoders, **settings, tick=lambda: ticks.append(1))
    assert len(ticks) == 6 and found.videos == 3
    for timing in (found.decoding, found.encoding, found.extraction):
        assert len(timing.wall) == 2 and min(timing.wall) > 0 and min(timing.cpu) > 0
    assert sum(found.extraction.cpu) > sum(found.decoding.cpu)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    with pytest.raises(ExtractionError, match="bad: not a media file"):
        measure(plan_folder(tmp_path), *encoders, **settings)
