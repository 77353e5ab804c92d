"""Synthetic features follow the annotations and the seed."""

from __future__ import annotations

from pathlib import Path

import torch

from avsgn_pyg.parsing.llp import CATEGORIES, LLP, Split
from avsgn_pyg.parsing.synthetic import make_features


def annotated() -> LLP:
    labels = torch.zeros(40, 25)
    labels[:, 3] = 1.0
    audible = torch.zeros(40, 10, 25, dtype=torch.bool)
    audible[:, :6, 3] = True
    ids = tuple(f"v{number}_0_10" for number in range(40))
    others = tuple(f"t{name}" for name in ids)
    return LLP(CATEGORIES, {"train": Split(Path("t"), others, labels),
                            "val": Split(Path("v"), ids, labels, audible, ~audible & audible)})


def test_one_seed_makes_one_store_and_another_another():
    one, two, other = make_features(annotated()), make_features(annotated()), make_features(annotated(), seed=1)
    assert torch.equal(one.audio, two.audio) and torch.equal(one.visual, two.visual)
    assert not torch.equal(one.audio, other.audio)
    torch.testing.assert_close(one.audio.norm(dim=-1), torch.ones(80, 10))


def test_a_second_lies_near_its_event_where_it_is_audible_and_nowhere_where_it_is_not_visible():
    made = make_features(annotated())
    near = torch.einsum("ntd,cd->ntc", made.audio[40:], made.label_text.audio)
    assert (near[:, :6].argmax(-1) == 3).float().mean() > 0.9
    assert (near[:, 6:].argmax(-1) == 3).float().mean() < 0.3
    visible = torch.einsum("ntd,cd->ntc", made.visual[40:], made.label_text.visual)
    assert (visible.argmax(-1) == 3).float().mean() < 0.3


def test_every_event_of_train_is_audible_or_visible():
    made = make_features(annotated())
    best = [torch.einsum("ntd,d->nt", stream[:40], text[3]).amax(1)
            for stream, text in ((made.audio, made.label_text.audio), (made.visual, made.label_text.visual))]
    assert torch.maximum(*best).min() > 0.4
