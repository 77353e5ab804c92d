"""A clip as something to look at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avsgn_pyg.config import ConfigError
from avsgn_pyg.predictor import Predictor
from avsgn_pyg.predictor.pictures import clip_picture, clip_window, read_media, with_media, write_clip_graph


def test_a_second_has_its_picture_and_its_sound(clip):
    frames, waveform = read_media(clip(4), start=1, count=3)
    assert frames.shape == (3, 32, 48, 3) and len(waveform) % 3 == 0
    shades = [np.random.default_rng(at).integers(0, 255, 3, dtype=np.uint8) for at in (1, 2, 3)]
    for frame, shade in zip(frames, shades, strict=True):
        assert np.abs(frame.mean((0, 1)) - shade).max() < 12
    assert 0.4 < np.abs(waveform).max() < 0.9


def test_a_missing_track_is_left_out(clip):
    frames, waveform = read_media(clip(2, sound=False))
    assert frames is not None and waveform is None
    frames, waveform = read_media(clip(2, picture=False))
    assert frames is None and waveform is not None


def test_a_timeline_shows_what_was_predicted(checkpoint, clip):
    prediction = Predictor.from_checkpoint(checkpoint(), device="cpu")(clip(12))
    picture = clip_picture(prediction)
    assert np.array_equal(picture.relevance, prediction.relevance.numpy()) and len(picture.frames) == 12
    assert [span.label for span in picture.predicted] == [event.category for event in prediction.events]
    assert picture.truth is None and not picture.adjacency


def test_a_window_has_the_graph_of_its_seconds(checkpoint, clip):
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    picture, _, found = clip_window(predictor, clip(17), start=6)
    assert picture.title.endswith("seconds 5 to 15") and len(picture.relevance) == len(picture.frames) == 10
    assert np.array_equal(picture.relevance, predictor(clip(17)).relevance[5:15].numpy())
    assert np.array_equal(picture.adjacency["av"][picture.layers[0]], found.adjacency["av"][0][0].numpy())


def test_padded_seconds_are_not_shown(checkpoint, clip):
    picture, _, found = clip_window(Predictor.from_checkpoint(checkpoint(), device="cpu"), clip(4))
    assert {name: len(layers[picture.layers[0]]) for name, layers in picture.adjacency.items()}["av"] == 8
    whole = found.adjacency["av"][0][0].numpy()
    kept = [0, 1, 2, 3, 10, 11, 12, 13]
    assert np.array_equal(picture.adjacency["av"][picture.layers[0]], whole[np.ix_(kept, kept)])
    assert picture.graph()


def test_a_row_takes_the_media_of_its_clip(checkpoint, clip):
    picture = clip_picture(Predictor.from_checkpoint(checkpoint(), device="cpu")(clip(4)))
    longer = with_media(picture, clip(12))
    assert len(longer.frames) == len(picture.relevance) == 4


def test_a_clips_figures_page_and_graph_are_written(checkpoint, clip, tmp_path):
    paths = write_clip_graph(checkpoint(), clip(4), tmp_path / "new", device="cpu", drawing={"arrangement": "stacked"})
    assert [path.name for path in paths] == ["graph.png", "adjacency.png", "graph.html", "graph.graphml", "graph.json",
                                             "graph.pt"]
    data = torch.load(paths[-1], weights_only=False)
    assert len(data["audio"].x) == len(data["visual"].x) == 4
    assert not {"category", "relevance", "row"} & set(data.keys())
    assert data.clip == clip(4).name and len(data.predicted_relevance.split()) == 4


@pytest.mark.parametrize("start", [-1, 4])
def test_a_start_outside_the_clip_is_refused(checkpoint, clip, start):
    with pytest.raises(ConfigError, match="which has 4 seconds"):
        clip_window(Predictor.from_checkpoint(checkpoint(), device="cpu"), clip(4), start=start)
