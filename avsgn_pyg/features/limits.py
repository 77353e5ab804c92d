"""Limits for reading one media file that may be damaged or hostile; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one media file may cost; a file that exceeds a limit is refused with an error that names the limit.

    Attributes:
        pixels: most pixels of a picture, encoded or displayed; the default is 8192 x 8192.
        seconds: most seconds that are read; the default is a day.
        deadline: most seconds of time that the reader may take, checked between packets.
    """

    pixels: int = 8192 * 8192
    seconds: int = 24 * 60 * 60
    deadline: float | int = 3600

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"limit of {name}: must be greater than 0, got {value}")
