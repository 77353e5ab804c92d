"""The things that sound, drawn: Bell, Bird, Drum and Kettle.

A thing stands on y = 0 and is about 1 tall. Every function takes a pen in those units, the actor, the time in seconds
and `loud`: 1 while the thing is heard (it moves), 0 while it is only seen (it rests).
"""

from __future__ import annotations

import numpy as np

from avsgn_pyg.scenes.pen import BLACK, WHITE, Colour, Pen, clear, dark, hsv, light
from avsgn_pyg.scenes.rhythm import bell_period, chirp_period, drum_period, since_stroke
from avsgn_pyg.scenes.script import Actor

WOOD = (124, 86, 58)


def shadow(pen: Pen, wide: float) -> None:
    pen.oval(0, 0, wide, 0.05, clear((10, 14, 20), 0.28))


def puffs(pen: Pen, now: float, colour: Colour, rise: float, drift: float) -> None:
    """Steam or smoke from (0, 0): rings that rise, grow and fade."""
    for number in range(7):
        age = (now * 0.9 + number / 7) % 1
        x = drift * age + 0.05 * np.sin(9 * age + 2.4 * number)
        pen.oval(x, rise * age, 0.03 + 0.1 * age, 0.03 + 0.09 * age, clear(colour, 0.75 * (1 - age)))


def bell(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """A bell of brass or bronze under a beam; it swings, and strikes at either end of its way."""
    traits = actor.traits
    metal = hsv((0.12, 0.1, 0.14, 0.11)[int(4 * traits[0])], 0.45 + 0.4 * traits[1], 0.72 + 0.2 * traits[2])
    wood = hsv(0.07, 0.3 + 0.3 * traits[3], 0.3 + 0.25 * traits[4])
    shadow(pen, 0.55)
    for side in (-0.46, 0.46):
        pen.box(side - 0.045, 0, side + 0.045, 1.0, wood)
        pen.box(side + 0.01, 0, side + 0.045, 1.0, dark(wood))
        pen.line([(side, 0.72), (side * 0.55, 0.95)], 0.05, dark(wood, 0.15))
    pen.box(-0.56, 0.93, 0.56, 1.03, wood)
    pen.box(-0.56, 0.93, 0.56, 0.95, dark(wood))
    pen.shape([(-0.66, 1.03), (0.66, 1.03), (0, 1.28)], hsv(0.02 + 0.1 * traits[5], 0.5, 0.5))
    pen.shape([(0, 1.03), (0.66, 1.03), (0, 1.28)], dark(hsv(0.02 + 0.1 * traits[5], 0.5, 0.5), 0.25))
    swing = 0.5 * loud * np.cos(np.pi * (now / bell_period(actor) - actor.traits[7]))
    hung = pen.at(0, 0.94, 1.0, swing)
    clapper = hung.at(0, -0.3, 1.0, 0.6 * swing)
    clapper.line([(0, 0), (0, -0.36)], 0.03, dark(metal, 0.5))
    clapper.oval(0, -0.4, 0.06, 0.06, dark(metal, 0.55))
    wide, down = [0.05, 0.13, 0.17, 0.19, 0.23, 0.32, 0.32], [0.02, -0.03, -0.14, -0.32, -0.45, -0.58, -0.62]
    half = np.column_stack([wide, down])
    hung.shape(np.concatenate([half, half[::-1] * (-1, 1)]), metal)
    hung.shape(np.concatenate([half, half[::-1] * (0.45, 1)]), dark(metal, 0.28))
    hung.shape(np.concatenate([half[1:6] * (-0.8, 1), half[5:0:-1] * (-0.5, 1)]), light(metal, 0.55))
    hung.line([(-0.2, -0.36), (0.2, -0.36)], 0.02, dark(metal, 0.35))
    hung.line([(-0.3, -0.6), (0.3, -0.6)], 0.045, dark(metal, 0.2))
    hung.oval(0, 0.03, 0.05, 0.05, dark(metal, 0.4))


def bird(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """A songbird on a post; it opens its beak with every chirp."""
    traits = actor.traits
    coat, breast = hsv(0.5 + 0.27 * traits[0], 0.6, 0.6 + 0.3 * traits[1]), hsv(0.02 + 0.12 * traits[2], 0.65, 0.95)
    age = since_stroke(now, chirp_period(actor), 0.0)
    sing = loud * max(0.0, 1 - age / 0.16)
    shadow(pen, 0.2)
    pen.shape([(-0.07, 0), (0.07, 0), (0.05, 0.3), (-0.05, 0.3)], WOOD)
    pen.shape([(0.01, 0), (0.07, 0), (0.05, 0.3), (0.01, 0.3)], dark(WOOD))
    pen.line([(-0.5, 0.27), (0.5, 0.33)], 0.06, WOOD)
    for leaf, x in enumerate((-0.44, -0.3, 0.4)):
        pen.oval(x, 0.27 + 0.06 * x + 0.05 * (-1) ** leaf, 0.08, 0.035, (92, 140, 70), 0.6)
    body = pen.at(0, 0.34 + 0.012 * sing, 1.0 + 0.03 * sing, 0.06 * np.sin(2.2 * now))
    side = 1 if traits[6] < 0.5 else -1

    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(side * x, y) for x, y in points]

    body.line([(0.04, 0), (0.05, 0.1)], 0.025, (70, 52, 40))
    body.line([(-0.05, 0), (-0.04, 0.1)], 0.025, (70, 52, 40))
    body.shape(at((-0.2, 0.24), (-0.26, 0.14), (-0.62, 0.03 - 0.1 * sing), (-0.6, 0.13 - 0.1 * sing)), dark(coat, 0.35))
    body.oval(0, 0.25, 0.3, 0.2, coat, side * 0.42)
    body.oval(side * 0.09, 0.22, 0.19, 0.15, breast, side * 0.6)
    body.oval(side * 0.2, 0.46, 0.16, 0.15, coat)
    body.oval(side * -0.08, 0.26, 0.2, 0.1, dark(coat, 0.25), side * 0.5)
    body.oval(side * -0.12, 0.23, 0.15, 0.05, dark(coat, 0.45), side * 0.5)
    body.oval(side * 0.24, 0.42, 0.08, 0.07, breast)
    body.shape(at((0.33, 0.5), (0.34, 0.43), (0.5, 0.46 + 0.07 * sing)), (245, 176, 60))
    body.shape(at((0.33, 0.45), (0.33, 0.41), (0.47, 0.43 - 0.1 * sing)), (214, 140, 40))
    body.oval(side * 0.25, 0.5, 0.032, 0.034, BLACK)
    body.oval(side * 0.26, 0.512, 0.011, 0.011, WHITE)


def drum(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """A side drum on legs; two sticks fall on it in turn."""
    traits = actor.traits
    shell, hoop = hsv(0.16 * traits[0] - 0.1, 0.75, 0.75), hsv(0.1 + 0.5 * traits[1], 0.4 * traits[2], 0.9)
    tall, wide = 0.3 + 0.14 * traits[3], 0.36 + 0.08 * traits[4]
    shadow(pen, 0.5)
    for x in (-0.28, 0.0, 0.28):
        pen.line([(0.5 * x, 0.25), (1.2 * x, 0.01)], 0.035, (70, 72, 80))
    body = pen.at(0, 0.24)
    body.oval(0, 0, wide, 0.11, dark(shell, 0.35))
    body.box(-wide, 0, wide, tall, shell)
    body.box(0.45 * wide, 0, wide, tall, dark(shell, 0.25))
    body.box(-0.8 * wide, 0, -0.6 * wide, tall, light(shell, 0.3))
    cords = [(wide * (2 * number / 8 - 1), (0.02, tall - 0.02)[number % 2]) for number in range(9)]
    body.line(cords, 0.018, light(hoop, 0.5))
    rim = np.linspace(np.pi, 2 * np.pi, 20)
    body.line(np.column_stack([wide * np.cos(rim), 0.11 * np.sin(rim)]), 0.05, hoop)
    body.oval(0, tall, wide, 0.11, hoop)
    age = since_stroke(now, drum_period(actor), 0.0)
    hit = loud * max(0.0, 1 - age / 0.18)
    body.oval(0, tall + 0.015, 0.92 * wide, 0.09, light((238, 226, 204), 0.5 * hit))
    if hit > 0:
        body.oval(0, tall + 0.015, wide * (1 - 0.6 * hit), 0.09 * (1 - 0.6 * hit), clear(WHITE, 0.7 * hit))
    for side in (-1, 1):
        beat = now / drum_period(actor) / 2 + (0.5 if side > 0 else 0.0)
        lift = loud * abs(np.sin(np.pi * beat)) ** 0.7 + 0.35 * (1 - loud)
        stick = body.at(side * 0.42, tall + 0.26 + 0.08 * lift)
        tip = (-side * 0.34, -0.235 + 0.36 * lift)
        stick.line([(0, 0), tip], 0.035, (226, 190, 138))
        stick.oval(*tip, 0.04, 0.035, (240, 214, 168))


def kettle(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """A kettle on a small stove; steam, flames and a rattling lid while it whistles."""
    traits = actor.traits
    coat = hsv(0.3 + 0.2 * traits[0], 0.25 + 0.5 * traits[1], 0.62 + 0.3 * traits[2])
    iron = (58, 60, 70)
    shadow(pen, 0.5)
    pen.box(-0.42, 0.0, 0.42, 0.24, iron)
    pen.box(0.14, 0.0, 0.42, 0.24, dark(iron))
    pen.box(-0.3, 0.05, 0.3, 0.17, (30, 26, 30))
    for number in range(5):
        flame = 0.1 + 0.05 * np.sin(11 * now + 2.3 * number) * loud
        x = -0.22 + 0.11 * number
        pen.shape([(x - 0.05, 0.05), (x + 0.05, 0.05), (x, 0.05 + flame)], (250, 150, 50))
        pen.shape([(x - 0.025, 0.05), (x + 0.025, 0.05), (x, 0.05 + 0.6 * flame)], (255, 226, 120))
    pen.box(-0.48, 0.24, 0.48, 0.28, light(iron, 0.25))
    side = 1 if traits[6] < 0.5 else -1
    pot = pen.at(0.006 * loud * np.sin(60 * now), 0.28)
    spout = np.array([(0.2, 0.12), (0.24, 0.26), (0.46, 0.46), (0.52, 0.42), (0.36, 0.1)])
    pot.shape(spout * (side, 1), dark(coat, 0.2))
    arch = np.linspace(0.12 * np.pi, 0.88 * np.pi, 24)
    pot.line(np.column_stack([0.3 * np.cos(arch), 0.28 + 0.4 * np.sin(arch)]), 0.055, (48, 40, 44))
    dome = np.linspace(0, np.pi, 30)
    round_ = np.column_stack([0.37 * np.cos(dome), 0.44 * np.sin(dome) ** 0.8])
    pot.shape(np.concatenate([[(0.3, 0.0)], round_, [(-0.3, 0.0)]]), coat)
    pot.shape(np.concatenate([[(0.3, 0.0)], round_[:12], round_[11::-1] * (0.6, 1), [(0.2, 0.0)]]), dark(coat, 0.25))
    pot.oval(-0.17, 0.24, 0.045, 0.13, light(coat, 0.6), -0.25)
    lid = pot.at(0, 0.43 + 0.02 * loud * abs(np.sin(23 * now)), 1.0, 0.06 * loud * np.sin(31 * now))
    lid.oval(0, 0, 0.17, 0.035, light(coat, 0.2))
    lid.oval(0, 0.05, 0.04, 0.045, (48, 40, 44))
    if loud > 0:
        puffs(pot.at(side * 0.5, 0.48, loud), now, (246, 246, 250), 0.6, side * 0.35)
