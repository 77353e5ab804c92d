"""Dropout by sixteen bits a number: what torch.nn.Dropout does, with other draws."""

from __future__ import annotations

import pytest
import torch
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

from avsgn_pyg.dropout import FEW, Dropout, dropout

SHAPES = [(FEW,), (3, FEW // 2 + 1), (64, 10, 32)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_numbers_are_dropped_at_the_rate_and_the_others_divided_by_what_is_kept(shape: tuple[int, ...], rate: float):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64) + 5
    share = torch.stack([(dropout(x, rate) == 0).double().mean() for _ in range(40)])
    assert abs(share.mean() - rate) < 5 * (rate * (1 - rate) / (40 * x.numel())) ** 0.5
    kept = dropout(x, rate)
    chance = round((1 - rate) * 2**16) / 2**16
    torch.testing.assert_close(kept[kept != 0], (x / chance)[kept != 0], rtol=1e-12, atol=0)


def test_neighbours_of_one_draw_are_independent():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(4, 250_000), 0.5) != 0).double()
    pairs = kept.view(-1, 4).T.cov(correction=0)
    assert (pairs - 0.25 * torch.eye(4)).abs().max() < 5e-3


def test_gradients_pass_where_numbers_pass():
    x = torch.ones(FEW, requires_grad=True)
    answer = dropout(x, 0.4)
    answer.sum().backward()
    assert torch.equal(x.grad, answer.detach())


def test_the_generator_of_torch_decides():
    x = torch.ones(FEW)
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append((dropout(x, 0.5), dropout(x, 0.5)))
    assert torch.equal(draws[0][0], draws[1][0]) and torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(*draws[0])


@pytest.mark.parametrize("rate", [0.0, 1e-7, 0.99999, 1.0])
def test_rates_that_sixteen_bits_cannot_tell_are_torchs_own(rate: float):
    torch.manual_seed(0)
    ours = dropout(torch.ones(FEW), rate)
    torch.manual_seed(0)
    assert torch.equal(ours, torch.nn.functional.dropout(torch.ones(FEW), rate))


def test_the_mean_is_kept_exactly_where_a_rate_is_rounded():
    torch.manual_seed(0)
    found = torch.stack([dropout(torch.ones(2**20, dtype=torch.float64), 0.99).mean() for _ in range(20)]).mean()
    assert abs(found - 1) < 5 * (99 / (20 * 2**20)) ** 0.5


def test_masks_are_drawn_where_the_numbers_are():
    x = torch.ones(FEW)
    with torch.device("meta"):
        assert dropout(x, 0.5).device.type == "cpu"


def test_few_numbers_are_torchs_own_dropout():
    torch.manual_seed(0)
    ours = dropout(torch.ones(FEW - 1), 0.3)
    torch.manual_seed(0)
    assert torch.equal(ours, torch.nn.functional.dropout(torch.ones(FEW - 1), 0.3))


def test_half_precision_keeps_its_type():
    assert dropout(torch.ones(FEW, dtype=torch.bfloat16), 0.3).dtype == torch.bfloat16


def test_outside_training_it_is_the_identity():
    x, module = torch.ones(FEW), Dropout(0.5).eval()
    assert module(x) is x and not torch.equal(module.train()(x), x)
    assert str(module) == "Dropout(p=0.5, inplace=False)"


def test_vmap_draws_a_mask_for_each_and_a_recording_draws_anew():
    each = vmap(lambda rows: dropout(rows, 0.5), randomness="different")
    x = torch.ones(2, FEW)
    recorded = make_fx(each)(x)
    for run in (each, recorded):
        one, two = run(x)
        assert not torch.equal(one, two) and not torch.equal(one, run(x)[0])
