"""The frames of a script: scenery, actors in the steps in which they are seen, fog, and noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from avsgn_pyg.scenes.pen import Pen
from avsgn_pyg.scenes.scenery import Scenery
from avsgn_pyg.scenes.script import Actor, Script
from avsgn_pyg.scenes.things import FILLING, STANDING

WIDTH, HEIGHT = 256, 192
LARGER = 3  #: frames are drawn this much larger and averaged, so that edges are smooth
COMING = 0.3  #: seconds in which a thing grows to its size, within the seconds in which it is seen
SIZES = {"Siren": 0.78, "Tractor": 0.85}  #: of things that are longer than tall
SAND = (206, 184, 136)
ORDER = ("Sea", *STANDING, "Rain")  #: from back to front


def draw_frames(script: Script) -> Iterator[UInt8[np.ndarray, "192 256 3"]]:
    """Draw the frames: number k shows the time k / frame rate; the same script gives the same bytes."""
    draw = np.random.default_rng((script.seed, 0))
    scenery = Scenery(draw, WIDTH * LARGER, HEIGHT * LARGER)
    # A sheet of noise, larger than a frame; frames take parts of it.
    noise = draw.normal(0, scenery.grain, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32)
    for number in range(script.seconds * script.frame_rate):
        now = number / script.frame_rate
        pixels = np.asarray(_draw(script, scenery, now), dtype=np.float32)
        veil = scenery.veil(now)
        down, right = draw.integers(64, size=2)
        light = pixels * (scenery.exposure * (1 - veil))
        light += np.array(scenery.horizon, dtype=np.float32) * (scenery.exposure * veil)
        light += noise[down : down + HEIGHT, right : right + WIDTH]
        yield np.clip(light, 0, 255, out=light).astype(np.uint8)


def _draw(script: Script, scenery: Scenery, now: float) -> Image.Image:
    frame = scenery.sky.copy()
    stage = Pen.on(frame)
    scenery.paint(frame, stage, now)
    flooded = any(actor.category == "Sea" and actor.seen[int(now * script.rate)] for actor in script.actors)
    for actor in sorted(script.actors, key=lambda actor: (actor.strength, ORDER.index(actor.category))):
        share, loud = (presence(steps, now, script) for steps in (actor.seen, actor.heard))
        if share > 0:
            _act(stage, actor, scenery, now, share, loud, flooded)
    return frame.reduce(LARGER)


def _act(stage: Pen, actor: Actor, scenery: Scenery, now: float, share: float, loud: float, flooded: bool) -> None:
    """Draw an actor; a weak one is farther off, smaller and in the haze; in the sea it gets an island."""
    far = 1 - actor.strength
    pen = replace(stage, haze=(scenery.horizon, 0.75 * far))
    if actor.category in FILLING:
        FILLING[actor.category](pen, actor, now, share)
        return
    x = actor.x * WIDTH / HEIGHT + scenery.shift(now) * actor.strength
    size = actor.size * SIZES.get(actor.category, 1.0) * share * (1 - 0.6 * far)
    pen = pen.at(x, actor.y + 0.16 * far, size)
    if flooded:
        pen.oval(0, -0.05, 1.0, 0.13, SAND)
    STANDING[actor.category](pen, actor, now, loud)


def presence(steps: Sequence[bool], now: float, script: Script) -> float:
    """Return how much of something is visible, 0 to 1: above 0 for exactly the frames of these steps."""
    here = int(now * script.rate)
    if not steps[here]:
        return 0.0
    first = next((at + 1 for at in range(here, -1, -1) if not steps[at]), 0)
    last = next((at for at in range(here, len(steps)) if not steps[at]), len(steps))
    came = 1.0 if first == 0 else (now - first / script.rate + 1 / script.frame_rate) / COMING
    goes = 1.0 if last == len(steps) else (last / script.rate - now) / COMING
    share = min(1.0, came, goes)
    return share * (2 - share)
