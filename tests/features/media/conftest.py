"""Clips whose timestamps are moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest


@pytest.fixture
def moved(clip_file: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Make a clip, and add seconds to the times of its packets: `picture(time)` and `sound(time)`, in file order."""

    def write(suffix: str, *, picture: Callable = lambda time: 0, sound: Callable = lambda time: 0, **options) -> Path:
        path = tmp_path / f"moved{suffix}"
        with av.open(str(clip_file(suffix, **options))) as source, av.open(str(path), "w") as file:
            streams = {stream: file.add_stream_from_template(stream) for stream in source.streams}
            packets = [packet for packet in source.demux() if packet.size]
            for packet in packets:
                by = {"video": picture, "audio": sound}[packet.stream.type](float(packet.dts * packet.time_base))
                packet.pts, packet.dts = (time + round(by / packet.time_base) for time in (packet.pts, packet.dts))
            for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
                packet.stream = streams[packet.stream]
                file.mux(packet)
        return path

    return write
