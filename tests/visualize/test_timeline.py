"""The timeline: what its rows show, what is left out, and that all of it can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from avsgn_pyg.visualize.events import Span, in_lanes
from avsgn_pyg.visualize.picture import Picture
from avsgn_pyg.visualize.strips import BARS, TRACK
from avsgn_pyg.visualize.theme import COLOURS, TEXT_WIDTH
from avsgn_pyg.visualize.timeline import timeline_figure

SPEECH = "Female speech, woman speaking"
ROWS = ["frames", "visual score", "sound", "audio score", "relevance", "ground truth", "prediction"]


def video(seconds, **changes):
    """A video of any length with all its parts."""
    generator = np.random.default_rng(seconds)
    scores = {name: generator.random(seconds).astype(np.float32) for name in ("relevance", "audio", "visual")}
    return Picture(**{
        "title": "x4n0vSbGVzk, row 7 of AVE, val",
        "category": SPEECH,
        "frames": generator.integers(0, 256, (seconds, 36, 64, 3)).astype(np.uint8),
        "waveform": generator.normal(size=seconds * 1000).astype(np.float32),
        "relevance": scores["relevance"],
        "gates": {name: scores[name] for name in ("audio", "visual")},
        "tau": 0.6,
        "predicted": [Span(SPEECH, 0, 1), Span(SPEECH, seconds - 3, seconds)] if seconds > 4 else [],
        "truth": [Span("Bark", 1, 3), Span("Fixed-wing aircraft, airplane", 3, seconds - 1)] if seconds > 4 else [],
        **changes,
    })


def rows_of(figure):
    """Row name -> its axes: the name is the text left of the row."""
    return {text.get_text(): axes for axes in figure.axes for text in axes.texts
            if text.get_ha() == "right" and text.get_text() in ROWS}


MANY = [Span(("Bark", SPEECH, "Cat")[at % 3], at, at + 1) for at in range(0, 60, 2)]


@pytest.mark.parametrize("given", [
    video(10, tau=0.999), video(60, predicted=MANY, truth=MANY[::3]), video(1, predicted=[Span("Bark", 0, 1)]),
])
def test_all_texts_are_readable_and_the_rows_are_in_the_papers_order(given, texts_of):
    figure = timeline_figure(given)
    assert figure.get_figwidth() == TEXT_WIDTH
    assert {given.title, f"predicted class: {SPEECH}", "time (s)"} <= set(texts_of(figure))
    rows = rows_of(figure)
    bottoms = [axes.get_position().y0 for axes in rows.values()]
    assert list(rows) == ROWS and bottoms == sorted(bottoms, reverse=True)
    assert {axes.get_xlim() for axes in rows.values()} == {(0.0, float(len(given.relevance)))}


@pytest.mark.parametrize(("changes", "missing"), [
    ({"frames": None, "truth": None}, {"frames", "ground truth"}),
    ({"waveform": None, "gates": {}}, {"sound", "visual score", "audio score"}),
])
def test_a_missing_part_has_no_row(changes, missing):
    assert list(rows_of(timeline_figure(video(10, **changes)))) == [name for name in ROWS if name not in missing]


def test_a_score_is_the_relevance_times_the_gate():
    given = video(10)
    rows = rows_of(timeline_figure(given))
    gates = {"relevance": 1.0, "audio score": given.gates["audio"], "visual score": given.gates["visual"]}
    for name, gate in gates.items():
        want = given.relevance * gate
        heights = [patch.get_height() / BARS for patch in rows[name].patches[1:]]
        assert heights == pytest.approx(want.tolist(), rel=1e-5) and max(want) > 0.5
        written = [text.get_text() for text in rows[name].texts if text.get_text().startswith("0.")]
        assert written == [f"{score:.2f}" for score in want]


@pytest.mark.slow
@pytest.mark.parametrize(("share", "top"), [(1.0, "1"), (0.47, "0.5"), (0.24, "0.25"), (0.001, "0.1")])
def test_both_scores_fill_one_scale_that_is_written_at_its_ends(share, top):
    gates = {"audio": np.full(10, share, np.float32), "visual": np.full(10, share / 3, np.float32)}
    rows = rows_of(timeline_figure(video(10, relevance=np.ones(10, np.float32), gates=gates)))
    for name, score in (("audio score", share), ("visual score", share / 3), ("relevance", 1.0)):
        end = "1" if name == "relevance" else top
        assert [text.get_text() for text in rows[name].texts if text.get_size() == 5.5] == ["0", end]
        assert rows[name].patches[1].get_height() == pytest.approx(BARS * score / float(end), rel=1e-5)


@pytest.mark.slow
def test_tau_is_a_line_across_the_relevance_alone():
    rows = rows_of(timeline_figure(video(10, tau=0.25)))
    assert [name for name, axes in rows.items() if axes.lines and name != "sound"] == ["relevance"]
    assert rows["relevance"].lines[0].get_ydata() == pytest.approx([0.25 * BARS] * 2)
    assert "τ = 0.25" in [text.get_text() for text in rows["relevance"].texts]
    assert not rows_of(timeline_figure(video(10, tau=None)))["relevance"].lines


def test_events_are_boxes_over_their_seconds():
    rows = rows_of(timeline_figure(video(10, truth=[])))
    boxes = rows["prediction"].patches[1:]
    assert [(box.get_x(), box.get_x() + box.get_width()) for box in boxes] == [(0, 1), (7, 10)]
    assert all(to_rgb(box.get_facecolor()) == to_rgb(COLOURS["event"]) for box in boxes)
    assert "no event" in [text.get_text() for text in rows["ground truth"].texts]


def test_an_event_that_is_not_both_seen_and_heard_is_hollow():
    spans = [Span("Bark", 1, 4), Span("Bark [no sound]", 5, 10, complete=False)]
    row = rows_of(timeline_figure(video(10, predicted=spans)))["prediction"]
    solid, *rest = row.patches[1:]
    assert len(rest) == 2 and to_rgb(rest[0].get_facecolor()) == to_rgb(solid.get_facecolor())
    frame, hole = (box.get_bbox() for box in rest)
    assert to_rgb(rest[1].get_facecolor()) == to_rgb(TRACK)
    assert frame.x0 < hole.x0 < hole.x1 < frame.x1 and frame.y0 < hole.y0 < hole.y1 < frame.y1
    assert [text.get_color() for text in row.texts if "sound" in text.get_text()] == [COLOURS["ink"]]


def test_the_confidence_is_behind_the_name_where_it_has_room(texts_of):
    spans = [Span("Bark", 0.2, 0.9, score=0.512), Span("Bark", 1, 2, score=0.1), Span("Bark", 4, 9, score=0.987)]
    texts = texts_of(timeline_figure(video(10, predicted=spans, truth=None)))
    assert [text for text in texts if text.startswith("Bark")] == ["Bark", "Bark 0.10", "Bark 0.99"]


def test_times_without_picture_or_sound_are_hatched_and_named(texts_of):
    missing = {"visual": [(0.0, 10.0)], "audio": [(0.0, 0.1), (6.0, 8.5)]}
    figure = timeline_figure(video(10, frames=None, missing=missing))
    rows = rows_of(figure)
    found = {name: [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in rows[name].patches
                    if patch.get_hatch()] for name in ("frames", "sound")}
    assert found == {"frames": missing["visual"], "sound": missing["audio"]}
    assert [text for text in texts_of(figure) if text in ("no picture", "no sound")] == ["no picture", "no sound"]


def test_a_later_part_of_a_video_keeps_the_video_s_time(texts_of):
    given = video(30, frames=None, waveform=None, gates={}, truth=None, start=3592)
    texts = texts_of(timeline_figure(given))
    assert {"0:59:55", "1:00:20", "time (h:mm:ss)"} <= set(texts)


def test_notes_are_below_the_class(texts_of):
    notes = ("no sound in this file", "it ends early")
    assert {f"predicted class: {SPEECH}", *notes} <= set(texts_of(timeline_figure(video(10, notes=notes))))


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "name", "ticks"), [
    (300, "time (s)", {"0", "300"}), (900, "time (h:mm:ss)", {"0:00:00", "0:02:00"}),
    (7200, "time (h:mm:ss)", {"0:00:00", "1:00:00", "2:00:00"}),
])
def test_long_axes_have_hours_and_minutes(texts_of, seconds, name, ticks):
    texts = set(texts_of(timeline_figure(video(seconds, frames=None, waveform=None, gates={}, truth=None))))
    assert name in texts and ticks <= texts


def test_names_without_room_become_numbers_with_a_key(texts_of):
    assert f"1 Bark   2 Fixed-wing aircraft, airplane   3 {SPEECH}" in texts_of(timeline_figure(video(600)))


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "size"), [(10, (36, 64)), (10, (10, 100)), (600, (64, 36))])
def test_frames_never_overlap_and_each_is_of_the_second_it_is_drawn_in(seconds, size):
    frames = np.arange(seconds).astype(np.float64)[:, None, None, None] * 255 / max(1, seconds - 1)
    frames = np.broadcast_to(frames, (seconds, *size, 3)).astype(np.uint8)
    axes = rows_of(timeline_figure(video(seconds, frames=frames)))["frames"]
    extents = [image.get_extent() for image in axes.images]
    assert 1 <= len(extents) <= seconds and (len(extents) == 10 or (seconds, size) != (10, (36, 64)))
    assert extents[0][0] >= -1e-6 and extents[-1][1] <= seconds + 1e-6
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(extents))
    for image, (left, right, *_) in zip(axes.images, extents, strict=True):
        assert image.get_array()[0, 0, 0] == frames[int((left + right) / 2), 0, 0, 0]


def test_loud_and_quiet_seconds_differ_and_silence_is_a_line():
    def heights(waveform):
        figure = timeline_figure(video(2, frames=None, waveform=waveform.astype(np.float32)))
        outline = rows_of(figure)["sound"].collections[0].get_paths()[0].vertices
        return np.ptp(outline[outline[:, 0] < 0.99, 1]), np.ptp(outline[outline[:, 0] > 1.01, 1])

    quiet, loud = heights(np.concatenate([np.zeros(1000), 0.5 * np.sin(np.arange(1000))]))
    assert quiet < 0.01 < 0.3 < loud
    assert heights(np.zeros(300)) == (0, 0)


def test_overlapping_events_lie_in_lanes_below_each_other_one_label_in_one_lane(texts_of):
    times = [("Rain", 2.5, 50), ("Bark", 4, 9.25), ("Bark", 30, 36), ("Bell", 8, 20), ("Saw", 52, 59)]
    spans = [Span(*each) for each in times]
    assert in_lanes(spans) == [[spans[0], spans[4]], spans[1:3], [spans[3]]] and in_lanes([]) == [[]]
    again = [Span("Bark", 0, 5), Span("Bark", 3, 6), Span("Bark", 5, 9)]
    assert in_lanes(again) == [[again[0], again[2]], [again[1]]]
    given = video(60, predicted=spans, truth=again)
    figure = timeline_figure(given)
    assert {"Rain", "Bell", "ground truth", "prediction"} <= set(texts_of(figure))
    boxes = [[patch.get_x() for patch in axes.patches[1:]] for axes in figure.axes[-5:]]
    assert boxes == [[0, 5], [3], [2.5, 52], [4, 30], [8]]
    heights = [axes.get_position().y0 for axes in figure.axes]
    assert heights == sorted(heights, reverse=True)
