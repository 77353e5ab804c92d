"""Several events of a clip with float times, from a model that takes a whole video or windows of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.text import Text
from torch import Tensor

from avsgn_pyg.common.errors import ConfigError, DataError
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, write_annotations
from avsgn_pyg.graph.detection import DenseOutput, decode_dense
from avsgn_pyg.predictor.clips import predict_clips
from avsgn_pyg.predictor.dense import find_events
from avsgn_pyg.predictor.export import export_model
from avsgn_pyg.predictor.figures import annotated_timeline
from avsgn_pyg.predictor.pictures import write_clip_graph, write_clip_timeline
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.windows import cut

#: Class, start and end of a video of 50 s.
EVENTS = [(0, 3.25, 9.5), (0, 21.75, 32.125), (1, 5.5, 38.0), (2, 46.5, 50.0)]
DECODING = {"limit": 20, "threshold": 0.01, "sigma": 0.5, "above": 0.5}


def ideal(audio: Tensor, visual: Tensor) -> DenseOutput:
    """Scores and distances of a model that knows the events; features are times, and what it sees ends at a window."""
    times = (torch.arange(audio.shape[1]) + 0.5) / 2
    scores, distances = torch.full((*audio.shape[:2], 3), -9.0), torch.zeros(*audio.shape[:2], 3, 2)
    for window, begin in enumerate((audio[:, 0, 0] - 0.25).tolist()):
        for label, start, end in EVENTS:
            start, end = (min(max(time - begin, 0.0), audio.shape[1] / 2) for time in (start, end))
            inside = (times > start) & (times < end)
            scores[window, inside, label] = 3.0
            distances[window, inside, label] = torch.stack((times[inside] - start, end - times[inside]), -1)
    return DenseOutput(scores, distances, times)


@pytest.mark.parametrize("whole", [True, False])
def test_every_event_is_found_once_whatever_the_windows(whole: bool):
    times = (torch.arange(100)[:, None] + 0.5) / 2
    windows = cut(times.unflatten(0, (-1, 2)), 40).flatten(1, 2)
    found = find_events(ideal, windows, windows, seconds=50, rate=2, whole=whole, **DECODING)
    assert [event.category for event in found.events] == [0, 1, 0, 2]
    wanted = sorted((start, end) for _, start, end in EVENTS)
    torch.testing.assert_close(torch.tensor([event[1:3] for event in found.events]), torch.tensor(wanted))
    covered = found.category[:, 0] > 0.5
    assert covered.nonzero().flatten().tolist() == [*range(3, 10), *range(22, 32)]


@pytest.fixture
def dense(checkpoint: Callable[..., Path]) -> Callable[..., Predictor]:
    """A predictor of windows of 10 s at 2 features a second."""

    def make(**cmgi: object) -> Predictor:
        model = {"dim": 16, "text": {"slots": "per_class"}, "time_encoding": "relative", "cmgi": cmgi}
        data = {"kind": "dense", "name": "made", "features": "features.h5"}
        return Predictor.from_checkpoint(checkpoint(rate=2, data=data, model=model), device="cpu")

    return make


@pytest.mark.parametrize(("cmgi", "rows"), [({}, 18), ({"topology": "window", "window": 4}, 44)])
def test_a_video_that_the_model_takes_whole_is_decoded_as_in_evaluation(dense, cmgi: dict, rows: int):
    predictor, features = dense(**cmgi), torch.randn(2, rows, 16)
    prediction = predictor.localize(*features, tau=0.015)
    output = predictor.model(predictor.graph(*features[:, None]))
    limit = 100 * -(-rows // 20)
    [wanted] = decode_dense(output, limit=limit, threshold=0.01, sigma=0.5, durations=torch.tensor([rows / 2]))
    wanted = sorted((event for event in wanted if event.score > 0.015), key=lambda event: event.start)
    assert len(wanted) > 3 and len(prediction) == rows // 2
    for got, want in zip(prediction.found, wanted, strict=True):
        assert got == pytest.approx(want, abs=1e-5)
    probability = output.scores[0].sigmoid().unflatten(0, (-1, 2)).amax(1)
    torch.testing.assert_close(prediction.category, probability)


@pytest.mark.slow
def test_a_clip_has_events_files_a_timeline_and_the_graph_of_a_window(dense, clip, tmp_path: Path):
    predictor, path = dense(topology="window", window=4), clip(13)
    [result] = predict_clips(predictor, [path], out=tmp_path / "out", formats=["json", "eaf", "vtt"], tau=0.02)
    assert result.error is None and len(result.prediction) == 13 and result.prediction.padded == 0
    events = json.loads((tmp_path / "out" / "clip13.json").read_text())["events"]
    assert events and all(0 <= event["start"] < event["end"] <= 13.1 and event["seen"] == 1 for event in events)
    assert write_clip_timeline(predictor, path, tmp_path, tau=0.02)[0].exists()
    files = write_clip_graph(predictor, path, tmp_path, start=2)
    assert {file.name for file in files} >= {"graph.png", "graph.html", "graph.pt"}
    exported = torch.load(tmp_path / "graph.pt", weights_only=False)
    assert exported["audio"].num_nodes == 20 and exported["text"].num_nodes == 6


@pytest.mark.slow
def test_a_clip_of_a_run_s_own_data_is_drawn_with_the_annotated_events(checkpoint, clip, tmp_path: Path):
    write_annotations(tmp_path / "events.json", [
        AnnotatedVideo("clip13", 13.0, "test", (TimedEvent("Bark", 1.5, 6.25), TimedEvent("Cat", 5.0, 13.0)))])
    data = {"kind": "dense", "name": "made", "root": str(tmp_path), "annotations": "events.json",
            "features": "features.h5"}
    run = checkpoint(rate=2, data=data, model={"dim": 16, "text": {"slots": "per_class"}})
    texts = [text.get_text() for text in annotated_timeline(run, clip(13)).findobj(Text)]
    assert "ground truth" in texts and {"Bark", "Cat"} <= set(texts)
    with pytest.raises(DataError, match="clip4"):
        annotated_timeline(run, clip(4))


def test_other_rows_labels_and_export_are_refused(dense, tmp_path: Path):
    predictor = dense()
    with pytest.raises(DataError, match="2 rows each"):
        predictor.localize(torch.randn(5, 16), torch.randn(5, 16))
    with pytest.raises(ConfigError, match="labels"):
        Predictor(predictor.checkpoint, labels=("a", "b"))
    with pytest.raises(ConfigError, match="several"):
        export_model(predictor, tmp_path / "a.pt2")
