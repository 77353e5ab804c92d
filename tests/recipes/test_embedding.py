from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.recipes.embedding import embed_run, write_tsne


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


def test_the_figure_is_written_in_every_format(drawn_run: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    paths = write_tsne(embed_run(drawn_run, split="train", device="cpu", most=40), tmp_path, ("png", "svg"))
    assert [path.name for path in paths] == ["tsne.png", "tsne.svg"] and all(path.stat().st_size for path in paths)


@pytest.mark.parametrize("option", [{"most": 1}, {"seed": -1}])
def test_options_that_cannot_be_used_are_refused(drawn_run: Path, option: dict):
    with pytest.raises(ConfigError, match="="):
        embed_run(drawn_run, **option)
