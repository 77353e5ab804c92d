"""Fig. 5: panels in the paper's order, classes that can be told apart, correct silhouettes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from avsgn_pyg.visualize.picture import PictureError
from avsgn_pyg.visualize.theme import TEXT_WIDTH
from avsgn_pyg.visualize.tsne import Panel, make_panel, place_names, tsne_figure

pytest.importorskip("sklearn")
STAGES = ("after encoder", "after CMSA", "after CMGI")
LABELS = np.repeat(np.arange(3), 8)


def clusters(spread: float) -> np.ndarray:
    """Three classes around three directions."""
    draw = np.random.default_rng(0)
    return (np.eye(3, 6)[LABELS] + spread * draw.standard_normal((24, 6))).astype(np.float32)


def parts(classes: int = 28, stages=STAGES, **changes) -> dict:
    draw = np.random.default_rng(classes)
    labels = np.arange(5 * classes) % classes
    panel = Panel(draw.standard_normal((len(labels), 2)).astype(np.float32), -0.125)
    panels = {modality: dict.fromkeys(stages, panel) for modality in ("audio", "visual")}
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


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "stages", "columns"), [(3, STAGES, 3), (28, STAGES[1:], 2)])
def test_panels_name_stage_silhouette_and_classes(classes, stages, columns, texts_of):
    given = parts(classes, stages, names=[f"kind {number}, of many" for number in range(classes)])
    figure = tsne_figure(**given)
    assert [texts_of(figure).count(f"kind {number}") for number in range(classes)] == [2 * len(stages)] * classes
    titles = [axes.texts[0].get_text().replace("\n", " ") for axes in panels_of(figure)]
    wanted = [(modality, stage) for modality in ("audio", "visual") for stage in stages]
    wanted = wanted if columns == 3 else sorted(wanted, key=lambda one: STAGES.index(one[1]))
    assert titles == [f"{modality}, {stage}: silhouette −0.12" for modality, stage in wanted]
    boxes = [axes.get_position() for axes in panels_of(figure)]
    assert figure.get_figwidth() == TEXT_WIDTH
    assert boxes[0].y0 == boxes[columns - 1].y0 > boxes[columns].y0 and boxes[0].x0 < boxes[1].x0


@pytest.mark.slow
def test_names_without_room_are_listed(texts_of):
    key = " ".join(text for text in texts_of(tsne_figure(**parts(64, STAGES[:1]))) if "aircraft" in text)
    assert "not named in every panel" in key


def test_a_name_is_beside_the_dense_part_of_its_class_and_on_no_other():
    draw = np.random.default_rng(0)
    middles = np.array([[0.5, 0.5], [1.5, 0.5], [1.0, 1.5]])
    points = np.concatenate([middles[LABELS] + 0.03 * draw.standard_normal((24, 2)), [[0.5, 1.7]]])
    labels = np.append(LABELS, 0)  # one of the first class lies far away
    found = place_names(points.astype(np.float32), labels, {0: "Bark", 1: "Cat", 2: "Bus"}, 2.0)
    for label, name in found.items():
        assert np.linalg.norm(np.array(name.centre) - middles[label]) < 0.1
        assert np.linalg.norm(np.array((name.x, name.y)) - middles[label]) < 0.5
    crowded = place_names(np.full((3, 2), 0.1, np.float32), np.arange(3), {0: "Bark", 1: "Cat", 2: "Bus"}, 0.3)
    assert len(crowded) < 3


@pytest.mark.slow
def test_every_class_has_a_colour_of_its_own():
    one = {"audio": {"after encoder": parts(28)["panels"]["audio"]["after encoder"]}}
    (points,) = panels_of(tsne_figure(**parts(28, panels=one)))[0].collections
    assert len({tuple(colour) for colour in points.get_facecolor()}) == 28


@pytest.mark.parametrize(("changes", "says"), [
    ({"panels": {}}, "the same stages"),
    ({"labels": np.arange(7)}, "140 points for 7 labels"),
    ({"names": ["one"]}, "there are 1 names"),
])
def test_parts_that_do_not_fit_are_errors(changes: dict, says: str):
    with pytest.raises(PictureError, match=says):
        tsne_figure(**parts(28, **changes))
