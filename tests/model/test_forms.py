"""Forms of modules: kept while nothing in a module is replaced, looked up anew where something is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from avsgn_pyg.model import forms
from avsgn_pyg.model.forms import Forms


def made(rate: float = 0.1) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(rate), nn.Sequential(nn.Linear(4, 2)))


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that were looked through."""
    seen, settings = [], forms._settings
    monkeypatch.setattr(forms, "_settings", lambda module, without: seen.append(module) or settings(module, without))
    return seen


def test_two_of_one_build_share_a_form_and_two_of_different_settings_do_not():
    known = Forms("none")
    assert known.of(made()) == known.of(made())
    assert known.of(made()) != known.of(made(0.2))
    assert known.of(made()) != known.of(made().eval())
    assert known.of(made()) != known.of(made().double())


def test_a_module_is_looked_through_once(looked: list):
    known, module = Forms("none"), made()
    for _ in range(3):
        form = known.of(module)
    for weight in module.parameters():
        weight.data.normal_()
    module.load_state_dict(made().state_dict())
    assert known.of(module) == form
    assert looked == [module]


def test_weights_come_as_they_are_now():
    known, module = Forms("none"), made()
    known.of(module)
    module[0].weight = nn.Parameter(torch.zeros(4, 3))
    known.of(module)
    assert [id(value) for value in known.weights(module)] == [id(value) for value in module.parameters()]


@pytest.mark.parametrize("change", [
    lambda module: setattr(module[1], "p", 0.7), lambda module: module.eval(), lambda module: module.double(),
    lambda module: setattr(module, "more", 1), lambda module: module[2].append(nn.ReLU()),
    lambda module: module.__setitem__(1, nn.Identity()), lambda module: setattr(module[0], "bias", None),
    lambda module: setattr(module[0], "weight", nn.Parameter(torch.zeros(5, 3))),
    lambda module: module[1].register_parameter("scale", nn.Parameter(torch.ones(4))),
], ids=["setting", "mode", "precision", "attribute", "child", "another child", "no bias", "another size", "new weight"])
def test_a_change_inside_is_another_form(change: Callable):
    known, module = Forms("none"), made()
    before = known.of(module)
    change(module)
    after = known.of(module)
    assert after is not None
    assert after != before


@pytest.mark.parametrize("listen", [
    lambda module: module[2][0].register_forward_hook(lambda *_: None),
    lambda module: module.register_forward_pre_hook(lambda *_: None),
    lambda module: module[0].register_full_backward_hook(lambda *_: None),
    lambda module: nn.modules.module.register_module_forward_hook(lambda *_: None),
], ids=["forward", "before", "backward", "anywhere"])
def test_a_listener_that_comes_is_heard_of_and_one_that_goes_is_forgotten(listen: Callable):
    known, module = Forms("none"), made()
    assert known.of(module) is not None
    handle = listen(module)
    try:
        assert known.of(module) is None
    finally:
        handle.remove()
    assert known.of(module) is not None


def test_statistics_have_no_form():
    assert Forms("none").of(nn.BatchNorm1d(3)) is None
    module, known = made(), Forms("none")
    known.of(module)
    module.register_buffer("seen", torch.zeros(1))
    assert known.of(module) is None


def test_what_takes_no_part_is_not_asked():
    known, one, two = Forms("2"), made(), made()
    two[2][0] = nn.Linear(4, 9)
    assert known.of(one) == known.of(two)
    assert len(known.weights(one)) == 2
