"""All roads of the benchmark's CMGI are one function of the same parameters."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.experiments.cmgi_roads import Case, forward_backward, peak_case
from avsgn_pyg.model.cmgi import CMGI, Interaction
from avsgn_pyg.model.cmsa import Streams

CASE = Case(3, 4, dim=8)


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def results(road: str, case: Case = CASE) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """A*, V*, T* and the streams' gradients; parameters' gradients as they multiply rows from the left."""
    found = forward_backward(case.on(road))()
    gradients = found[6:]
    if road in ("stacked", "folded", "vmap"):
        gradients = [one.T for kind in gradients for one in kind]
    return list(found[:6]), list(gradients)


@pytest.mark.parametrize("road", ["folded", "vmap", "blocks", "native", "gather"])
def test_values_and_every_gradient_equal_the_yardsticks(road):
    expected, found = results("stacked"), results(road)
    for theirs, mine in zip((*expected[0], *expected[1]), (*found[0], *found[1]), strict=True):
        assert theirs.abs().max() > 1e-6, "a gradient of zero would prove nothing"
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-13)
    assert len(found[1]) == 3 * 4


def test_edges_cost_more_than_products_at_every_size():
    for segments in (10, 300):
        sizes = [Case(1, segments, road=road).bytes() for road in ("stacked", "native", "gather")]
        assert sizes == sorted(sizes) and sizes[0] < sizes[1] < sizes[2]


def test_the_estimate_of_a_matrix_grows_with_the_square_and_of_messages_by_the_width_more():
    long, longer = (Case(1, segments).bytes() for segments in (1000, 2000))
    assert 3 < longer / long < 4
    assert Case(1, 300, road="gather").bytes() > 16 * 4 * 600**2 * 256


def test_the_pass_measured_for_its_memory_is_the_same_pass():
    torch.set_default_dtype(torch.float32)
    for mine, theirs in zip(peak_case(CASE)(), forward_backward(CASE)(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_no_pass_of_a_size_is_made_before_its_memory_is_measured(monkeypatch: pytest.MonkeyPatch):
    """What a pass leaves behind would be taken for what the process held all along."""
    sizes, forward = [], CMGI.forward

    def watched(self: CMGI, streams: Streams) -> Interaction:
        sizes.append(len(streams.audio))
        return forward(self, streams)

    monkeypatch.setattr(CMGI, "forward", watched)
    work = peak_case(CASE.on("blocks"))
    assert CASE.videos not in sizes
    work()
    assert sizes[-1] == CASE.videos
