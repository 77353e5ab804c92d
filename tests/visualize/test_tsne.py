"""Fig. 5: panels in the paper's order, classes that can be told apart, silhouettes that are true."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from avsgn_pyg.visualize.picture import PictureError
from avsgn_pyg.visualize.theme import TEXT_WIDTH
from avsgn_pyg.visualize.tsne import HUES, SHAPES, Panel, make_panel, tsne_figure

pytest.importorskip("sklearn")
STAGES = ("after encoder", "after CMSA", "after CMGI")
LABELS = np.repeat(np.arange(3), 8)


def clusters(spread: float) -> np.ndarray:
    """Three classes around three directions."""
    draw = np.random.default_rng(0)
    return (np.eye(3, 6)[LABELS] + spread * draw.standard_normal((24, 6))).astype(np.float32)


def made(classes: int = 28, **changes) -> dict:
    draw = np.random.default_rng(classes)
    labels = np.arange(5 * classes) % classes
    panel = Panel(draw.standard_normal((len(labels), 2)).astype(np.float32), -0.125)
    panels = {modality: dict.fromkeys(STAGES, panel) for modality in ("audio", "visual")}
    names = [f"Fixed-wing aircraft, airplane {number}" for number in range(classes)]
    return {"title": "AVE, val", "panels": panels, "labels": labels, "names": names, **changes}


def test_the_silhouette_is_of_the_features_and_not_of_the_picture():
    from sklearn.metrics import silhouette_score

    for spread in (0.05, 2.0):
        features = clusters(spread)
        panel = make_panel(features, LABELS)
        assert panel.points.shape == (24, 2) and np.isfinite(panel.points).all()
        assert panel.silhouette == pytest.approx(silhouette_score(features, LABELS, metric="cosine"))
    assert make_panel(clusters(0.05), LABELS).silhouette > 0.8 > make_panel(clusters(2.0), LABELS).silhouette + 0.5


def test_classes_that_lie_apart_do_so_on_the_plane():
    points = make_panel(clusters(0.05), LABELS).points
    middles = np.stack([points[LABELS == label].mean(0) for label in range(3)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=-1).argmin(-1)
    assert (nearest == LABELS).all()


def test_one_seed_gives_one_picture():
    once, again, other = (make_panel(clusters(0.5), LABELS, seed=seed).points for seed in (0, 0, 1))
    assert np.array_equal(once, again) and once.shape == other.shape


@pytest.mark.parametrize("asked", [{"seed": -1}, {"seed": 2**32}, {"perplexity": 0.5}, {"perplexity": float("nan")}])
def test_numbers_that_t_sne_does_not_take_are_refused(asked: dict):
    with pytest.raises(PictureError, match="t-SNE takes seeds from 0 to 4294967295, and a perplexity of 1 or more"):
        make_panel(clusters(0.5), LABELS, **asked)


def test_features_of_one_number_have_a_picture_too():
    assert make_panel(np.linspace(1.0, 2.0, 24, dtype=np.float32)[:, None], LABELS).points.shape == (24, 2)


def test_features_that_are_all_alike_have_a_picture_too():
    assert np.isfinite(make_panel(np.ones((24, 4), np.float32), LABELS).points).all()


@pytest.mark.parametrize(("labels", "features", "says"), [
    (np.zeros(24, int), clusters(1), "24 points of 1 classes"),
    (np.zeros(0, int), np.zeros((0, 4), np.float32), "0 points of 0 classes"),
    (LABELS, np.full((24, 4), np.nan, np.float32), "NaN"),
])
def test_what_has_no_picture_is_refused(labels: np.ndarray, features: np.ndarray, says: str):
    with pytest.raises(PictureError, match=says):
        make_panel(features, labels)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(PictureError, match=r"pip install -e .\[figures\]"):
        make_panel(clusters(1), LABELS)


def test_two_rows_of_three_panels_say_stage_and_silhouette():
    figure = tsne_figure(**made())
    assert len(figure.axes) == 7 and figure.get_figwidth() == TEXT_WIDTH
    said = [text.get_text().replace("\n", " ") for text in figure.texts][1:]
    assert said == [f"{modality}, {stage}: silhouette −0.12" for modality in ("audio", "visual") for stage in STAGES]
    boxes = [axes.get_position() for axes in figure.axes[:6]]
    assert [box.y0 for box in boxes[:3]] == [boxes[0].y0] * 3 and boxes[0].y0 > boxes[3].y0
    assert boxes[0].x0 < boxes[1].x0 < boxes[2].x0


def test_every_class_has_a_look_of_its_own():
    figure = tsne_figure(**made(len(HUES) * len(SHAPES)))
    looks = {(tuple(each.get_facecolor()[0]), each.get_paths()[0].vertices.tobytes())
             for each in figure.axes[0].collections}
    assert len(looks) == len(HUES) * len(SHAPES) == 64
    assert len({to_rgb(hue) for hue in HUES}) == len(HUES)


@pytest.mark.parametrize("classes", [2, 28, 64])
def test_no_two_texts_overlap_and_none_leaves_the_figure(classes: int):
    figure = tsne_figure(**made(classes, title="a long name of a data set " * 3))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [text.get_window_extent(renderer) for text in (*figure.texts, *figure.axes[-1].texts)]
    width, height = figure.bbox.size
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
    for a, b in itertools.combinations(boxes, 2):
        assert a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5


def test_the_key_names_the_classes_that_are_drawn():
    parts = made(28, labels=np.full(140, 3))
    assert [text.get_text() for text in tsne_figure(**parts).axes[-1].texts] == ["Fixed-wing aircraft, airplane 3"]


@pytest.mark.parametrize(("changes", "says"), [
    ({"panels": {}}, "the same stages"),
    ({"labels": np.arange(7)}, "140 points for 7 labels"),
    ({"names": ["one"]}, "there are 1 names"),
])
def test_parts_that_do_not_fit_are_refused(changes: dict, says: str):
    with pytest.raises(PictureError, match=says):
        tsne_figure(**made(28, **changes))
