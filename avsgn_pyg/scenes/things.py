"""Drawings of the eight classes.

Every drawing takes a pen, the actor, the time in seconds and a share. Rain and Sea fill the picture: their unit is the
frame's height, (0, 0) its lower left corner, and the share rises from 0 to 1 as they appear. The others stand on y = 0
and are about 1 tall; the share is 1 while the thing is heard (it moves) and 0 while it is only seen (it rests).
"""

from __future__ import annotations

import numpy as np

from avsgn_pyg.scenes.pen import BLACK, WHITE, Colour, Pen, clear, dark, hsv, light, mix
from avsgn_pyg.scenes.script import Actor

WOOD = (124, 86, 58)


def shadow(pen: Pen, wide: float) -> None:
    pen.oval(0, 0, wide, 0.05, clear((10, 14, 20), 0.28))


def puffs(pen: Pen, now: float, colour: Colour, rise: float, drift: float) -> None:
    """Draw steam or smoke from (0, 0): rings that rise, grow and fade."""
    for number in range(7):
        age = (now * 0.9 + number / 7) % 1
        x = drift * age + 0.05 * np.sin(9 * age + 2.4 * number)
        pen.oval(x, rise * age, 0.03 + 0.1 * age, 0.03 + 0.09 * age, clear(colour, 0.75 * (1 - age)))


def bell(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """Draw a bell of brass or bronze under a beam; it swings, and strikes at either end of its way."""
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
    roof = hsv(0.02 + 0.1 * traits[5], 0.5, 0.5)
    pen.shape([(-0.66, 1.03), (0.66, 1.03), (0, 1.28)], roof)
    pen.shape([(0, 1.03), (0.66, 1.03), (0, 1.28)], dark(roof, 0.25))
    swing = 0.5 * loud * np.cos(np.pi * (now / actor.tempo - traits[7]))
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
    """Draw a songbird on a post; it opens its beak with every chirp."""
    traits = actor.traits
    coat, breast = hsv(0.5 + 0.27 * traits[0], 0.6, 0.6 + 0.3 * traits[1]), hsv(0.02 + 0.12 * traits[2], 0.65, 0.95)
    sing = loud * max(0.0, 1 - now % actor.tempo / 0.16)
    shadow(pen, 0.2)
    pen.shape([(-0.07, 0), (0.07, 0), (0.05, 0.3), (-0.05, 0.3)], WOOD)
    pen.shape([(0.01, 0), (0.07, 0), (0.05, 0.3), (0.01, 0.3)], dark(WOOD))
    pen.line([(-0.5, 0.27), (0.5, 0.33)], 0.06, WOOD)
    for leaf, x in enumerate((-0.44, -0.3, 0.4)):
        pen.oval(x, 0.27 + 0.06 * x + 0.05 * (-1) ** leaf, 0.08, 0.035, (92, 140, 70), 0.6)
    body = pen.at(0, 0.34 + 0.012 * sing, 1.0 + 0.03 * sing, 0.06 * np.sin(2.2 * now))
    for foot in (0.04, -0.05):
        body.line([(foot, 0), (foot + 0.01, 0.1)], 0.025, (70, 52, 40))
    body = body.mirrored(actor.side)
    body.shape([(-0.2, 0.24), (-0.26, 0.14), (-0.62, 0.03 - 0.1 * sing), (-0.6, 0.13 - 0.1 * sing)], dark(coat, 0.35))
    body.oval(0, 0.25, 0.3, 0.2, coat, 0.42)
    body.oval(0.09, 0.22, 0.19, 0.15, breast, 0.6)
    body.oval(0.2, 0.46, 0.16, 0.15, coat)
    body.oval(-0.08, 0.26, 0.2, 0.1, dark(coat, 0.25), 0.5)
    body.oval(-0.12, 0.23, 0.15, 0.05, dark(coat, 0.45), 0.5)
    body.oval(0.24, 0.42, 0.08, 0.07, breast)
    body.shape([(0.33, 0.5), (0.34, 0.43), (0.5, 0.46 + 0.07 * sing)], (245, 176, 60))
    body.shape([(0.33, 0.45), (0.33, 0.41), (0.47, 0.43 - 0.1 * sing)], (214, 140, 40))
    body.oval(0.25, 0.5, 0.032, 0.034, BLACK)
    body.oval(0.26, 0.512, 0.011, 0.011, WHITE)


def drum(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """Draw a side drum on legs; two sticks fall on it in turn."""
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
    hit = loud * max(0.0, 1 - now % actor.tempo / 0.18)
    body.oval(0, tall + 0.015, 0.92 * wide, 0.09, light((238, 226, 204), 0.5 * hit))
    if hit > 0:
        body.oval(0, tall + 0.015, wide * (1 - 0.6 * hit), 0.09 * (1 - 0.6 * hit), clear(WHITE, 0.7 * hit))
    for side in (-1, 1):
        beat = now / actor.tempo / 2 + (0.5 if side > 0 else 0.0)
        lift = loud * abs(np.sin(np.pi * beat)) ** 0.7 + 0.35 * (1 - loud)
        stick = body.at(side * 0.42, tall + 0.26 + 0.08 * lift)
        tip = (-side * 0.34, -0.235 + 0.36 * lift)
        stick.line([(0, 0), tip], 0.035, (226, 190, 138))
        stick.oval(*tip, 0.04, 0.035, (240, 214, 168))


def kettle(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """Draw a kettle on a small stove; steam, flames and a rattling lid while it whistles."""
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
    pot = pen.at(0.006 * loud * np.sin(60 * now), 0.28)
    spout = [(0.2, 0.12), (0.24, 0.26), (0.46, 0.46), (0.52, 0.42), (0.36, 0.1)]
    pot.mirrored(actor.side).shape(spout, dark(coat, 0.2))
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
        puffs(pot.at(actor.side * 0.5, 0.48, loud), now, (246, 246, 250), 0.6, actor.side * 0.35)


def siren(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """Draw an ambulance, police van or fire van whose light turns."""
    traits = actor.traits
    coat = ((240, 240, 236), (206, 48, 44), (226, 206, 70), (236, 238, 244))[int(4 * traits[0])]
    stripe = ((210, 60, 50), (245, 240, 225), (40, 90, 180), (60, 80, 190))[int(4 * traits[0])]
    lamp = hsv(0.6 + 0.04 * traits[1], 0.85, 1.0) if traits[2] < 0.7 else hsv(0.0, 0.85, 1.0)
    shadow(pen, 0.85)
    van = pen.at(0, 0.004 * np.sin(17 * now) * loud).mirrored(actor.side)
    van.shape([(-0.8, 0.13), (0.8, 0.13), (0.8, 0.4), (0.58, 0.46), (0.42, 0.78), (-0.8, 0.78)], coat)
    van.box(-0.8, 0.13, 0.8, 0.2, dark(coat, 0.3))
    van.box(-0.8, 0.3, 0.8, 0.4, stripe)
    van.shape([(0.18, 0.46), (0.52, 0.46), (0.38, 0.71), (0.18, 0.71)], (110, 150, 180))
    van.shape([(0.18, 0.6), (0.44, 0.6), (0.38, 0.71), (0.18, 0.71)], (170, 205, 225))
    van.box(-0.62, 0.52, -0.1, 0.71, mix(coat, (120, 150, 175), 0.5 + 0.5 * traits[3]))
    van.box(0.74, 0.3, 0.82, 0.39, (255, 244, 190))
    van.box(-0.7, 0.78, 0.36, 0.81, dark(coat, 0.2))
    for x in (-0.48, 0.5):
        wheel = van.at(x, 0.13, 0.15)
        wheel.oval(0, 0, 1, 1, BLACK)
        wheel.oval(0, 0, 0.55, 0.55, (170, 172, 178))
        wheel.oval(0, 0, 0.2, 0.2, (90, 92, 98))
    turn = 2 * np.pi * now / actor.tempo
    for place, phase in ((-0.16, 0.0), (0.1, np.pi)):
        bright = max(0.0, float(np.sin(turn + phase))) ** 0.5
        top = van.at(place, 0.81)
        for radius in (0.6, 0.52, 0.44, 0.36, 0.28, 0.2, 0.14) if bright else ():
            top.oval(0, 0.06, radius, radius, clear(lamp, 0.09 * bright))
        glass = mix(dark(lamp, 0.45), light(lamp, 0.5), bright)
        top.shape([(-0.07, 0), (0.07, 0), (0.055, 0.12), (-0.055, 0.12)], glass)


def tractor(pen: Pen, actor: Actor, now: float, loud: float) -> None:
    """Draw a tractor; it shakes and smokes, and its wheels turn."""
    traits = actor.traits
    coat = hsv((0.02, 0.05, 0.33, 0.08)[int(4 * traits[0])], 0.7, 0.5 + 0.25 * traits[1])
    rim = hsv(0.13 * traits[2], 0.8, 0.92)
    shadow(pen, 0.7)
    shaken = pen.at(0, 0.012 * loud * np.sin(2 * np.pi * actor.tempo * now), 1.0, 0.006 * loud * np.sin(40 * now))
    body = shaken.mirrored(actor.side)
    body.box(0.4, 0.6, 0.46, 0.98, (60, 60, 66))
    if loud > 0:
        puffs(shaken.at(actor.side * 0.43, 1.0, loud), 1.4 * now, (72, 70, 76), 0.5, -actor.side * 0.45)
    body.shape([(-0.42, 0.4), (-0.34, 1.0), (0.02, 1.0), (0.1, 0.62), (0.1, 0.4)], clear((190, 220, 235), 0.6))
    for foot, head in ((-0.42, -0.34), (0.1, 0.02)):
        post = [(foot - 0.025, 0.4), (foot + 0.025, 0.4), (head + 0.025, 1.0), (head - 0.025, 1.0)]
        body.shape(post, dark(coat, 0.4))
    body.shape([(-0.42, 0.98), (0.1, 0.98), (0.08, 1.06), (-0.4, 1.06)], light(coat, 0.15))
    body.shape([(-0.5, 0.3), (0.72, 0.24), (0.72, 0.6), (0.64, 0.66), (0.06, 0.66), (0.02, 0.5), (-0.5, 0.56)], coat)
    body.shape([(-0.5, 0.3), (0.72, 0.24), (0.72, 0.36), (-0.5, 0.4)], dark(coat, 0.3))
    body.box(0.1, 0.6, 0.62, 0.64, light(coat, 0.4))
    for x in (0.5, 0.55, 0.6, 0.65):
        body.box(x, 0.4, x + 0.025, 0.57, dark(coat, 0.5))
    for x, radius in ((-0.34, 0.33), (0.52, 0.21)):
        wheel = pen.at(actor.side * x, radius, radius, -actor.side * loud * 2.2 * now)
        wheel.oval(0, 0, 1, 1, BLACK)
        for lug in np.arange(10) * np.pi / 5:
            wheel.at(0, 0, 1, lug).box(0.93, -0.09, 1.06, 0.09, BLACK)
        wheel.oval(0, 0, 0.6, 0.6, rim)
        wheel.oval(0, 0, 0.6, 0.6, clear(dark(rim, 0.5), 0.25))
        for spoke in np.arange(5) * 2 * np.pi / 5:
            wheel.at(0, 0, 1, spoke).oval(0.38, 0, 0.11, 0.11, dark(rim, 0.55))
        wheel.oval(0, 0, 0.18, 0.18, dark(rim, 0.35))


def rain(pen: Pen, actor: Actor, now: float, share: float) -> None:
    """Draw a dark cloud with slanting rain and splashes, over a part of the picture or all of it."""
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
    pen.dashes(np.column_stack([left, 0.95 * fall]), (-slant * long, long), 0.007, streak)
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
    """Draw waves that roll along the lower edge, with foam and a small boat."""
    traits = actor.traits
    level = (0.2 + 0.14 * traits[0]) * share * (0.5 + 0.5 * actor.strength) - 0.06 * (1 - share)
    water = hsv(0.5 + 0.12 * traits[1], 0.5 + 0.3 * traits[2], 0.4 + 0.35 * traits[3])
    across = np.linspace(-0.1, 1.45, 56)
    for row in range(5):
        swell = 0.014 + 0.007 * row
        phase = 2 * np.pi * (across * (3.4 - 0.45 * row) - actor.side * now * (0.25 + 0.06 * row) + 0.37 * row)
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


#: Drawings that fill the picture, and those of things that stand in it.
FILLING = {"Sea": sea, "Rain": rain}
STANDING = {"Bell": bell, "Bird": bird, "Drum": drum, "Kettle": kettle, "Siren": siren, "Tractor": tractor}
