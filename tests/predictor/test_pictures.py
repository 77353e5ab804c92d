"""A clip's timeline and graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.predictor import Predictor
from avsgn_pyg.predictor.pictures import (
    clip_picture,
    clip_window,
    read_media,
    write_clip_graph,
    write_clip_timeline,
    write_clips,
)


def test_a_second_has_its_frame_and_its_sound(clip):
    frames, waveform = read_media(clip(4), start=1, count=3)
    assert frames.shape == (3, 32, 48, 3) and len(waveform) % 3 == 0
    assert np.array_equal(frames, read_media(clip(4))[0][1:]) and len(np.unique(frames[:, -1, -1], axis=0)) == 3
    assert 0.4 < np.abs(waveform).max() <= 1


def test_a_timeline_shows_the_prediction(predictor, clip):
    prediction = predictor(clip(13, picture=False))
    picture = clip_picture(prediction)
    assert np.array_equal(picture.relevance, prediction.relevance.numpy())
    assert picture.frames is None and len(picture.waveform) % 13 == 0
    assert [span.label for span in picture.predicted] == [event.label for event in prediction.events]
    assert all("[no picture]" in span.label and not span.complete for span in picture.predicted)
    assert picture.notes == prediction.notes and "no picture" in picture.notes[0]
    assert picture.missing == {"visual": [(0.0, 13.0)]} and picture.start == 0
    assert [span.score for span in picture.predicted] == [event.confidence for event in prediction.events]
    assert picture.truth is None and not picture.adjacency


def test_a_window_has_the_graph_of_its_seconds(predictor, clip):
    path = clip(13, sound=False)
    picture, _, output = clip_window(predictor, path, start=4)
    assert picture.title.endswith(", 3 to 13 s") and picture.start == 3 and picture.missing == {"audio": [(0.0, 10.0)]}
    assert len(picture.relevance) == len(picture.frames) == 10
    assert picture.waveform is None and np.array_equal(picture.relevance, predictor(path).relevance[3:].numpy())
    assert np.array_equal(picture.adjacency["av"][picture.layers[0]], output.adjacency["av"][0][0].numpy())


def test_padding_is_not_shown(predictor, clip):
    picture, _, output = clip_window(predictor, clip(4))
    shown = [0, 1, 2, 3, 10, 11, 12, 13]
    whole = output.adjacency["av"][0][0].numpy()
    assert np.array_equal(picture.adjacency["av"][picture.layers[0]], whole[np.ix_(shown, shown)])


@pytest.mark.slow
def test_a_clip_that_cannot_be_drawn_does_not_stop_the_others(predictor, clip, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    clips = [tmp_path / "bad.mp4", clip(3), clip(4)]
    found = list(write_clips(predictor, clips, write_clip_timeline, ("svg",), out=tmp_path / "out", default=Path))
    assert [paths for paths, _ in found] == [[], *([tmp_path / "out" / f"clip{n}" / "timeline.svg"] for n in (3, 4))]
    assert "bad.mp4" in str(found[0][1]) and all(error is None for _, error in found[1:])
    assert all(path.is_file() for paths, _ in found for path in paths)


@pytest.mark.slow
def test_figures_page_and_graph_of_a_clip_are_written(predictor, clip, tmp_path):
    paths = write_clip_graph(predictor, clip(4), tmp_path / "new", ("svg",), drawing={"share": 0.2})
    assert [path.name for path in paths] == ["graph.svg", "adjacency.svg", "graph.html", "graph.graphml", "graph.json",
                                             "graph.pt"]
    data = torch.load(paths[-1], weights_only=False)
    assert len(data["audio"].x) == len(data["visual"].x) == 4
    assert not {"category", "relevance", "row"} & set(data.keys())
    assert data.clip == clip(4).name and len(data.predicted_relevance.split()) == 4


@pytest.mark.parametrize("start", [-1, 4])
def test_a_start_outside_the_clip_is_refused(predictor, clip, start):
    with pytest.raises(ConfigError, match="4 seconds"):
        clip_window(predictor, clip(4), start=start)


@pytest.mark.slow
def test_the_graph_of_several_models_is_refused_and_their_timeline_is_drawn(seeds, clip, tmp_path):
    together = Predictor.from_checkpoint(seeds, device="cpu")
    with pytest.raises(ConfigError, match=r"several: .*one seed"):
        clip_window(together, clip(4))
    assert write_clip_timeline(together, clip(4), tmp_path / "new", ("svg",))[0].is_file()
