"""The confusion figure: what it shows, and that all of it can be read."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb

from avsgn_pyg.visualize.confusion import SMALLEST_NUMBER, confusion_figure
from avsgn_pyg.visualize.theme import TEXT_WIDTH, save_figure

LONG = ("Female speech, woman speaking", "Cat", "Fixed-wing aircraft, airplane", "Frying (food)", "Bus")


def class_names(classes):
    return [f"{LONG[index % len(LONG)]} {index}" for index in range(classes)]


def made_confusion(classes):
    """Counts with a strong diagonal, a few strays, many zeros; background is the largest row."""
    generator = torch.Generator().manual_seed(classes)
    counts = torch.randint(0, 8, (classes + 1, classes + 1), generator=generator)
    counts[torch.rand(counts.shape, generator=generator) < 0.7] = 0
    counts[-1] *= 10
    return counts + torch.diag(torch.randint(20, 90, (classes + 1,), generator=generator))


def drawn_texts(figure):
    """(text, box in pixels) of everything written."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = figure.texts + [text for axes in figure.axes for text in (
        *axes.texts, axes.title, *axes.get_xticklabels(), *axes.get_yticklabels())]
    return [(text, text.get_window_extent(renderer)) for text in texts if text.get_text()]


def share_of_cell(figure, row, column, labels):
    """What the mesh block that holds a cell was given for it."""
    meshes = [mesh for mesh in figure.axes[0].collections if isinstance(mesh, QuadMesh)]
    block = meshes[2 * (row == labels - 1) + (column == labels - 1)]
    return block.get_array()[0 if row == labels - 1 else row, 0 if column == labels - 1 else column]


@pytest.mark.parametrize("classes", [3, 12, 28, 40])
def test_no_two_labels_overlap_and_none_leaves_the_figure(classes):
    figure = confusion_figure(made_confusion(classes), class_names(classes),
                              title="Segment labels of AVSGN on AVE, test split, three seeds, tau from val")
    boxes = drawn_texts(figure)
    width, height = figure.bbox.size
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # Half a pixel of slack: rotated extents are rounded outwards.
        apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
        assert apart, (one.get_text(), other.get_text())


@pytest.mark.parametrize("classes", [3, 28, 40])
def test_names_are_whole_and_legible_at_the_width_of_a_paper(classes):
    names = class_names(classes)
    figure = confusion_figure(made_confusion(classes), names)
    assert figure.get_figwidth() <= TEXT_WIDTH + 1e-9
    for labels in (figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()):
        assert [label.get_text() for label in labels] == [*names, "background"]
        assert all(label.get_fontsize() >= 5.5 for label in labels)


def test_colours_are_shares_of_the_row():
    confusion = made_confusion(6)
    figure = confusion_figure(confusion, class_names(6))
    want = 100 * confusion.double() / confusion.sum(1, keepdim=True)
    for row, column in itertools.product(range(7), repeat=2):
        assert share_of_cell(figure, row, column, 7) == pytest.approx(want[row, column].item())


def test_numbers_stand_in_the_cells_they_belong_to():
    confusion = torch.tensor([[95, 5, 0], [4, 96, 0], [0, 300, 700]])
    figure = confusion_figure(confusion, ["Bark", "Cat"])
    meshes = [mesh.get_coordinates() for mesh in figure.axes[0].collections]
    xs = sorted({*meshes[0][0, :, 0], *meshes[1][0, :, 0]})
    found = {}
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        if re.fullmatch(r"\d+", text.get_text()) and x < xs[-1]:
            found[np.searchsorted(xs, y) - 1, np.searchsorted(xs, x) - 1] = text.get_text()
    # Index 2 is the gap before background, which is therefore 3. Shares under 5 % stay without a number.
    assert found == {(0, 0): "95", (0, 1): "5", (1, 1): "96", (3, 1): "30", (3, 3): "70"}


def test_background_stands_apart():
    figure = confusion_figure(made_confusion(28), class_names(28))
    classes, column, row, corner = (mesh.get_coordinates() for mesh in figure.axes[0].collections)
    assert column[0, 0, 0] - classes[0, -1, 0] == pytest.approx(0.07)
    assert row[0, 0, 1] - classes[-1, 0, 1] == pytest.approx(0.07)
    assert corner.shape == (2, 2, 2)
    assert figure.axes[0].get_yticklabels()[-1].get_fontstyle() == "italic"


def test_numbers_contrast_with_their_cell():
    figure = confusion_figure(made_confusion(12), class_names(12))
    mesh = figure.axes[0].collections[0]
    FigureCanvasAgg(figure).draw()
    colours = mesh.get_facecolor().reshape(12, 12, 4)

    def luminance(colour):
        channels = np.array(to_rgb(colour))
        return np.dot(np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4),
                      (0.2126, 0.7152, 0.0722))

    cell = mesh.get_coordinates()[0, 1, 0]
    checked = 0
    for text in figure.axes[0].texts:
        column, row = (int(value // cell) for value in text.get_position())
        if text.get_ha() == "center" and 0 <= row < 12 and 0 <= column < 12:
            ink, ground = luminance(text.get_color()), luminance(colours[row, column])
            assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 4.0
            checked += 1
    assert checked >= 12


def test_small_cells_stay_without_numbers():
    figure = confusion_figure(made_confusion(40), class_names(40))
    assert all(text.get_fontsize() >= SMALLEST_NUMBER for text in figure.axes[0].texts)
    assert not [text for text in figure.axes[0].texts if text.get_color() == "white"]


def test_a_label_without_segments_is_hatched_and_counted_as_none():
    confusion = made_confusion(5)
    confusion[2] = 0
    figure = confusion_figure(confusion, class_names(5))
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    cell = figure.axes[0].collections[0].get_coordinates()[1, 0, 1]
    assert [round(patch.get_y() / cell) for patch in hatched] == [2, 2]
    counts = [text.get_text() for text in figure.axes[0].texts if text.get_ha() == "right"]
    assert counts == [f"{total:,}" for total in confusion.sum(1).tolist()]
    assert counts[2] == "0"


def test_names_with_dollars_are_no_formulas():
    figure = confusion_figure(made_confusion(2), ["a $x$ b", "$"], title="$y$")
    assert not any(text.get_parse_math() for text, _ in drawn_texts(figure))


def test_a_figure_opens_no_window(tmp_path):
    save_figure(confusion_figure(made_confusion(3), class_names(3)), tmp_path / "confusion.pdf")
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(("confusion", "message"), [
    (torch.full((3, 3), 1), r"confusion is \[3, 3\], but 3 classes and background need \[4, 4\]"),
    (torch.full((4, 4), -1), "negative"),
])
def test_a_matrix_that_is_no_confusion_is_refused(confusion, message):
    with pytest.raises(ValueError, match=message):
        confusion_figure(confusion, ["a", "b", "c"])
