"""The scenery: sky, sun, drifting clouds, hills, trees, and moving things that belong to no class."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from avsgn_pyg.scenes.pen import BLACK, WHITE, Colour, Pen, clear, dark, hsv, light, mix

HOURS = {  # sky above, sky at the horizon, sun or moon, light on the land
    "morning": ((122, 172, 222), (255, 226, 196), (255, 240, 200), (1.0, 0.97, 0.92)),
    "noon": ((74, 148, 220), (196, 226, 242), (255, 250, 220), (1.0, 1.0, 1.0)),
    "overcast": ((142, 156, 172), (206, 212, 216), (225, 228, 230), (0.86, 0.9, 0.93)),
    "sunset": ((92, 84, 150), (255, 168, 112), (255, 206, 130), (1.0, 0.82, 0.74)),
    "dusk": ((44, 52, 104), (176, 122, 150), (240, 214, 200), (0.66, 0.62, 0.8)),
    "night": ((16, 22, 52), (52, 70, 112), (238, 238, 214), (0.42, 0.48, 0.7)),
}
LANDS = (0.27, 0.33, 0.20, 0.12, 0.09, 0.55, 0.42)  #: hues of the ground: meadow, wood, hay, sand, clay, snow, moor
HORIZON = 0.42  #: height of the far hills, as a share of the frame's


class Scenery:
    """One clip's random world for frames of this drawing size; lengths in frame heights."""

    def __init__(self, draw: np.random.Generator, width: int, height: int) -> None:
        above, self.horizon, sun, lamp = HOURS[str(draw.choice(list(HOURS)))]
        hue, ground = float(draw.choice(LANDS)), draw.uniform(0.25, 0.6)
        tall = HORIZON - 0.06 * draw.random()
        self.hills = []  # colour, height and waves, from far to near
        for depth, share in enumerate((0.75, 0.5, 0.25, 0.0)):
            colour = hsv(hue + 0.02 * draw.normal(), ground, 0.5 + 0.22 * draw.random())
            colour = tuple(round(part * by) for part, by in zip(colour, lamp, strict=True))
            waves = _waves(draw, 0.045 - 0.008 * depth)
            self.hills.append((mix(colour, self.horizon, share), tall - 0.075 * depth, waves))
        passers = draw.choice(list(PASSERS), size=int(draw.integers(1, 4)), replace=False).tolist()
        self.sky = _sky(draw, (height, width), above, self.horizon, sun)
        cloud = mix(WHITE, self.horizon, 0.25 if sum(above) > 250 else 0.8)
        self.clouds = [_cloud(draw, height, cloud) for _ in range(4)]
        self.leaf = mix(dark(self.hills[2][0], 0.35), self.horizon, 0.1)
        self.trees = np.array([draw.uniform((0, 0.04), (1.33, 0.11)) for _ in range(draw.integers(3, 12))])  # x, size
        self.passers = [  # kind, x, y, speed, size, hue
            (kind, draw.uniform(0, 1.3), draw.uniform(*HEIGHTS[kind]), float(draw.choice([-1, 1])) * speed,
             draw.uniform(0.7, 1.3), draw.random())
            for kind, speed in zip(passers, draw.uniform(0.02, 0.09, len(passers)), strict=True)
        ]
        self.sway = (draw.uniform(0.0, 0.05), draw.uniform(0.03, 0.08), draw.random())  # how far, how fast, phase
        self.fog = (draw.choice([0.1, 0.25, 0.45]), draw.uniform(0.03, 0.15), draw.random())  # how much, fast, phase
        self.exposure = draw.uniform(0.78, 1.05)
        self.grain = draw.uniform(1.5, 6.0)  # spread of the noise, in 0 to 255

    def shift(self, now: float) -> float:
        """Return how far the nearest ground has moved to the right at this time, in frame heights."""
        far, fast, phase = self.sway
        return float(far * np.sin(2 * np.pi * (fast * now + phase)))

    def veil(self, now: float) -> float:
        """Return the share of the horizon's colour over the whole picture at this time."""
        much, fast, phase = self.fog
        return float(much * (0.5 + 0.5 * np.sin(2 * np.pi * (fast * now + phase))) ** 2)

    def paint(self, frame: Image.Image, stage: Pen, now: float) -> None:
        """Draw everything behind the actors onto a copy of the sky; the stage's unit is the frame's height."""
        width = frame.width / frame.height
        for picture, x, y, speed in self.clouds:
            left = (x + speed * now) % (width + 1.0) - 0.8
            frame.paste(picture, (round(left * frame.height), round((1 - y) * frame.height)), picture)
        across = np.linspace(0, width, 48)
        for depth, (colour, height, waves) in enumerate(self.hills):
            move = self.shift(now) * (depth + 1) / len(self.hills)
            ridge = height + _ridge(across - move, waves)
            stage.shape(np.column_stack([[*across, width, 0], [*ridge, -0.1, -0.1]]), colour)
            if depth == len(self.hills) - 2:
                for (x, size), y in zip(self.trees, height + _ridge(self.trees[:, 0], waves), strict=True):
                    _tree(stage.at(x + move, y - 0.01, size), self.leaf)
        for kind, x, y, speed, size, hue in self.passers:
            place = (x + speed * now) % (width + 0.4) - 0.2
            PASSERS[kind](stage.at(place, y, size), now, hue)


def _sky(draw: np.random.Generator, size: tuple[int, int], above: Colour, horizon: Colour, sun: Colour) -> Image.Image:
    """Draw a gradient with a glowing disc and, in the dark, stars."""
    height, width = size
    share = np.clip(np.linspace(0, 1 / (1 - HORIZON), height), 0, 1)[:, None, None]
    plane = np.array(above) * (1 - share) + np.array(horizon) * share
    rows, columns = np.mgrid[:height, :width] / height
    away = np.hypot(columns - draw.uniform(0.1, 1.2), rows - draw.uniform(0.08, 0.4))[..., None]
    disc = np.clip((draw.uniform(0.035, 0.06) - away) * height / 3, 0, 1)
    glow = np.clip(0.5 * np.exp(-away / 0.11) + disc, 0, 1)
    sky = Image.fromarray((plane * (1 - glow) + np.array(sun) * glow).astype(np.uint8))
    if sum(above) < 250:
        pen = ImageDraw.Draw(sky)
        for x, y, size in draw.random((40, 3)) * (width, height / 2, 3):
            pen.ellipse((x, y, x + size, y + size), fill=light(above, 0.75))
    return sky


def _cloud(draw: np.random.Generator, height: int, colour: Colour) -> tuple[Image.Image, float, float, float]:
    """Draw a soft heap of discs, flat below."""
    long, tall = round(height * draw.uniform(0.45, 0.8)), round(height * 0.22)
    alpha = Image.new("L", (long, tall))
    pen = ImageDraw.Draw(alpha)
    for place in np.linspace(0.3, 0.7, 6):
        radius = tall * draw.uniform(0.2, 0.33) * (1.2 - 2.2 * abs(place - 0.5))
        left, low = place * long - 1.4 * radius, 0.8 * tall - 0.1 * radius
        pen.ellipse((left, low - 2 * radius, left + 2.8 * radius, low), fill=215)
    alpha = alpha.filter(ImageFilter.GaussianBlur(height / 90))
    picture = Image.new("RGBA", alpha.size, colour)
    picture.putalpha(alpha)
    return picture, draw.uniform(0, 2), draw.uniform(0.66, 1.0), draw.uniform(0.008, 0.04)


def _waves(draw: np.random.Generator, height: float) -> np.ndarray:
    """Return [3, 4] height, frequency and phase of a ridge's waves."""
    frequency = np.array([0.5, 1.1, 2.3, 4.1]) * draw.uniform(0.8, 1.2, 4)
    return np.stack([height * draw.uniform(0.4, 1, 4) / (1 + frequency), frequency, draw.random(4)])


def _ridge(across: np.ndarray, waves: np.ndarray) -> np.ndarray:
    height, frequency, phase = waves
    return (height * np.sin(2 * np.pi * (across[..., None] * frequency + phase))).sum(-1)


def _tree(pen: Pen, leaf: Colour) -> None:
    pen.box(-0.06, 0, 0.06, 0.3, dark(leaf, 0.4))
    for low, wide in ((0.2, 0.34), (0.45, 0.27), (0.68, 0.19)):
        pen.shape([(-wide, low), (wide, low), (0, low + 0.42)], leaf)
        pen.shape([(0, low), (wide, low), (0, low + 0.42)], dark(leaf, 0.14))


def _balloon(pen: Pen, now: float, hue: float) -> None:
    pen = pen.at(0, 0.01 * np.sin(now), 0.17)
    for number, share in enumerate((1.0, 0.62, 0.24)):
        pen.oval(0, 0.62, 0.38 * share, 0.42, hsv(hue + 0.5 * (number % 2), 0.55, 0.9))
    for side in (-1, 1):
        pen.line([(side * 0.22, 0.3), (side * 0.09, 0.04)], 0.02, BLACK)
    pen.box(-0.1, -0.1, 0.1, 0.05, (142, 98, 60))


def _kite(pen: Pen, now: float, hue: float) -> None:
    pen = pen.at(0, 0.03 * np.sin(1.7 * now), 0.12, 0.3 * np.sin(1.1 * now))
    pen.shape([(0, 0.6), (0.36, 0.1), (0, -0.5), (-0.36, 0.1)], hsv(hue, 0.6, 0.95))
    pen.shape([(0, 0.6), (0.36, 0.1), (0, -0.5)], hsv(hue, 0.7, 0.75))
    tail = np.linspace(0, 1, 12)
    pen.line(np.column_stack([0.15 * tail * np.sin(9 * tail - 4 * now), -0.5 - tail]), 0.03, hsv(hue + 0.4, 0.5, 0.9))


def _leaves(pen: Pen, now: float, hue: float) -> None:
    for number in range(7):
        x, y = 0.17 * number - 0.6, 0.16 * np.sin(1.3 * now + 2.1 * number) - 0.02 * number
        leaf = pen.at(x, y, 0.02, 2.0 * now + number)
        leaf.oval(0, 0, 1.0, 0.42, hsv(0.05 + 0.15 * hue + 0.02 * number, 0.7, 0.8))


def _windmill(pen: Pen, now: float, hue: float) -> None:
    pen = pen.at(0, 0, 0.24)
    wall = hsv(hue, 0.18, 0.85)
    pen.shape([(-0.2, 0), (0.2, 0), (0.12, 0.6), (-0.12, 0.6)], wall)
    pen.shape([(0.04, 0), (0.2, 0), (0.12, 0.6), (0.04, 0.6)], dark(wall, 0.2))
    pen.shape([(-0.15, 0.6), (0.15, 0.6), (0, 0.78)], hsv(hue, 0.5, 0.5))
    for blade in range(4):
        sail = pen.at(0, 0.62, 1.0, 0.9 * now + blade * np.pi / 2)
        sail.line([(0, 0), (0, 0.52)], 0.025, (90, 70, 60))
        sail.shape([(0.01, 0.12), (0.12, 0.12), (0.12, 0.5), (0.01, 0.5)], clear(WHITE, 0.85))


PASSERS = {"balloon": _balloon, "kite": _kite, "leaves": _leaves, "windmill": _windmill}
HEIGHTS = {"balloon": (0.62, 0.8), "kite": (0.6, 0.85), "leaves": (0.3, 0.6), "windmill": (0.2, 0.3)}
