"""The things that sound, drawn: Siren and Tractor, and Rain and Sea, which fill the stage.

Like `things`, but Rain and Sea take a pen whose unit is the frame's height and whose (0, 0) is its lower left corner,
and also `share`, how much of them has come: 0 none, 1 all.
"""

from __future__ import annotations

import numpy as np

from avsgn_pyg.scenes.pen import BLACK, WHITE, Pen, clear, dark, hsv, light, mix
from avsgn_pyg.scenes.rhythm import firing_rate, siren_period
from avsgn_pyg.scenes.script import Actor
from avsgn_pyg.scenes.things import puffs, shadow


def siren(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """An ambulance, police van or fire van whose light turns."""
    traits = actor.traits
    coat = ((240, 240, 236), (206, 48, 44), (226, 206, 70), (236, 238, 244))[int(4 * traits[0])]
    stripe = ((210, 60, 50), (245, 240, 225), (40, 90, 180), (60, 80, 190))[int(4 * traits[0])]
    lamp = hsv(0.6 + 0.04 * traits[1], 0.85, 1.0) if traits[2] < 0.7 else hsv(0.0, 0.85, 1.0)
    side = 1 if traits[6] < 0.5 else -1
    shadow(pen, 0.85)
    van = pen.at(0, 0.004 * np.sin(17 * now) * loud)

    def shape(points: list[tuple[float, float]], colour: tuple[int, ...]) -> None:
        van.shape([(side * x, y) for x, y in points], colour)

    shape([(-0.8, 0.13), (0.8, 0.13), (0.8, 0.4), (0.58, 0.46), (0.42, 0.78), (-0.8, 0.78)], coat)
    shape([(-0.8, 0.13), (0.8, 0.13), (0.8, 0.2), (-0.8, 0.2)], dark(coat, 0.3))
    shape([(-0.8, 0.3), (0.8, 0.3), (0.8, 0.4), (-0.8, 0.4)], stripe)
    shape([(0.18, 0.46), (0.52, 0.46), (0.38, 0.71), (0.18, 0.71)], (110, 150, 180))
    shape([(0.18, 0.6), (0.44, 0.6), (0.38, 0.71), (0.18, 0.71)], (170, 205, 225))
    shape([(-0.62, 0.52), (-0.1, 0.52), (-0.1, 0.71), (-0.62, 0.71)], mix(coat, (120, 150, 175), 0.5 + 0.5 * traits[3]))
    shape([(0.74, 0.3), (0.82, 0.3), (0.82, 0.39), (0.74, 0.39)], (255, 244, 190))
    shape([(-0.7, 0.78), (0.36, 0.78), (0.36, 0.81), (-0.7, 0.81)], dark(coat, 0.2))
    for x in (-0.48, 0.5):
        wheel = van.at(side * x, 0.13, 0.15)
        wheel.oval(0, 0, 1, 1, BLACK)
        wheel.oval(0, 0, 0.55, 0.55, (170, 172, 178))
        wheel.oval(0, 0, 0.2, 0.2, (90, 92, 98))
    turn = 2 * np.pi * now / siren_period(actor)
    for place, phase in ((-0.16, 0.0), (0.1, np.pi)):
        bright = max(0.0, float(np.sin(turn + phase))) ** 0.5
        top = van.at(side * place, 0.81)
        for radius in (0.6, 0.52, 0.44, 0.36, 0.28, 0.2, 0.14) if bright else ():
            top.oval(0, 0.06, radius, radius, clear(lamp, 0.09 * bright))
        glass = mix(dark(lamp, 0.45), light(lamp, 0.5), bright)
        top.shape([(-0.07, 0), (0.07, 0), (0.055, 0.12), (-0.055, 0.12)], glass)


def tractor(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """A tractor; it shakes and smokes, and its wheels turn."""
    traits = actor.traits
    coat = hsv((0.02, 0.05, 0.33, 0.08)[int(4 * traits[0])], 0.7, 0.5 + 0.25 * traits[1])
    rim = hsv(0.13 * traits[2], 0.8, 0.92)
    side = 1 if traits[6] < 0.5 else -1
    shadow(pen, 0.7)
    body = pen.at(0, 0.012 * loud * np.sin(2 * np.pi * firing_rate(actor) * now), 1.0, 0.006 * loud * np.sin(40 * now))

    def shape(points: list[tuple[float, float]], colour: tuple[int, ...]) -> None:
        body.shape([(side * x, y) for x, y in points], colour)

    shape([(0.4, 0.6), (0.46, 0.6), (0.46, 0.98), (0.4, 0.98)], (60, 60, 66))
    if loud > 0:
        puffs(body.at(side * 0.43, 1.0, loud), 1.4 * now, (72, 70, 76), 0.5, -side * 0.45)
    shape([(-0.42, 0.4), (-0.34, 1.0), (0.02, 1.0), (0.1, 0.62), (0.1, 0.4)], clear((190, 220, 235), 0.6))
    for foot, head in ((-0.42, -0.34), (0.1, 0.02)):
        post = [(foot - 0.025, 0.4), (foot + 0.025, 0.4), (head + 0.025, 1.0), (head - 0.025, 1.0)]
        shape(post, dark(coat, 0.4))
    shape([(-0.42, 0.98), (0.1, 0.98), (0.08, 1.06), (-0.4, 1.06)], light(coat, 0.15))
    shape([(-0.5, 0.3), (0.72, 0.24), (0.72, 0.6), (0.64, 0.66), (0.06, 0.66), (0.02, 0.5), (-0.5, 0.56)], coat)
    shape([(-0.5, 0.3), (0.72, 0.24), (0.72, 0.36), (-0.5, 0.4)], dark(coat, 0.3))
    shape([(0.1, 0.6), (0.62, 0.6), (0.62, 0.64), (0.1, 0.64)], light(coat, 0.4))
    for x in (0.5, 0.55, 0.6, 0.65):
        shape([(x, 0.4), (x + 0.025, 0.4), (x + 0.025, 0.57), (x, 0.57)], dark(coat, 0.5))
    for x, radius in ((-0.34, 0.33), (0.52, 0.21)):
        wheel = pen.at(side * x, radius, radius, -side * loud * 2.2 * now)
        wheel.oval(0, 0, 1, 1, BLACK)
        for lug in np.arange(10) * np.pi / 5:
            wheel.at(0, 0, 1, lug).box(0.93, -0.09, 1.06, 0.09, BLACK)
        wheel.oval(0, 0, 0.6, 0.6, rim)
        wheel.oval(0, 0, 0.6, 0.6, clear(dark(rim, 0.5), 0.25))
        for spoke in np.arange(5) * 2 * np.pi / 5:
            wheel.at(0, 0, 1, spoke).oval(0.38, 0, 0.11, 0.11, dark(rim, 0.55))
        wheel.oval(0, 0, 0.18, 0.18, dark(rim, 0.35))


def rain(pen: Pen, actor: Actor, now: float, share: float) -> None:
    """A dark cloud with slanting rain and splashes, over a part of the picture or all of it."""
    traits, strength = actor.traits, actor.strength
    draw = np.random.default_rng(actor.seed)
    wide = 0.35 + 0.5 * traits[0]
    middle, slant = actor.x * 4 / 3, 0.35 * (traits[1] - 0.5)
    grey = hsv(0.6, 0.12, 0.34 + 0.25 * traits[2])
    pen.box(-0.1, 0, 1.5, 1.0, clear((70, 84, 110), 0.2 * share * strength))
    count = round((70 + 80 * traits[3]) * share * strength)
    x, y, speed = draw.random((3, 150))[:, :count]
    fall = 1.0 - (y + now * (1.5 + 0.9 * speed)) % 1.0
    left = middle + wide * (2 * x - 1) + slant * (0.9 - fall)
    long = 0.05 + 0.06 * traits[5]
    streak = clear(light((150, 176, 214), 0.3 + 0.4 * traits[4]), 0.65)
    pen.dashes(left, 0.95 * fall, (-slant * long, long), 0.007, streak)
    for number in range(count // 4):
        age = (now * 3 + number * 0.37) % 1
        at, low = middle + wide * (2 * x[number] - 1), 0.02 + 0.2 * y[number]
        pen.oval(at, low, 0.012 + 0.03 * age, 0.005 + 0.01 * age, clear(WHITE, 0.5 * (1 - age)))
    for number in range(9):
        place = middle + wide * (number / 4 - 1)
        tall = 0.09 + 0.05 * np.sin(2.1 * number + 6 * traits[6])
        low = 1.16 - 0.2 * share + 0.008 * np.sin(now + number)
        pen.oval(place, low, 0.17, tall, clear(dark(grey, 0.1 * (number % 3)), 0.4 + 0.6 * strength))


def sea(pen: Pen, actor: Actor, now: float, share: float) -> None:
    """Waves roll along the lower edge, with foam and a small boat."""
    traits = actor.traits
    level = (0.2 + 0.14 * traits[0]) * share * (0.5 + 0.5 * actor.strength) - 0.06 * (1 - share)
    water = hsv(0.5 + 0.12 * traits[1], 0.5 + 0.3 * traits[2], 0.4 + 0.35 * traits[3])
    across = np.linspace(-0.1, 1.45, 56)
    way = 1 if traits[6] < 0.5 else -1
    for row in range(5):
        swell = 0.014 + 0.007 * row
        phase = 2 * np.pi * (across * (3.4 - 0.45 * row) - way * now * (0.25 + 0.06 * row) + 0.37 * row)
        top = level * (1 - row / 5) + swell * (np.sin(phase) + 0.35 * np.sin(2 * phase + 1 + now))
        colour = mix(light(water, 0.3), dark(water, 0.3), row / 4)
        pen.shape(np.column_stack([[*across, 1.45, -0.1], [*top, -0.2, -0.2]]), colour)
        foam = np.column_stack([[*across, *across[::-1]], [*top, *(top[::-1] - 0.007 - 0.003 * row)]])
        pen.shape(foam, light(colour, 0.75))
        crest = np.sin(phase) > 0.75
        for x, y in zip(across[crest], top[crest], strict=True):
            pen.oval(x, y - 0.006, 0.02, 0.006, clear(WHITE, 0.55))
        if row == 0 and traits[4] < 0.5:
            x = actor.x * 4 / 3
            _boat(pen.at(x, float(np.interp(x, across, top)), 0.2, 0.1 * np.sin(1.3 * now)), traits[5])


def _boat(pen: Pen, hue: float) -> None:
    pen.shape([(-0.4, 0.08), (0.4, 0.08), (0.25, -0.12), (-0.25, -0.12)], hsv(hue, 0.6, 0.6))
    pen.line([(0, 0.05), (0, 0.95)], 0.03, (110, 80, 60))
    pen.shape([(0.04, 0.2), (0.45, 0.2), (0.04, 0.92)], (250, 246, 236))
    pen.shape([(-0.04, 0.2), (-0.3, 0.2), (-0.04, 0.8)], hsv(hue, 0.25, 0.95))
