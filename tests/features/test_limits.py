"""A limit is a positive number, also on a command line."""

from __future__ import annotations

from argparse import ArgumentParser

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.limits import Limits, add_limits, take_limits


@pytest.mark.parametrize("name", ["pixels", "seconds", "deadline"])
def test_a_limit_that_allows_nothing_is_refused(name: str):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_options_become_limits():
    parser = ArgumentParser()
    add_limits(parser)
    options = parser.parse_args(["--max-pixels", "9", "--deadline", "0.5"])
    assert take_limits(options) == Limits(pixels=9, deadline=0.5) and not vars(options)
    with pytest.raises(DataError, match="seconds"):
        take_limits(parser.parse_args(["--max-seconds", "0"]))
