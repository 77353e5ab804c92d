"""Operations are counted in eager work, kernels in inductor's code."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.experiments.operations import count_operations, kernels_in


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


@pytest.mark.parametrize(("code", "expected"), [
    ("def call(args):\n    cpp_fused_add_0(a, b)\n    extern_kernels.mm(a, out=c)\n    b = extern_kernels.bmm(a)\n",
     (1, 2)),
    ("cpp_fused_0 = compile()\ndef call(args):\n        triton_poi_fused_0.run(a)\n    # cpp_fused_9(\n", (1, 0)),
    ("def call(args):\n    buf = torch.ops.aten.sort.default(a)\n    del buf\n", (0, 1)),
])
def test_kernels_are_read_from_the_calls_of_the_wrapper(code, expected):
    assert kernels_in(code) == expected
