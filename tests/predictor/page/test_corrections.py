"""A corrected clip becomes data that training reads, beside what the model learned from."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from avsgn_pyg.common.config import load_config
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import read_annotations
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.predictor.page.corrections import WEIGHT, save


@pytest.fixture
def keep(page, analysed, trained, movie, tmp_path):
    """Save the movie with some events; returns the sentence and the data set to train on."""

    def run(*events, clip=movie, name="movie.mp4", **changes):
        result = page.uploads.examples[0].results["tiny|"]
        prediction = replace(result.prediction, name=name, **changes)
        saved = save(tmp_path / "kept", clip, prediction, events, result.encoded, trained)
        if not saved.settings:
            return saved.text, None
        stopped_early = ["train.select=val", "train.early_stop=3"]  # the run may have been
        config = load_config(trained.checkpoint.path / "config.yaml", [*stopped_early, *saved.settings])
        return saved.text, load_dataset(config.data)

    return run


def test_the_corrected_event_is_trained_and_the_clip_no_longer_tested(keep, tmp_path) -> None:
    text, data = keep(("dog", 2.0, 7.0))
    train = data.train
    mine = [at for at in range(len(train)) if train.video_ids[at].startswith("movie-")]
    assert len(mine) == WEIGHT and len(train) == 3 + WEIGHT and "with the 3 clips" in text
    assert all(int(train.category[at]) == data.categories.index("dog") for at in mine)
    assert train.relevance[mine[0]].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert data.test is None
    [kept] = read_annotations(tmp_path / "kept" / "annotations.json")
    assert kept.events == (("dog", 2.0, 7.0),) and (tmp_path / "kept" / "videos" / f"{kept.video_id}.mp4").is_file()


def test_a_clip_saved_again_replaces_its_rows_and_another_adds_its_own(keep, movie, tmp_path) -> None:
    keep(("dog", 2.0, 7.0))
    _, data = keep(("bell", 0.0, 3.0))
    assert len(data.train) == 3 + WEIGHT
    other = tmp_path / "other.mp4"
    shutil.copyfile(movie, other)
    text, data = keep(("dog", 1.0, 2.0), clip=other, name="other.mp4")
    assert len(data.train) == 3 + 2 * WEIGHT and text.startswith("Saved. Now 2 corrected clips")


@pytest.mark.parametrize(("name", "left"), [("other.mp4", 3), ("four.mp4", 2)])
def test_neither_the_content_nor_the_name_of_a_corrected_clip_stays_in_the_data(keep, name: str, left: int) -> None:
    _, data = keep(("dog", 2.0, 7.0), name=name)
    assert data.test is None and len(data.train) == left + WEIGHT


def test_a_clip_of_a_dense_model_is_kept_with_its_times_and_not_trained(keep, tmp_path) -> None:
    text, _ = keep(("dog", 2.25, 7.5), ("bell", 3.0, 4.0), found=())
    assert "now has 1 clip." in text
    [kept] = read_annotations(tmp_path / "kept" / "annotations.json")
    assert kept.events == (("dog", 2.25, 7.5), ("bell", 3.0, 4.0))


def test_a_clip_without_events_is_trained_as_background(keep) -> None:
    _, data = keep()
    mine = [at for at in range(len(data.train)) if data.train.video_ids[at].startswith("movie-")]
    assert float(data.train.relevance[mine].sum()) == 0


def test_several_events_in_one_window_are_refused_by_a_model_that_learns_one(keep, tmp_path) -> None:
    with pytest.raises(DataError, match="one per window"):
        keep(("dog", 0.0, 2.0), ("bell", 4.0, 5.0))
