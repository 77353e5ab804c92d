from __future__ import annotations

from pathlib import Path

import numpy as np

from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.recipes.embedding import embed_run


def test_the_event_seconds_of_a_split_are_embedded_with_their_class(drawn_run: Path, drawn_dataset: Dataset):
    videos, found = drawn_dataset.val, embed_run(drawn_run, split="val", device="cpu")
    events = videos.relevance > 0
    assert list(found.stages) == ["encoder", "cmsa", "cmgi"]
    for modality, features in (("audio", videos.audio), ("visual", videos.visual)):
        assert np.allclose(found.stages["encoder"][modality], features[events])
        assert found.stages["cmgi"][modality].shape == (int(events.sum()), 8)
    expected = [int(videos.category[video]) for video, _ in events.nonzero().tolist()]
    assert found.labels.tolist() == expected and found.title.endswith(f"val: t-SNE of {len(expected)} event seconds")


def test_a_draw_keeps_the_same_seconds_in_every_stage(drawn_run: Path):
    whole, drawn = (embed_run(drawn_run, split="val", device="cpu", most=most) for most in (2000, 9))
    places = [next(i for i, row in enumerate(whole.stages["encoder"]["audio"]) if np.array_equal(row, kept))
              for kept in drawn.stages["encoder"]["audio"]]
    assert len(set(places)) == 9 and " 9 of " in drawn.title
    assert np.array_equal(drawn.labels, whole.labels[places])
    assert np.array_equal(drawn.stages["cmgi"]["visual"], whole.stages["cmgi"]["visual"][places])
