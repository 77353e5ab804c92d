"""The stacked form and both backends of the benchmark's CMGI are one function of the same parameters."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.experiments.cmgi_backends import Case, forward_backward

CASE = Case(3, 4, dim=8)


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def results(form: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """A*, V*, T* and the streams' gradients; parameters' gradients as they multiply rows from the left."""
    found = forward_backward(CASE.on(form))()
    gradients = found[6:]
    if form == "stacked":
        gradients = [one.T for kind in gradients for one in kind]
    return list(found[:6]), list(gradients)


@pytest.mark.parametrize("form", ["blocks", "native"])
def test_values_and_every_gradient_equal_the_stacked_forms(form):
    expected, found = results("stacked"), results(form)
    for theirs, mine in zip((*expected[0], *expected[1]), (*found[0], *found[1]), strict=True):
        assert theirs.abs().max() > 1e-6, "a gradient of zero would prove nothing"
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-13)
    assert len(found[1]) == 3 * 4
