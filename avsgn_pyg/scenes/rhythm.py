"""When things strike: the clock that a thing's drawing and its voice share."""

from __future__ import annotations

from avsgn_pyg.scenes.script import Actor


def since_stroke(now: float, period: float, phase: float) -> float:
    """Seconds since the last stroke; strokes fall at (k + phase) periods."""
    return (now - phase * period) % period


def bell_period(actor: Actor) -> float:
    """Seconds from stroke to stroke."""
    return 0.9 - 0.42 * actor.beat


def chirp_period(actor: Actor) -> float:
    """Seconds from chirp to chirp."""
    return 0.36 - 0.18 * actor.beat


def drum_period(actor: Actor) -> float:
    """Seconds from stroke to stroke."""
    return 0.42 - 0.22 * actor.beat


def siren_period(actor: Actor) -> float:
    """Seconds of one turn of the tune, and of the light."""
    return 1.3 - 0.7 * actor.beat


def firing_rate(actor: Actor) -> float:
    """Strokes of the engine in a second."""
    return 11.0 + 10.0 * actor.beat
