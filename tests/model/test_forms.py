"""Forms of modules: kept while nothing in a module is replaced, looked up anew where something is."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import nn

from avsgn_pyg.model import forms
from avsgn_pyg.model.forms import Form, Forms


def made(rate: float = 0.1) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(rate), nn.Sequential(nn.Linear(4, 2)))


def form_of(known: Forms, module: nn.Module) -> Form | None:
    shared = known.shared([module])
    return None if shared is None else shared.form


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that were looked through."""
    seen, settings = [], forms._settings
    monkeypatch.setattr(forms, "_settings", lambda parts: seen.append(parts[0][1]) or settings(parts))
    return seen


def test_two_of_one_build_share_a_form_and_their_weights_come_in_order():
    one, two = made(), made()
    shared = Forms("none").shared([one, two])
    assert [[id(value) for value in weights] for weights in shared.weights] == [
        [id(value) for value in module.parameters()] for module in (one, two)]


def narrow(module: nn.Module) -> nn.Module:
    module[2][0].bias = None
    return module


def other_kind(module: nn.Module) -> nn.Module:
    module[2].__class__ = nn.ModuleList
    return module


class Named(nn.Module):
    """The same parts by other names."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__()
        self.add_module(one, nn.Linear(2, 2))
        self.add_module(two, nn.Identity())


@pytest.mark.parametrize("pair", [
    (made(), made(0.2)), (made(), made().eval()), (made(), made().double()), (made(), narrow(made())),
    (made(), other_kind(made())), (Named("a", "b"), Named("a", "c")),
], ids=["setting", "mode", "precision", "no bias", "kind", "name"])
def test_what_differs_shares_no_form(pair: tuple[nn.Module, nn.Module]):
    assert Forms("none").shared(pair) is None


def test_parameters_of_one_part_are_not_those_of_another():
    """Side by side, one's bias would be multiplied as the other's."""
    one, two = (nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4)) for _ in range(2))
    one[0].bias, two[1].bias = None, None
    assert Forms("none").shared([one, two]) is None
    three, four = (nn.Sequential(nn.Identity(), nn.Identity()) for _ in range(2))
    three[0].register_parameter("scale", nn.Parameter(torch.ones(4)))
    four[1].register_parameter("scale", nn.Parameter(torch.ones(4)))
    assert Forms("none").shared([three, four]) is None


def test_a_module_is_looked_through_once(looked: list):
    known, module = Forms("none"), made()
    for _ in range(3):
        form = form_of(known, module)
    for weight in module.parameters():
        weight.data.normal_()
    module.load_state_dict(made().state_dict())
    assert form_of(known, module) == form
    assert looked == [module]


def test_weights_come_as_they_are_now():
    known, module = Forms("none"), made()
    known.shared([module])
    module[0].weight = nn.Parameter(torch.zeros(4, 3))
    assert known.shared([module]).weights[0][0] is module[0].weight


def test_a_weight_that_two_parts_share_comes_twice():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    first, _, second, _ = Forms("none").shared([module]).weights[0]
    assert first is second


def replace_all(module: nn.Module) -> None:
    module[1].__dict__ = {**vars(module[1]), "p": 0.7}


class Louder(nn.Dropout):
    """Another class with the same settings."""


@pytest.mark.parametrize("change", [
    lambda module: setattr(module[1], "p", 0.7), lambda module: module.eval(), lambda module: module.double(),
    lambda module: setattr(module[2][0], "more", 1), lambda module: module[2].append(nn.ReLU()),
    lambda module: module.__setitem__(1, nn.Identity()), lambda module: setattr(module[0], "bias", None),
    lambda module: setattr(module[0], "weight", nn.Parameter(torch.zeros(5, 3))),
    lambda module: module[1].register_parameter("scale", nn.Parameter(torch.ones(4))),
    lambda module: setattr(module[1], "__class__", Louder), replace_all,
], ids=["setting", "mode", "precision", "attribute", "child", "another child", "no bias", "another size", "new weight",
        "class", "all settings"])
def test_a_change_inside_is_another_form(change: Callable):
    known, module = Forms("none"), made()
    before = form_of(known, module)
    change(module)
    after = form_of(known, module)
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
    assert form_of(known, module) is not None
    handle = listen(module)
    try:
        assert form_of(known, module) is None
    finally:
        handle.remove()
    assert form_of(known, module) is not None


def test_statistics_have_no_form():
    assert form_of(Forms("none"), nn.BatchNorm1d(3)) is None
    module, known = made(), Forms("none")
    known.shared([module])
    module.register_buffer("seen", torch.zeros(1))
    assert form_of(known, module) is None


def test_what_takes_no_part_is_not_asked_and_what_begins_like_it_is():
    one, two = made(), made()
    two[2][0] = nn.Linear(4, 9)
    shared = Forms("2").shared([one, two])
    assert [len(weights) for weights in shared.weights] == [2, 2]
    assert len(Forms("a").shared([Named("a", "b")]).weights[0]) == 0
    assert len(Forms("a").shared([Named("ab", "c")]).weights[0]) == 2


def test_modules_that_were_replaced_are_let_go():
    known, gone = Forms("none"), []
    for _ in range(3):
        module = made()
        gone.append(weakref.ref(module))
        known.shared([module])
    known.shared([kept := made()])
    del module
    gc.collect()
    assert [one() for one in gone] == [None] * 3
    assert form_of(known, kept) is not None


def test_settings_that_change_for_ever_are_forgotten_and_their_numbers_not_used_again():
    known, module, seen = Forms("none"), made(), []
    for step in range(3 * forms.KEPT):
        module[1].p = step / 1000
        seen.append(form_of(known, module))
    assert len(known._numbers) <= forms.KEPT
    assert len(set(seen)) == len(seen)


def test_threads_that_ask_at_once_get_one_form():
    modules = [made() for _ in range(3)]
    known, found = Forms("none"), []

    def ask() -> None:
        for _ in range(200):
            found.append(known.shared(modules).form)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 800
    assert len(set(found)) == 1
