"""A pen that fills smooth shapes, in units that each thing chooses for itself; pictures are drawn large and reduced."""

from __future__ import annotations

import cmath
import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]  #: red, green, blue and, if transparent, alpha: 0 to 255
Number = float | int
Points = Sequence[tuple[Number, Number]] | np.ndarray  #: x and y of each point

_CIRCLE = np.exp(2j * np.pi * np.arange(36) / 36)
WHITE, BLACK = (255, 255, 255), (24, 24, 30)


def hsv(hue: Number, saturation: Number, value: Number) -> Colour:
    """Return a colour by hue (in turns; any number), saturation and value (0 to 1)."""
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def mix(first: Colour, second: Colour, share: Number) -> Colour:
    """Mix `share` of the second colour into the first; alpha is the first one's."""
    mixed = tuple(round(a + (b - a) * share) for a, b in zip(first[:3], second[:3], strict=True))
    return mixed + first[3:]


def dark(colour: Colour, share: Number = 0.3) -> Colour:
    return mix(colour, (20, 20, 45), share)


def light(colour: Colour, share: Number = 0.35) -> Colour:
    return mix(colour, (255, 250, 235), share)


def clear(colour: Colour, alpha: Number) -> Colour:
    """Return the colour with an alpha of 0 (invisible) to 1 (opaque)."""
    return (*colour[:3], round(255 * min(max(alpha, 0.0), 1.0)))


@dataclass(frozen=True)
class Pen:
    """Draws in its own units: x to the right, y up."""

    solid: ImageDraw.ImageDraw  #: draws opaque colours, much faster
    blend: ImageDraw.ImageDraw  #: draws colours with alpha, on the same picture
    origin: complex  #: pixel of (0, 0), as x + iy with y down
    unit: complex  #: pixels of one unit, turned by its angle
    side: int = 1  #: -1: x to the left
    haze: tuple[Colour, Number] = (WHITE, 0.0)  #: mixed into every colour, and its share

    @classmethod
    def on(cls, picture: Image.Image) -> Pen:
        """Return a pen whose (0, 0) is the picture's lower left corner and whose unit is the picture's height."""
        tall = picture.height
        return cls(ImageDraw.Draw(picture), ImageDraw.Draw(picture, "RGBA"), complex(0, tall), complex(tall))

    def at(self, x: Number, y: Number, size: Number = 1, turn: Number = 0) -> Pen:
        """Return a pen whose (0, 0) is here, `size` times as large, turned to the left by `turn` radians."""
        origin = self.origin + self.unit * complex(self.side * x, -y)
        return replace(self, origin=origin, unit=self.unit * size * cmath.exp(-1j * turn))

    def mirrored(self, side: int) -> Pen:
        """Return the same pen, its x to the left where `side` is -1."""
        return replace(self, side=side)

    def shape(self, points: Points, colour: Colour) -> None:
        """Draw a filled polygon."""
        self._fill(self._path(points), colour)

    def oval(self, x: Number, y: Number, across: Number, up: Number, colour: Colour, turn: Number = 0) -> None:
        """Draw a filled ellipse by its centre and half axes."""
        rim = (across * _CIRCLE.real - 1j * up * _CIRCLE.imag) * cmath.exp(-1j * self.side * turn)
        self._fill(self.origin + self.unit * complex(self.side * x, -y) + self.unit * rim, colour)

    def box(self, left: Number, low: Number, right: Number, high: Number, colour: Colour) -> None:
        self.shape([(left, low), (right, low), (right, high), (left, high)], colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """Draw a stroke with round joints and, from three pixels of width on, round ends."""
        path, thick = self._path(points), self._pixels(width)
        draw, colour = self._ink(colour)
        draw.line(_flat(path), fill=colour, width=thick, joint="curve" if thick > 4 else None)
        if thick > 2 and len(colour) == 3:
            for end in (path[0], path[-1]):
                draw.polygon(_flat(end + thick / 2 * _CIRCLE[::3]), fill=colour)

    def dashes(self, points: Points, step: tuple[Number, Number], width: float, colour: Colour) -> None:
        """Draw straight strokes, all by the same step, from every point."""
        starts, thick = self._path(points), self._pixels(width)
        draw, colour = self._ink(colour)
        for path in np.stack([starts, starts + self.unit * complex(step[0], -step[1])], axis=-1):
            draw.line(_flat(path), fill=colour, width=thick)

    def _path(self, points: Points) -> np.ndarray:
        table = np.asarray(points, dtype=np.float64)
        return self.origin + self.unit * (self.side * table[:, 0] - 1j * table[:, 1])

    def _pixels(self, width: float) -> int:
        return max(1, round(width * abs(self.unit)))

    def _fill(self, rim: np.ndarray, colour: Colour) -> None:
        draw, colour = self._ink(colour)
        draw.polygon(_flat(rim), fill=colour)

    def _ink(self, colour: Colour) -> tuple[ImageDraw.ImageDraw, Colour]:
        towards, share = self.haze
        return self.solid if len(colour) == 3 else self.blend, mix(colour, towards, share) if share else colour


def _flat(path: np.ndarray) -> list[float]:
    return np.ascontiguousarray(path, dtype=np.complex128).view(np.float64).tolist()
