"""A pen for smooth flat pictures: shapes in a thing's own units, drawn large and reduced."""

from __future__ import annotations

import cmath
import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]  #: red, green, blue and, where it lets through what is behind, alpha: 0 to 255
Number = float | int
Point = tuple[Number, Number]

_CIRCLE = np.exp(2j * np.pi * np.arange(36) / 36)
WHITE, BLACK = (255, 255, 255), (24, 24, 30)


def hsv(hue: Number, saturation: Number, value: Number) -> Colour:
    """A colour by hue (in turns; any number), saturation and value (0 to 1)."""
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def mix(first: Colour, second: Colour, share: Number) -> Colour:
    """`share` of the second colour in the first; alpha is the first one's."""
    mixed = tuple(round(a + (b - a) * share) for a, b in zip(first[:3], second[:3], strict=True))
    return mixed + first[3:]


def dark(colour: Colour, share: Number = 0.3) -> Colour:
    return mix(colour, (20, 20, 45), share)


def light(colour: Colour, share: Number = 0.35) -> Colour:
    return mix(colour, (255, 250, 235), share)


def clear(colour: Colour, alpha: Number) -> Colour:
    """The colour, letting through what is behind (`alpha` 0: all of it, 1: nothing)."""
    return (*colour[:3], round(255 * min(max(alpha, 0.0), 1.0)))


@dataclass(frozen=True)
class Pen:
    """Draws in units of its own: x to the right, y up.

    Attributes:
        solid: draws colours without alpha; much the quicker one.
        blend: draws colours with alpha, on the same picture.
        origin: pixel of (0, 0), as x + iy with y down.
        unit: pixels of one unit, turned by its angle.
        haze: the colour that distance lends everything, and how much of it.
    """

    solid: ImageDraw.ImageDraw
    blend: ImageDraw.ImageDraw
    origin: complex
    unit: complex
    haze: tuple[Colour, Number] = (WHITE, 0.0)

    @classmethod
    def on(cls, picture: Image.Image) -> Pen:
        """A pen whose (0, 0) is the picture's lower left corner and whose unit is the picture's height."""
        tall = picture.height
        return cls(ImageDraw.Draw(picture), ImageDraw.Draw(picture, "RGBA"), complex(0, tall), complex(tall))

    def at(self, x: Number, y: Number, size: Number = 1, turn: Number = 0) -> Pen:
        """A pen whose (0, 0) is here, `size` times as large, turned to the left by `turn` radians."""
        return replace(self, origin=self._place(x, y), unit=self.unit * size * cmath.exp(-1j * turn))

    def shape(self, points: Sequence[Point] | np.ndarray, colour: Colour) -> None:
        """A filled polygon."""
        table = np.asarray(points, dtype=np.float64)
        self._fill(self.origin + self.unit * (table[:, 0] - 1j * table[:, 1]), colour)

    def oval(self, x: Number, y: Number, across: Number, up: Number, colour: Colour, turn: Number = 0) -> None:
        """A filled ellipse by its centre and half axes."""
        rim = (across * _CIRCLE.real - 1j * up * _CIRCLE.imag) * cmath.exp(-1j * turn)
        self._fill(self._place(x, y) + self.unit * rim, colour)

    def box(self, left: Number, low: Number, right: Number, high: Number, colour: Colour) -> None:
        self.shape([(left, low), (right, low), (right, high), (left, high)], colour)

    def line(self, points: Sequence[Point] | np.ndarray, width: float, colour: Colour) -> None:
        """A stroke with round joints and, from three pixels of width on, round ends."""
        table = np.asarray(points, dtype=np.float64)
        path = self.origin + self.unit * (table[:, 0] - 1j * table[:, 1])
        thick = max(1, round(width * abs(self.unit)))
        draw, colour = self._ink(colour)
        draw.line(_flat(path), fill=colour, width=thick, joint="curve" if thick > 4 else None)
        if thick > 2 and len(colour) == 3:
            for end in (path[0], path[-1]):
                draw.polygon(_flat(end + thick / 2 * _CIRCLE[::3]), fill=colour)

    def dashes(self, x: np.ndarray, y: np.ndarray, step: Point, width: float, colour: Colour) -> None:
        """Straight strokes, all by the same step, from every one of these points."""
        starts = self.origin + self.unit * (x - 1j * y)
        draw, colour = self._ink(colour)
        thick = max(1, round(width * abs(self.unit)))
        for path in np.stack([starts, starts + self.unit * complex(step[0], -step[1])], axis=-1):
            draw.line(_flat(path), fill=colour, width=thick)

    def _place(self, x: Number, y: Number) -> complex:
        return self.origin + self.unit * complex(x, -y)

    def _fill(self, rim: np.ndarray, colour: Colour) -> None:
        draw, colour = self._ink(colour)
        draw.polygon(_flat(rim), fill=colour)

    def _ink(self, colour: Colour) -> tuple[ImageDraw.ImageDraw, Colour]:
        towards, share = self.haze
        return self.solid if len(colour) == 3 else self.blend, mix(colour, towards, share) if share else colour


def _flat(path: np.ndarray) -> list[float]:
    return np.ascontiguousarray(path, dtype=np.complex128).view(np.float64).tolist()
