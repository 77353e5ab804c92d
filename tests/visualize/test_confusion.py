"""The confusion figure: what it shows, and that all of it can be read."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from matplotlib.collections import QuadMesh

from avsgn_pyg.visualize.confusion import confusion_figure
from avsgn_pyg.visualize.theme import TEXT_WIDTH

LONG = ("Female speech, woman speaking", "Cat", "Fixed-wing aircraft, airplane", "Frying (food)", "Bus")


def class_names(classes):
    return [f"{LONG[index % len(LONG)]} {index}" for index in range(classes)]


def counts(classes):
    """A strong diagonal, a few strays, many zeros; background is the largest row."""
    generator = torch.Generator().manual_seed(classes)
    strays = torch.randint(0, 8, (classes + 1, classes + 1), generator=generator)
    strays[torch.rand(strays.shape, generator=generator) < 0.7] = 0
    strays[-1] *= 10
    return strays + torch.diag(torch.randint(20, 90, (classes + 1,), generator=generator))


def blocks(figure):
    """Classes by classes, by background, and background by both."""
    return [mesh for mesh in figure.axes[0].collections if isinstance(mesh, QuadMesh)]


def numbers(figure):
    """Number and middle of each cell that shows one."""
    return [(text.get_text(), *text.get_position()) for text in figure.axes[0].texts
            if text.get_ha() == "center" and text.get_text().isdigit()]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [3, 28])
def test_all_names_fit_and_are_legible_at_the_width_of_a_paper(classes, texts_of):
    names = class_names(classes)
    figure = confusion_figure(counts(classes), names, title="Segment labels of AVSGN on AVE, test split, three seeds")
    texts = set(texts_of(figure))
    assert {"Cat 1", "background", "segments"} <= texts and len(figure.axes[0].get_yticklabels()) == classes + 1
    # What follows a comma goes if the rest still tells the classes apart; what is still long is cut.
    assert any(text == "Female speech" if classes == 3 else re.match("Female speech, w.*…", text) for text in texts)
    assert figure.axes[0].get_position().width > {3: 0.45, 28: 0.66}[classes]
    assert figure.get_figwidth() <= TEXT_WIDTH + 1e-9
    assert all(label.get_fontsize() >= 5.5 for label in figure.axes[0].get_yticklabels())


def test_colours_are_shares_of_the_row_and_background_is_set_apart():
    confusion = counts(6)
    figure = confusion_figure(confusion, class_names(6))
    inner, column, row, corner = (mesh.get_array() for mesh in blocks(figure))
    shown = np.block([[inner, column], [row, corner]])
    assert np.allclose(shown, 100 * confusion.double() / confusion.sum(1, keepdim=True))
    inner, column, row, _ = (mesh.get_coordinates() for mesh in blocks(figure))
    assert column[0, 0, 0] - inner[0, -1, 0] == pytest.approx(0.07) == row[0, 0, 1] - inner[-1, 0, 1]


def test_numbers_are_in_the_cells_they_belong_to():
    figure = confusion_figure(torch.tensor([[95, 5, 0], [4, 96, 0], [0, 300, 700]]), ["Bark", "Cat"])
    edges = np.unique([mesh.get_coordinates()[0, :, 0].max() for mesh in blocks(figure)[:2]])
    cell = blocks(figure)[0].get_coordinates()[0, 1, 0]
    places = {(2 if y > edges[0] else int(y / cell), 2 if x > edges[0] else int(x / cell)): number
              for number, x, y in numbers(figure)}
    # Shares under 5 % have no number.
    assert places == {(0, 0): "95", (0, 1): "5", (1, 1): "96", (2, 1): "30", (2, 2): "70"}


def test_a_label_without_segments_is_hatched_and_counted_as_none():
    confusion = counts(5)
    confusion[2] = 0
    figure = confusion_figure(confusion, class_names(5))
    cell = blocks(figure)[0].get_coordinates()[1, 0, 1]
    assert [round(patch.get_y() / cell) for patch in figure.axes[0].patches if patch.get_hatch()] == [2, 2]
    shown = [text.get_text() for text in figure.axes[0].texts if text.get_ha() == "right"]
    assert shown == [f"{total:,}" for total in confusion.sum(1).tolist()] and shown[2] == "0"


@pytest.mark.parametrize(("confusion", "says"), [
    (torch.full((3, 3), 1), r"\[4, 4\].*got \[3, 3\]"), (torch.full((4, 4), -1), "negative"),
])
def test_another_matrix_is_an_error(confusion, says):
    with pytest.raises(ValueError, match=says):
        confusion_figure(confusion, ["a", "b", "c"])
