"""Fig. 5: panels in the paper's order, classes that can be told apart, correct silhouettes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

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


def parts(classes: int = 28, **changes) -> dict:
    draw = np.random.default_rng(classes)
    labels = np.arange(5 * classes) % classes
    panel = Panel(draw.standard_normal((len(labels), 2)).astype(np.float32), -0.125)
    panels = {modality: dict.fromkeys(STAGES, panel) for modality in ("audio", "visual")}
    names = [f"Fixed-wing aircraft, airplane {number}" for number in range(classes)]
    return {"title": "a long name of a data set " * 3, "panels": panels, "labels": labels, "names": names, **changes}


def panels_of(figure):
    return [axes for axes in figure.axes if axes.axison]


def test_the_silhouette_is_of_the_features_and_the_classes_lie_apart_on_the_plane():
    from sklearn.metrics import silhouette_score

    tight, loose = (make_panel(clusters(spread), LABELS) for spread in (0.05, 2.0))
    assert tight.silhouette == pytest.approx(silhouette_score(clusters(0.05), LABELS, metric="cosine"))
    assert tight.silhouette > 0.8 > loose.silhouette + 0.5
    middles = np.stack([tight.points[LABELS == label].mean(0) for label in range(3)])
    assert (np.linalg.norm(tight.points[:, None] - middles, axis=-1).argmin(-1) == LABELS).all()


@pytest.mark.parametrize("features", [
    np.linspace(1.0, 2.0, 24, dtype=np.float32)[:, None], np.ones((24, 4), np.float32),
])
def test_one_feature_and_equal_features_have_a_picture_too_and_one_seed_gives_one(features):
    once, again = (make_panel(features, LABELS, seed=3).points for _ in range(2))
    assert np.isfinite(once).all() and np.array_equal(once, again)


@pytest.mark.parametrize(("labels", "features", "options", "says"), [
    (np.zeros(24, int), clusters(1), {}, "24 points of 1 classes"),
    (LABELS, np.full((24, 4), np.nan, np.float32), {}, "NaN"),
    (LABELS, clusters(1), {"seed": 2**32}, "seeds"),
    (LABELS, clusters(1), {"perplexity": 0.5}, "perplexity"),
])
def test_what_has_no_picture_is_an_error(labels, features, options, says):
    with pytest.raises(PictureError, match=says):
        make_panel(features, labels, **options)


def test_without_scikit_learn_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(PictureError, match=r"pip install -e .\[figures\]"):
        make_panel(clusters(1), LABELS)


def test_two_rows_of_three_panels_name_stage_silhouette_and_classes(texts_of):
    given = parts(28)
    figure = tsne_figure(**given)
    assert set(given["names"]) <= set(texts_of(figure))
    titles = [axes.texts[0].get_text().replace("\n", " ") for axes in panels_of(figure)]
    assert titles == [f"{modality}, {stage}: silhouette −0.12" for modality in ("audio", "visual") for stage in STAGES]
    boxes = [axes.get_position() for axes in panels_of(figure)]
    assert figure.get_figwidth() == TEXT_WIDTH
    assert boxes[0].y0 == boxes[2].y0 > boxes[3].y0 and boxes[0].x0 < boxes[1].x0 < boxes[2].x0


def test_every_class_has_a_look_of_its_own():
    one = {"audio": {"after encoder": parts(64)["panels"]["audio"]["after encoder"]}}
    looks = {(tuple(each.get_facecolor()[0]), each.get_paths()[0].vertices.tobytes())
             for each in panels_of(tsne_figure(**parts(64, panels=one)))[0].collections}
    assert len(looks) == len(HUES) * len(SHAPES) == 64


@pytest.mark.parametrize(("changes", "says"), [
    ({"panels": {}}, "the same stages"),
    ({"labels": np.arange(7)}, "140 points for 7 labels"),
    ({"names": ["one"]}, "there are 1 names"),
])
def test_parts_that_do_not_fit_are_errors(changes: dict, says: str):
    with pytest.raises(PictureError, match=says):
        tsne_figure(**parts(28, **changes))
