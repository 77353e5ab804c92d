"""Operations are counted, matrix products replayed, and a pass recorded that is the model's own."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from avsgn_pyg.experiments.operations import count_operations, kernels_in, products_alone, record_pass
from avsgn_pyg.experiments.workload import Engine, Workload, dense_inputs, ready_batch

SITES = ("attention", "features", "graph", "head")
TINY = Workload(videos=4, segments=4, width=16, classes=3, batch_size=4,
                overrides=("model.dim=8", *(f"model.dropout.{site}=0" for site in SITES)))


def test_what_computes_is_counted_and_views_are_not():
    x = torch.ones(4, 6)
    counts = count_operations(lambda: (x.T.reshape(2, 3, 4)[0].unsqueeze(0).expand(5, 3, 4) + 1).relu())
    assert counts["relu"] == 1 and counts["add"] == 1
    assert set(counts) <= {"relu", "add", "clone"}  # the transposed reshape copies


def test_the_backward_pass_counts():
    weight = torch.ones(3, 3, requires_grad=True)
    forward = count_operations(lambda: torch.ones(2, 3) @ weight)
    both = count_operations(lambda: torch.autograd.grad((torch.ones(2, 3) @ weight).sum(), weight))
    assert forward["mm"] == 1 and both["mm"] == 2


def test_the_products_alone_are_those_of_the_work_and_nothing_else():
    weight = torch.randn(5, 3, requires_grad=True)
    x, y = torch.randn(7, 5), torch.randn(2, 4, 5)

    def work() -> None:
        torch.autograd.grad((x @ weight).relu().sum() + (y @ weight).exp().sum(), weight)

    replay, count = products_alone(work)
    counts = count_operations(replay)
    assert counts.total() == count == sum(count_operations(work)[name] for name in ("mm", "bmm", "addmm"))


class Layouts(TorchDispatchMode):
    """Notes the sizes and strides of what every operation was given first."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append((tuple(args[0].shape), args[0].stride()))
        return func(*args, **(kwargs or {}))


def test_the_products_have_the_layout_they_had():
    x, y = torch.randn(6, 4).T, torch.randn(6, 2)
    replay, count = products_alone(lambda: x @ y)
    with Layouts() as layouts:
        replay()
    assert count == 1 and layouts.seen == [((4, 6), (1, 4))]


def test_a_recorded_pass_gives_the_models_loss_and_every_gradient():
    engine = Engine.of(TINY, "cpu")
    batch = ready_batch(engine.train, 4)
    _, total = engine.learner(batch)
    expected = torch.autograd.grad(total, list(engine.parts.model.parameters()))
    record, values = record_pass(*dense_inputs(engine, batch))
    found = record(*values)
    torch.testing.assert_close(found[0], total)
    assert len(found) == 1 + len(expected)
    for mine, theirs in zip(found[1:], expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("code", "expected"), [
    ("def call(args):\n    cpp_fused_add_0(a, b)\n    extern_kernels.mm(a, out=c)\n    b = extern_kernels.bmm(a)\n",
     (1, 2)),
    ("cpp_fused_0 = compile()\ndef call(args):\n        triton_poi_fused_0.run(a)\n    # cpp_fused_9(\n", (1, 0)),
    ("def call(args):\n    buf = torch.ops.aten.sort.default(a)\n    del buf\n", (0, 1)),
])
def test_kernels_are_read_from_the_calls_of_the_wrapper(code, expected):
    assert kernels_in(code) == expected
