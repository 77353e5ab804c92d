"""A row of a run's data as something to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avsgn_pyg import recipes
from avsgn_pyg.config import Config, ConfigError
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.run_folder import find_checkpoint
from avsgn_pyg.recipes.parts import open_dataset
from avsgn_pyg.recipes.pictures import answer_row, write_answer
from avsgn_pyg.visualize.picture import PictureError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Config.model_validate({
        "run_dir": tmp_path_factory.mktemp("runs"),
        "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
        "model": {"dim": 16, "text": {"slots": "per_class"}},
        "train": {"epochs": 1, "batch_size": 8, "device": "cpu"},
        "evaluate": {"bootstrap": 50},
    })
    return recipes.train(config, progress=False).folder


def test_a_row_is_shown_as_it_was_evaluated(run: Path):
    dataset = open_dataset(load_checkpoint(find_checkpoint(run)).config)
    row = int(dataset.val.row[2])
    picture, batch, found, number = answer_row(run, row=row, split="val", tau=0.3)
    assert number == row
    assert picture.title.endswith(f"val, row {row}, {dataset.val.video_ids[2]}") and int(batch.row[0]) == row
    assert np.allclose(picture.relevance, found.relevance[0].sigmoid())
    assert picture.category == dataset.categories[int(found.category[0].argmax())]
    above = np.zeros(len(picture.relevance), bool)
    for span in picture.predicted:
        assert span.label == picture.category
        above[int(span.start) : int(span.end)] = True
    assert np.array_equal(above, picture.relevance > 0.3)
    truth = np.zeros(len(picture.relevance))
    for span in picture.truth:
        assert span.label == dataset.categories[int(dataset.val.category[2])]
        truth[int(span.start) : int(span.end)] = 1
    assert torch.equal(torch.tensor(truth, dtype=torch.float32), dataset.val.relevance[2])


def test_the_graph_is_the_models_attention(run: Path):
    picture, _, found, _ = answer_row(run, split="val")
    assert picture.layers == ("layers 1 to 2", "rollout")
    assert np.array_equal(picture.adjacency["av"]["layers 1 to 2"], found.adjacency["av"][0][0].numpy())
    assert len(picture.text) == 6 and picture.text[0].endswith("(seen)") and picture.text[-1].endswith("(heard)")


def test_figures_page_and_graph_are_written(run: Path, tmp_path: Path):
    paths = write_answer(answer_row(run, split="val"), tmp_path, ("svg",), {"layer": "rollout"})
    assert [path.name for path in paths] == ["graph.svg", "adjacency.svg", "graph.html", "graph.graphml", "graph.json",
                                             "graph.pt"]
    with pytest.raises(PictureError, match="this model has"):
        write_answer(answer_row(run, split="val"), tmp_path, drawing={"layer": "layer 7"})


@pytest.mark.parametrize(("which", "message"), [
    ({"row": 10_000}, r"row=10000 is not in the val split; its 6 rows lie between"),
    ({"split": "test", "row": -1}, "row=-1 is not in the test split"),
])
def test_a_row_that_is_not_there_is_refused(run: Path, which: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        answer_row(run, **{"split": "val", **which})


@pytest.mark.parametrize("setting", ["model.dim=8", "train.seed=3"])
def test_a_picture_changes_nothing_of_the_model(run: Path, setting: str):
    with pytest.raises(ConfigError, match=rf"{setting}: a picture can change data.* and evaluate.*, nothing else"):
        answer_row(run, split="val", overrides=[setting])
