"""The ensemble of several models' outputs has the mean of their probabilities."""

from __future__ import annotations

import torch

from avsgn_pyg.graph.localization import Ensemble, Localization, ensemble


def output(seed: int, scale: float = 1.0) -> Localization:
    draw = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(*shape, generator=draw) for shape in ((2, 5), (2, 3), (2, 3, 6)))
    category, relevance, scores = logits
    return Localization(category, relevance, segment_scores=scores,
                        gates={"audio": torch.rand(2, 3, 1, generator=draw)})


def test_probabilities_and_gates_are_the_mean_of_the_members() -> None:
    parts = [output(seed) for seed in range(3)]
    found = ensemble(parts)
    for value, expected in (
        (found.category.softmax(-1), [part.category.softmax(-1) for part in parts]),
        (found.relevance.sigmoid(), [part.relevance.sigmoid() for part in parts]),
        (found.segment_scores.softmax(-1), [part.segment_scores.softmax(-1) for part in parts]),
        (found.gates["audio"], [part.gates["audio"] for part in parts]),
    ):
        torch.testing.assert_close(value, torch.stack(expected).mean(0))
    assert not found.adjacency and ensemble(parts[:1]) is parts[0]


def test_certain_members_leave_the_logits_finite() -> None:
    found = ensemble([output(0, 1e4), output(0, 1e4), output(1, 1e4)])
    assert found.category.isfinite().all() and found.relevance.isfinite().all()
    assert torch.equal(ensemble([output(0, 1e4)] * 2).relevance, output(0, 1e4).relevance)


def test_the_module_asks_every_member() -> None:
    class Fixed(torch.nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.seed = seed

        def forward(self, batch: object) -> Localization:
            return output(self.seed)

    found = Ensemble([Fixed(0), Fixed(4)])(None)
    torch.testing.assert_close(found.relevance, ensemble([output(0), output(4)]).relevance)
