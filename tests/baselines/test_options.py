"""Options of a baseline are keywords of its constructor; errors have name and value."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest

from avsgn_pyg.baselines.options import build_with


class Model:
    def __init__(self, *, width: int, dim: int = 4, rate: float = 0.5, on: bool = True, margin: float | None = None,
                 kind: Literal["a", "b"] = "a") -> None:
        self.all = (width, dim, rate, on, margin, kind)


def test_options_are_arguments_of_the_constructor():
    model = build_with(Model, {"dim": 8, "rate": 1, "on": False, "margin": None, "kind": "b"}, width=3)
    assert model.all == (3, 8, 1.0, False, None, "b") and isinstance(model.all[2], float)
    assert build_with(Model, {"margin": 2}, width=3).all[4] == 2.0


class Conditional:
    only: ClassVar = {"rate": ("supervision", "full"), "narrow": ("fusion", "concat")}

    def __init__(self, *, supervision: str, rate: float = 0.5, narrow: int = 4, fusion: Literal["sum", "concat"] = "sum"
                 ) -> None:
        self.all = (supervision, rate, narrow, fusion)


def test_an_option_without_effect_is_an_error_unless_it_is_the_default():
    model = build_with(Conditional, {"rate": 1, "narrow": 2, "fusion": "concat"}, supervision="full")
    assert model.all == ("full", 1.0, 2, "concat")
    assert build_with(Conditional, {"rate": 0.5, "narrow": 4}, supervision="weak").all == ("weak", 0.5, 4, "sum")
    with pytest.raises(ValueError, match=r"rate=0\.2 .*supervision=full only, and this is "
                                         "supervision=weak; set that or leave rate out"):
        build_with(Conditional, {"rate": 0.2}, supervision="weak")
    with pytest.raises(ValueError, match=r"narrow=2 .*fusion=concat only"):
        build_with(Conditional, {"narrow": 2}, supervision="full")


@pytest.mark.parametrize(("options", "words"), [
    ({"depth": 2}, r"Model has no option 'depth'; it has \['dim', 'kind', 'margin', 'on', 'rate'\]"),
    ({"width": 2}, "has no option 'width'"),
    ({"dim": 0}, "dim=0 of Model must be an integer of at least 1"),
    ({"dim": 2.0}, r"dim=2\.0"), ({"dim": True}, "dim=True"),
    ({"rate": -1}, "rate=-1 of Model must be a number of at least 0"), ({"rate": float("nan")}, "rate=nan"),
    ({"on": 1}, "on=1 of Model must be true or false"),
    ({"margin": "wide"}, "margin='wide'"),
    ({"kind": "c"}, r"kind='c' of Model must be one of \['a', 'b'\]"),
])
def test_an_option_that_cannot_be_used_is_named(options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        build_with(Model, options, width=3)
