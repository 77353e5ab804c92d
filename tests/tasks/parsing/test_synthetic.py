"""Synthetic features follow the annotations and the seed."""

from __future__ import annotations

from pathlib import Path

import torch

from avsgn_pyg.tasks.parsing.llp import CATEGORIES, LLP, Split
from avsgn_pyg.tasks.parsing.synthetic import make_features


def annotated() -> LLP:
    labels = torch.zeros(40, 25)
    labels[:, 3] = 1.0
    audible = torch.zeros(40, 10, 25, dtype=torch.bool)
    audible[:, :6, 3] = True
    ids = tuple(f"v{number}_0_10" for number in range(40))
    others = tuple(f"t{name}" for name in ids)
    return LLP(CATEGORIES, {"train": Split(Path("t"), others, labels),
                            "val": Split(Path("v"), ids, labels, audible, ~audible & audible)})


def test_one_seed_gives_one_store_and_another_another():
    one, two, other = (make_features(annotated(), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.audio, two.audio) and torch.equal(one.visual, two.visual)
    assert not torch.equal(one.audio, other.audio)
    torch.testing.assert_close(one.audio.norm(dim=-1), torch.ones(80, 10))


def test_features_follow_the_times_of_val_and_the_labels_of_train():
    made = make_features(annotated())
    audio, visual = (torch.einsum("ntd,cd->ntc", stream, text) for stream, text in (
        (made.audio, made.label_text.audio), (made.visual, made.label_text.visual)))
    assert (audio[40:, :6].argmax(-1) == 3).float().mean() > 0.9
    assert (audio[40:, 6:].argmax(-1) == 3).float().mean() < 0.3
    assert (visual[40:].argmax(-1) == 3).float().mean() < 0.3
    assert torch.maximum(audio[:40, :, 3].amax(1), visual[:40, :, 3].amax(1)).min() > 0.4
