"""The figures of the documentation are made again: their names, sizes and texts, of which none overlap."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from avsgn_pyg.engine.recipes.parts import open_run
from avsgn_pyg.model.explain import COEFFICIENTS
from avsgn_pyg.predictor.figures import documentation_figures

pytestmark = pytest.mark.slow
DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_figure_is_drawn_again_with_readable_texts(small_run, clip, tmp_path, texts_of, tool, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setitem(COEFFICIENTS, "epochs", 3)
    opened = open_run(small_run, split="test", overrides=(), use="a picture")
    for name in opened.videos.video_ids:
        (tmp_path / f"{name}.mp4").symlink_to(clip(10))
    drawn = dict(documentation_figures(small_run, tmp_path))
    linked = "".join(path.read_text() for path in (*DOCS.glob("*.md"), DOCS.parent / "README.md"))
    said = {"timeline.png": "visual score", "graph.png": "weight 0.1", "explain.png": "audio mask",
            "figures/overlaid.png": "all subgraphs", "figures/adjacency.png": "weight, from or to text",
            "figures/confusion.png": "segments", "scenes.png": opened.dataset.categories[0]}
    assert {*said, "figures/tsne.png"} == set(drawn)
    for name, figure in drawn.items():
        texts = texts_of(figure)
        assert said.get(name, texts[0]) in texts and f"({name}" in linked.replace("(docs/", "("), name
        # The committed file is as wide as what is drawn now; a matrix is as wide as its classes need.
        with Image.open(DOCS / name) as committed:
            wide = int(figure.get_figwidth() * tool.DPI)
            assert committed.width == wide or name == "figures/confusion.png", (name, wide)


def test_without_the_clips_the_error_names_the_first(small_run, tmp_path, tool, capsys):
    arguments = [str(small_run), "--videos", str(tmp_path), "--out", str(tmp_path / "out")]
    assert tool.main(arguments) == 2 and ".mp4" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
