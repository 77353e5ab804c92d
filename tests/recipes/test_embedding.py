"""What Fig. 5 is drawn from: the event seconds of a split after every stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avsgn_pyg import recipes
from avsgn_pyg.config import Config, ConfigError
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.run_folder import find_checkpoint
from avsgn_pyg.recipes.embedding import embed_run, write_tsne
from avsgn_pyg.recipes.parts import open_dataset


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Config.model_validate({
        "run_dir": tmp_path_factory.mktemp("runs"),
        "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
        "model": {"dim": 8},
        "train": {"epochs": 1, "batch_size": 4, "device": "cpu"},
        "evaluate": {"bootstrap": 0},
    })
    return recipes.train(config, progress=False).folder


def test_the_event_seconds_of_a_split_are_kept_with_their_class(run: Path):
    videos = open_dataset(load_checkpoint(find_checkpoint(run)).config).val
    found = embed_run(run, split="val", device="cpu")
    events = videos.relevance > 0
    assert list(found.stages) == ["encoder", "cmsa", "cmgi"]
    for modality, features in (("audio", videos.audio), ("visual", videos.visual)):
        assert np.allclose(found.stages["encoder"][modality], features[events])
        assert found.stages["cmgi"][modality].shape == (int(events.sum()), 8)
    want = [int(videos.category[video]) for video, _ in events.nonzero().tolist()]
    assert found.labels.tolist() == want and found.title.endswith(f"val: t-SNE of {len(want)} event seconds")


def test_a_draw_keeps_the_same_seconds_in_every_stage(run: Path):
    whole, drawn = (embed_run(run, split="val", device="cpu", most=most) for most in (2000, 9))
    places = [next(i for i, row in enumerate(whole.stages["encoder"]["audio"]) if np.array_equal(row, kept))
              for kept in drawn.stages["encoder"]["audio"]]
    assert len(set(places)) == 9 and " 9 of " in drawn.title
    assert np.array_equal(drawn.labels, whole.labels[places])
    assert np.array_equal(drawn.stages["cmgi"]["visual"], whole.stages["cmgi"]["visual"][places])


def test_the_figure_is_written_in_every_format_that_is_asked_for(run: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    paths = write_tsne(embed_run(run, split="train", device="cpu", most=60), tmp_path, ("png", "svg"))
    assert [path.name for path in paths] == ["tsne.png", "tsne.svg"] and all(path.stat().st_size for path in paths)
    assert torch.is_inference_mode_enabled() is False


def test_too_few_points_are_refused(run: Path):
    with pytest.raises(ConfigError, match="most=1"):
        embed_run(run, most=1)
