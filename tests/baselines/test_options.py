"""A baseline's options: keywords of its constructor, refused by name and value."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest

from avsgn_pyg.baselines.options import build_with


class Made:
    def __init__(self, *, width: int, dim: int = 4, rate: float = 0.5, on: bool = True, margin: float | None = None,
                 kind: Literal["a", "b"] = "a") -> None:
        self.all = (width, dim, rate, on, margin, kind)


def test_options_and_what_is_given_meet_in_the_constructor():
    made = build_with(Made, {"dim": 8, "rate": 1, "on": False, "margin": None, "kind": "b"}, width=3)
    assert made.all == (3, 8, 1.0, False, None, "b") and isinstance(made.all[2], float)
    assert build_with(Made, {"margin": 2}, width=3).all[4] == 2.0


class Choosy:
    only: ClassVar = {"rate": ("supervision", "full"), "narrow": ("fusion", "concat")}

    def __init__(self, *, supervision: str, rate: float = 0.5, narrow: int = 4, fusion: Literal["sum", "concat"] = "sum"
                 ) -> None:
        self.all = (supervision, rate, narrow, fusion)


def test_an_option_that_nothing_would_read_is_refused_and_its_default_is_not():
    made = build_with(Choosy, {"rate": 1, "narrow": 2, "fusion": "concat"}, supervision="full")
    assert made.all == ("full", 1.0, 2, "concat")
    assert build_with(Choosy, {"rate": 0.5, "narrow": 4}, supervision="weak").all == ("weak", 0.5, 4, "sum")
    with pytest.raises(ValueError, match=r"rate=0\.2 .*supervision=full only, and this is "
                                         "supervision=weak; set that or leave rate out"):
        build_with(Choosy, {"rate": 0.2}, supervision="weak")
    with pytest.raises(ValueError, match=r"narrow=2 .*fusion=concat only"):
        build_with(Choosy, {"narrow": 2}, supervision="full")


@pytest.mark.parametrize(("options", "words"), [
    ({"depth": 2}, r"Made has no option 'depth'; it has \['dim', 'kind', 'margin', 'on', 'rate'\]"),
    ({"width": 2}, "has no option 'width'"),
    ({"dim": 0}, "dim=0 of Made must be an integer of at least 1"),
    ({"dim": 2.0}, r"dim=2\.0"), ({"dim": True}, "dim=True"), ({"dim": None}, "dim=None"),
    ({"rate": -1}, "rate=-1 of Made must be a number of at least 0"), ({"rate": "half"}, "rate='half'"),
    ({"rate": False}, "rate=False"), ({"rate": float("nan")}, "rate=nan"), ({"rate": float("inf")}, "rate=inf"),
    ({"on": 1}, "on=1 of Made must be true or false"),
    ({"margin": "wide"}, "margin='wide'"),
    ({"kind": "c"}, r"kind='c' of Made must be one of \['a', 'b'\]"),
])
def test_what_cannot_be_used_is_named_with_its_remedy(options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        build_with(Made, options, width=3)
