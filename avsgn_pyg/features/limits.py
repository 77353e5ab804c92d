"""Limits for reading one media file that may be damaged or hostile; imports no torch."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, fields

from avsgn_pyg.common.errors import DataError


@dataclass(frozen=True)
class Limits:
    """Limits on reading one media file; a file that exceeds one is refused with an error that names the limit.

    Attributes:
        pixels: maximum pixels of a picture, encoded or displayed; the default is 8192 x 8192.
        seconds: maximum seconds of the file that are read; the default is a day.
        deadline: maximum running time of the reader in seconds, checked between packets.
    """

    pixels: int = 8192 * 8192
    seconds: int = 24 * 60 * 60
    deadline: float | int = 3600

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"limit of {name}: must be greater than 0, got {value}")


def add_limits(parser: ArgumentParser, **defaults: float) -> None:
    """Add ``--max-pixels``, ``--max-seconds`` and ``--deadline``; `defaults` replace those of :class:`Limits`."""
    for option, name, kind, text in (
        ("--max-pixels", "pixels", int, "pixels of a picture"), ("--max-seconds", "seconds", int, "seconds to read"),
        ("--deadline", "deadline", float, "seconds that reading a file may take"),
    ):
        default = defaults.get(name, getattr(Limits, name))
        parser.add_argument(option, dest=name, type=kind, default=default, metavar="N",
                            help=f"maximum {text}; a file above it fails; default %(default)s")


def take_limits(options: Namespace) -> Limits:
    """Return the limits of :func:`add_limits`, which leave `options`; DataError for one that is not positive."""
    given = {each.name: vars(options).pop(each.name) for each in fields(Limits)}
    try:
        return Limits(**given)
    except ValueError as error:
        raise DataError(str(error)) from None
