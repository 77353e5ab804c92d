from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.recipes.pictures import answer_row


def test_a_row_is_drawn_as_it_was_evaluated(drawn_run: Path, drawn_dataset: Dataset):
    videos, names = drawn_dataset.val, drawn_dataset.categories
    row = int(videos.row[2])
    picture, batch, found = answer_row(drawn_run, row=row, split="val", tau=0.3)
    assert row == int(batch.row[0])
    assert picture.title.endswith(f"val, row {row}, {videos.video_ids[2]}")
    assert np.allclose(picture.relevance, found.relevance[0].sigmoid())
    assert picture.category == names[int(found.category[0].argmax())]
    for spans, label, seconds in (
        (picture.predicted, picture.category, picture.relevance > 0.3),
        (picture.truth, names[int(videos.category[2])], videos.relevance[2].numpy() > 0),
    ):
        covered = np.zeros(len(picture.relevance), bool)
        for span in spans:
            assert span.label == label
            covered[int(span.start) : int(span.end)] = True
        assert np.array_equal(covered, seconds)


def test_the_graph_is_the_models_attention(drawn_run: Path):
    picture, _, found = answer_row(drawn_run, split="val")
    assert picture.layers == ("layers 1 to 2", "rollout")
    assert np.array_equal(picture.adjacency["av"]["layers 1 to 2"], found.adjacency["av"][0][0].numpy())
    assert len(picture.text) == 6


@pytest.mark.parametrize(("options", "message"), [
    ({"row": 10_000}, r"row=10000 .* val split; its 6 rows"),
    ({"row": -1, "split": "test"}, "row=-1"),
    ({"overrides": ["model.dim=16"]}, r"model\.dim=16"),
    ({"overrides": ["train.seed=3"]}, r"train\.seed=3"),
])
def test_a_row_or_setting_that_cannot_be_used_is_refused(drawn_run: Path, options: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        answer_row(drawn_run, **{"split": "val", **options})
