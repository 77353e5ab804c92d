"""The timeline: what stands in its rows, what is left out, and that all of it can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.strips import BARS
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH, save_figure
from avsgn_pyg.visualize.timeline import timeline_figure

SPEECH = "Female speech, woman speaking"
ROWS = ["frames", "visual score", "sound", "audio score", "relevance", "ground truth", "prediction"]


def made(seconds, **changes):
    """A video of any length with all its parts."""
    generator = np.random.default_rng(seconds)
    scores = {name: generator.random(seconds).astype(np.float32) for name in ("relevance", "audio", "visual")}
    parts = {
        "title": "x4n0vSbGVzk, row 7 of AVE, val",
        "category": SPEECH,
        "frames": generator.integers(0, 256, (seconds, 36, 64, 3)).astype(np.uint8),
        "waveform": generator.normal(size=seconds * 1000).astype(np.float32),
        "relevance": scores["relevance"],
        "gates": {name: scores[name] for name in ("audio", "visual")},
        "tau": 0.6,
        "predicted": [Span(SPEECH, 0, 1), Span(SPEECH, seconds - 3, seconds)] if seconds > 4 else [],
        "truth": [Span("Bark", 1, 3), Span("Fixed-wing aircraft, airplane", 3, seconds - 1)] if seconds > 4 else [],
    }
    return {**parts, **changes}


def rows_of(figure):
    """Row name -> its axes: the name is the text left of the row."""
    found = {}
    for axes in figure.axes:
        names = [text.get_text() for text in axes.texts if text.get_ha() == "right" and text.get_text() in ROWS]
        found[names[0]] = axes
    return found


def drawn_texts(figure):
    """(text, box in pixels) of everything written."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [*axes.texts, axes.title, axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
    return [(text, text.get_window_extent(renderer)) for text in texts if text.get_text()]


def assert_readable(figure):
    """No text overlaps another one or leaves the figure, and none is tiny."""
    boxes = drawn_texts(figure)
    width, height = figure.bbox.size
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
        assert text.get_fontsize() >= 5.5, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
        assert apart, (one.get_text(), other.get_text())


@pytest.mark.parametrize("seconds", [5, 10, 60, 600])
def test_no_two_labels_overlap_and_none_leaves_the_figure(seconds):
    figure = timeline_figure(**made(seconds))
    assert figure.get_figwidth() == TEXT_WIDTH
    assert_readable(figure)


@pytest.mark.parametrize("tau", [0.0, 0.05, 0.95, 0.999])
def test_tau_at_either_end_stays_readable(tau):
    assert_readable(timeline_figure(**made(10, tau=tau)))


def test_a_single_second_and_many_events_stay_readable():
    one = made(1, predicted=[Span("Bark", 0, 1)], truth=[])
    assert_readable(timeline_figure(**one))
    names = ("Bark", SPEECH, "Cat")
    many = [Span(names[at % 3], at, at + 1) for at in range(0, 60, 2)]
    assert_readable(timeline_figure(**made(60, predicted=many, truth=many[::3])))


def test_rows_stand_in_the_order_of_the_paper():
    figure = timeline_figure(**made(10))
    rows = rows_of(figure)
    assert list(rows) == ROWS
    bottoms = [axes.get_position().y0 for axes in rows.values()]
    assert bottoms == sorted(bottoms, reverse=True)
    assert {axes.get_xlim() for axes in rows.values()} == {(0.0, 10.0)}


@pytest.mark.parametrize(("part", "row"), [("frames", "frames"), ("waveform", "sound"), ("truth", "ground truth")])
def test_what_is_missing_leaves_its_row_out(part, row):
    rows = rows_of(timeline_figure(**made(10, **{part: None})))
    assert list(rows) == [name for name in ROWS if name != row]


def test_a_model_without_gates_has_its_relevance_alone():
    assert list(rows_of(timeline_figure(**made(10, gates={})))) == ["frames", "sound", *ROWS[4:]]


def heights(axes):
    return [patch.get_height() / BARS for patch in axes.patches[1:]]


def test_a_score_is_the_relevance_times_the_gate():
    parts = made(10)
    rows = rows_of(timeline_figure(**parts))
    assert heights(rows["relevance"]) == pytest.approx(parts["relevance"].tolist(), rel=1e-5)
    for modality in ("audio", "visual"):
        want = parts["relevance"] * parts["gates"][modality]
        assert heights(rows[f"{modality} score"]) == pytest.approx(want.tolist(), rel=1e-5)
        written = [text.get_text() for text in rows[f"{modality} score"].texts if "." in text.get_text()]
        assert written == [f"{score:.2f}" for score in want]


def test_tau_is_a_line_across_the_relevance_alone():
    rows = rows_of(timeline_figure(**made(10, tau=0.25)))
    lines = {name: axes.lines for name, axes in rows.items() if axes.lines and "sound" not in name}
    assert list(lines) == ["relevance"]
    assert lines["relevance"][0].get_ydata() == pytest.approx([0.25 * BARS] * 2)
    assert "τ = 0.25" in [text.get_text() for text in rows["relevance"].texts]
    assert not rows_of(timeline_figure(**made(10, tau=None)))["relevance"].lines


def test_events_lie_where_they_are():
    rows = rows_of(timeline_figure(**made(10)))
    boxes = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in rows["prediction"].patches[1:]]
    assert boxes == [(0, 1), (7, 10)]
    assert all(to_rgb(patch.get_facecolor()) == to_rgb(COLOURS["event"]) for patch in rows["prediction"].patches[1:])


def test_a_name_without_room_becomes_a_number_that_is_told():
    texts = [text.get_text() for text, _ in drawn_texts(timeline_figure(**made(600)))]
    assert f"1 Bark   2 Fixed-wing aircraft, airplane   3 {SPEECH}" in texts
    short = made(10, truth=[Span(SPEECH, 0, 9)], predicted=[Span(SPEECH, 8, 9)])
    texts = [text.get_text() for text, _ in drawn_texts(timeline_figure(**short))]
    assert texts.count(SPEECH) == 2


def test_no_event_is_said():
    rows = rows_of(timeline_figure(**made(10, truth=[])))
    assert "no event" in [text.get_text() for text in rows["ground truth"].texts]


@pytest.mark.parametrize("seconds", [1, 3, 10, 47, 600])
@pytest.mark.parametrize("size", [(36, 64), (64, 36), (10, 100)])
def test_pictures_are_thinned_until_none_overlaps_and_show_the_second_they_stand_in(seconds, size):
    frames = np.arange(seconds).astype(np.float64)[:, None, None, None] * 255 / max(1, seconds - 1)
    frames = np.broadcast_to(frames, (seconds, *size, 3)).astype(np.uint8)
    axes = rows_of(timeline_figure(**made(seconds, frames=frames)))["frames"]
    extents = [image.get_extent() for image in axes.images]
    assert 1 <= len(extents) <= seconds
    assert extents[0][0] >= -1e-6 and extents[-1][1] <= seconds + 1e-6
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(extents))
    for image, (left, right, *_) in zip(axes.images, extents, strict=True):
        at = int((left + right) / 2)
        assert image.get_array()[0, 0, 0] == frames[at, 0, 0, 0]


def test_ten_seconds_show_ten_pictures():
    assert len(rows_of(timeline_figure(**made(10)))["frames"].images) == 10


def test_loud_and_quiet_seconds_are_seen():
    waveform = np.concatenate([np.zeros(1000), 0.5 * np.sin(np.arange(1000))]).astype(np.float32)
    parts = made(2, frames=None, waveform=waveform)
    outline = rows_of(timeline_figure(**parts))["sound"].collections[0].get_paths()[0].vertices
    first, second = outline[outline[:, 0] < 0.99], outline[outline[:, 0] > 1.01]
    assert np.ptp(first[:, 1]) < 0.01 < 0.3 < np.ptp(second[:, 1])


def test_silence_is_a_line():
    parts = made(3, waveform=np.zeros(300, np.float32))
    outline = rows_of(timeline_figure(**parts))["sound"].collections[0].get_paths()[0].vertices
    assert np.ptp(outline[:, 1]) == 0


def test_a_figure_is_the_same_file_every_time_and_opens_no_window(tmp_path):
    once, again = (save_figure(timeline_figure(**made(10)), tmp_path / f"{name}.svg").read_bytes() for name in "ab")
    assert once == again
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(("changes", "message"), [
    ({"relevance": np.zeros(0, np.float32), "frames": None, "gates": {}}, "needs a second or more"),
    ({"relevance": np.full(10, 3.0, np.float32)}, "give probabilities, not logits"),
    ({"relevance": np.full(10, np.nan, np.float32)}, "relevance lies in"),
    ({"gates": {"audio": np.full(10, -0.5, np.float32)}}, r"gates\['audio'\] lies in \[-0.5, -0.5\]"),
    ({"predicted": [Span("Bark", 4, 11)]}, r"predicted: Bark \[4, 11\) does not lie in \[0, 10\)"),
    ({"truth": [Span("Bark", 4, 4)]}, "truth: Bark"),
    ({"waveform": np.zeros(0, np.float32)}, "waveform is empty"),
])
def test_what_cannot_be_drawn_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        timeline_figure(**made(10, **changes))
