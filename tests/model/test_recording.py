"""Recorded calls: the same answers and draws, from fewer operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from avsgn_pyg.model.recording import record, tidy


def tidied(call: Callable, *given: Tensor) -> tuple[Callable, Counter[str]]:
    module = make_fx(call)(*given)
    tidy(module.graph)
    module.recompile()
    return module, Counter(node.target._schema.name.split("::")[1] for node in module.graph.nodes
                           if node.op == "call_function")


def test_of_a_row_of_views_the_last_one_stays():
    rows = torch.randn(4, 6)
    module, kinds = tidied(lambda x: x.view(24).view(2, 12).view(3, 8).relu(), rows)
    assert kinds == {"view": 1, "relu": 1}
    assert torch.equal(module(rows), rows.view(3, 8).relu())


@pytest.mark.parametrize("idle", [lambda x: x.view(4, 6), lambda x: x.expand(4, 6), lambda x: x.view(2, 12).view(4, 6)])
def test_a_view_of_the_size_that_is_there_goes(idle: Callable):
    _, kinds = tidied(lambda x: idle(x).relu(), torch.randn(4, 6))
    assert kinds == {"relu": 1}


def test_an_expansion_that_makes_rows_stays():
    rows = torch.randn(1, 6)
    module, kinds = tidied(lambda x: x.expand(4, 6).relu(), rows)
    assert kinds == {"expand": 1, "relu": 1}
    assert torch.equal(module(rows), rows.expand(4, 6).relu())


def test_a_view_that_several_read_stays():
    """Their gradients are summed there, and in another place the sum might be another by a bit."""
    rows = torch.randn(4, 6)
    module, kinds = tidied(lambda x: (y := x + 1, v := y.view(2, 12), v.view(24) + v.view(3, 8).flatten() + y.sum())[2],
                           rows)
    assert kinds["view"] == 3
    assert torch.equal(module(rows), 2 * (rows + 1).view(24) + (rows + 1).sum())


@pytest.mark.parametrize(("readers", "views"), [(1, 0), (2, 0), (3, 1)])
def test_a_view_of_the_size_that_is_there_stays_beside_two_other_readers(readers: int, views: int):
    """Two gradients have one sum; of three, the order counts."""
    def call(x: Tensor) -> Tensor:
        y = x + 1
        others = [one(y) for one in (torch.exp, torch.sin)[: readers - 1]]
        return torch.stack([y.view(4, 6).relu(), *others])

    assert tidied(call, torch.randn(4, 6))[1]["view"] == views


def test_a_recording_equals_its_call_to_the_bit():
    def call(weights: list[Tensor], rows: Tensor) -> Tensor:
        parts = [rows.view(6, 10).view(60, 1).view(6, 10) @ weight.t().t() for weight in weights]
        return torch.stack(parts).view(-1).view(len(weights), 60).softmax(-1)

    weights, rows = [torch.randn(10, 10) for _ in range(5)], torch.randn(6, 10)
    found = []
    for run in (call, record(call, weights, (rows,))):
        leaves = [value.clone().requires_grad_() for value in (*weights, rows)]
        found.append(torch.autograd.grad(run(leaves[:-1], leaves[-1])[:, 0].sum(), leaves))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_what_nobody_reads_goes_and_a_number_that_is_drawn_stays():
    _, kinds = tidied(lambda x: (x.exp(), torch.rand_like(x), x.relu())[2], torch.randn(3))
    assert kinds == {"rand_like": 1, "relu": 1}


def test_a_write_into_what_was_just_made_does_not_stand_in_the_way():
    rows = torch.ones(4, 6)

    def call(x: Tensor) -> Tensor:
        return x.view(24).view(2, 12) * (x.view(2, 12) > 0).to(x.dtype).mul_(3)

    module, kinds = tidied(call, rows)
    assert kinds["view"] == 2
    assert torch.equal(module(rows), torch.full((2, 12), 3.0))


@pytest.mark.parametrize("call", [
    lambda x: (x.view(24).view(2, 12), x.add_(1))[0], lambda x: (y := x + 1, y.view(24).view(2, 12), y.mul_(2))[1],
    lambda x: (y := x + 1, z := y.view(24).view(2, 12), z.mul_(2), y)[3],
], ids=["of what was given", "of what is read", "of a view"])
def test_a_write_that_others_see_leaves_the_graph_as_it_is(call: Callable):
    module, kinds = tidied(call, torch.ones(4, 6))
    assert kinds["view"] == 2
    assert torch.equal(module(torch.ones(4, 6)), call(torch.ones(4, 6)))


def test_a_graph_that_writes_in_place_is_left_as_it_is():
    rows = torch.randn(4, 6)

    def call(x: Tensor) -> Tensor:
        x = x + 1
        x.view(24).view(2, 12).zero_()
        return x

    module, kinds = tidied(call, rows)
    assert kinds["view"] == 2
    assert not module(rows).any()


def test_an_answer_that_is_the_input_seen_again_is_a_tensor_of_its_own():
    rows = torch.randn(4, 6)
    module, _ = tidied(lambda x: x.view(4, 6), rows)
    assert module(rows) is not rows


def test_a_recording_hands_out_the_tree_that_the_call_does():
    def call(weights: list[Tensor], first: Tensor, none: None, second: Tensor) -> tuple:
        assert none is None
        return first @ weights[0], (second, {"sum": first + second})

    weights, first, second = [torch.randn(3, 3)], torch.randn(2, 3), torch.randn(2, 3)
    recording = record(call, weights, (first, None, second))
    for given in ((first, None, second), (torch.randn(2, 3), None, torch.randn(2, 3))):
        want, (same, parts) = call(weights, *given)
        found, (other, others) = recording(weights, *given)
        assert torch.equal(want, found)
        assert torch.equal(same, other)
        assert torch.equal(parts["sum"], others["sum"])


def test_a_value_that_is_no_number_is_not_taken_for_zero():
    drawn = iter([0.0, torch.nan, torch.nan])

    def call(weights: list[Tensor], rows: Tensor) -> Tensor:
        return rows * weights[0] * next(drawn)

    assert record(call, [torch.randn(3)], (torch.randn(3),)) is None


def test_without_gradients_answers_are_compared_too():
    drawn = iter(range(10))

    def call(weights: list[Tensor], rows: Tensor) -> Tensor:
        return rows * weights[0] + next(drawn)  # another number at every call: no recording has it

    with torch.no_grad():
        assert record(call, [torch.randn(3)], (torch.randn(3),)) is None


def test_two_answers_are_two_tensors():
    def call(weights: list[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows.t(), rows.t()

    one, two = record(call, [torch.randn(2)], (torch.randn(3, 4),))([torch.randn(2)], torch.randn(3, 4))
    assert one is not two


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("learns", [True, False])
def test_a_value_that_is_no_number_stops_no_recording(value: float, learns: bool):
    def call(weights: list[Tensor], rows: Tensor) -> Tensor:
        return (rows @ weights[0]).relu()

    rows = torch.randn(2, 3)
    rows[0, 0] = value
    with torch.set_grad_enabled(learns):
        recording = record(call, [torch.randn(3, 3)], (rows,))
    assert recording is not None


def test_a_gradient_that_is_a_tenth_off_is_no_recording():
    class Off(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, rows: Tensor) -> Tensor:
            return rows * 1.0

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return gradient * 1.1

    def call(weights: list[Tensor], rows: Tensor) -> Tensor:
        return Off.apply(rows @ weights[0])

    assert record(call, [torch.randn(3, 3)], (torch.randn(2, 3),)) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert record(call, [torch.randn(3, 3)], (torch.randn(2, 3),)) is None


def test_an_operation_that_failed_and_was_caught_is_no_hindrance():
    def call(weights: list[Tensor], rows: Tensor) -> Tensor:
        try:
            rows.t().view(-1)
        except RuntimeError:
            return rows.view(12).view(6, 2) @ weights[0]
        raise AssertionError("that view is possible")

    recording = record(call, [torch.randn(2, 2)], (torch.randn(4, 3),))
    assert recording is not None
