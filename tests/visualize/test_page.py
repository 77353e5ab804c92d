"""The interactive page: it fetches nothing, holds what it was given, and its script draws it."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.page import graph_page
from avsgn_pyg.visualize.picture import Picture

BROWSER = Path(__file__).with_name("page_dom.js")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")


@pytest.fixture
def video(attention):
    def make(seconds=6, rows=4, **changes):
        sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
        generator = np.random.default_rng(1)
        scores = np.linspace(0.1, 0.9, seconds, dtype=np.float32)
        return Picture(**{
            "title": "x4n0vSbGVzk",
            "category": "Bark",
            "adjacency": {name: {"layer 1": attention(size, 1), "rollout": attention(size, 2)}
                          for name, size in sizes.items()},
            "frames": generator.integers(0, 256, (seconds, 90, 160, 3)).astype(np.uint8),
            "waveform": generator.normal(size=seconds * 100).astype(np.float32),
            "relevance": scores,
            "tau": 0.5,
            "gates": {"audio": scores, "visual": scores[::-1].copy()},
            "predicted": [Span("Bark", 1.0, 3.0, score=0.25)],
            "truth": [Span("Bark", 0.0, 3.0)],
            **changes,
        })

    return make


@pytest.fixture
def shown(tmp_path):
    """What the page's script draws after some events."""

    def run(page, *steps):
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        command = ["node", str(BROWSER), str(path), json.dumps(steps)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert not found["broken"]
        return found

    return run


def data_of(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def test_the_page_holds_weights_scores_events_and_pictures(video):
    given = video()
    data = data_of(graph_page(given))
    kinds = {"source": "<u2", "target": "<u2", "weight": "<f4"}
    for name, found in given.adjacency.items():
        for weights, layer in zip(found.values(), data["subgraphs"][name]["layers"], strict=True):
            edges = {key: np.frombuffer(base64.b64decode(layer[key]), kind) for key, kind in kinds.items()}
            back = np.zeros_like(weights)
            back[edges["target"], edges["source"]] = edges["weight"]
            assert np.array_equal(back, weights) and layer["total"] == weights.size
            assert np.all(np.diff(edges["weight"]) <= 0)
    assert data["predicted"] == [["Bark", 1.0, 3.0, 0.25, 0]] and data["truth"] == [["Bark", 0.0, 3.0, None, 0]]
    assert np.allclose(data["relevance"], given.relevance)
    assert len(data["frames"]) == 6
    assert base64.b64decode(data["frames"][0][1].partition(",")[2]).startswith(b"\xff\xd8")
    assert all(-100 <= low <= high <= 100 for low, high in data["sound"])


def test_the_page_names_no_address_outside_itself(video):
    page = graph_page(video())
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"(?m)^\s*// .*$", "", page))
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert not re.findall(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page and "{{" not in page


def test_a_name_that_is_not_utf_8_can_be_written(video):
    page = graph_page(video(title="caf\udce9 \x01", category="\ud800Bark"))
    assert page.encode() and data_of(page)["facts"].endswith(": Bark")


def test_names_cannot_break_out_of_the_page(video):
    evil = "</script><script>alert(1)</script> {{data}} $& <b>"
    page = graph_page(video(title=evil, category=evil))
    assert "alert(1)</script>" not in page.replace(html.escape(evil), "")
    assert page.count("<script") == 2
    assert data_of(page)["title"] == evil and f"<h1>{html.escape(evil)}</h1>" in page


@needs_node
def test_the_script_draws_the_strongest_edges_and_the_slider_chooses_how_many(video, shown, monkeypatch):
    given = video()
    page, weights = graph_page(given), given.adjacency["av"]["layer 1"]
    first = shown(page)
    target, source = np.unravel_index(weights.argmax(), weights.shape)
    name = [f"audio {at} s" for at in range(6)] + [f"visual {at} s" for at in range(6)]
    assert len(first["edges"]) == first["rows"] == 14 and first["nodes"] == name
    assert first["edges"][-1].startswith(f"{name[source]} to {name[target]}: {weights.max():.3f}")
    assert first["drawn"].startswith("14 of 144, weight") and first["spoken"] == first["drawn"]
    assert len(shown(page, ("rank", "input", "1000"))["edges"]) == 144
    monkeypatch.setattr("avsgn_pyg.visualize.page.MOST", 50)
    assert "of 144, of which this page holds the 50 strongest" in shown(graph_page(given))["drawn"]


@needs_node
def test_the_script_changes_subgraph_and_layer(video, shown):
    given = video(text=["cat", "dog", "bird", "frog"])
    found = shown(graph_page(given), ("vt", "change"), ("layer", "change", "1"))
    assert found["subgraphs"] == ["av", "vt", "at"] and found["layers"] == ["layer 1", "rollout"]
    assert found["nodes"][-4:] == ["text: cat", "text: dog", "text: bird", "text: frog"]
    assert found["column"] == ["cat", "dog", "bird", "frog"]
    assert found["edges"][-1].endswith(f"{given.adjacency['vt']['rollout'].max():.3f}")


@needs_node
def test_a_node_shows_its_score_and_its_strongest_edges(video, shown):
    given = video()
    found = shown(graph_page(given), ("rank", "input", "1000"), ("audio 5 s", "focus"))
    row = given.adjacency["av"]["layer 1"][5]
    at = int(row.argmax())
    assert found["said"].startswith("audio 5 s: relevance 0.900, gate 0.900, score 0.810\n")
    assert (f"audio {at} s" if at < 6 else f"visual {at - 6} s") + f" {row[at]:.3f}" in found["said"]
    assert found["on"] == 23


@needs_node
@pytest.mark.parametrize("changes", [
    {"frames": None, "waveform": None, "truth": None, "gates": {}},
    {"seconds": 1, "rows": 24, "predicted": [], "truth": []},
])
def test_what_is_missing_breaks_nothing(changes, video, shown):
    found = shown(graph_page(video(**changes)))
    assert found["edges"] and ("ground truth" in found["texts"]) == (changes["truth"] is not None)


@needs_node
def test_a_weight_looks_the_same_in_every_subgraph_and_an_edge_ends_in_its_source_s_colour(video, shown):
    flat, sharp = np.full((12, 12), 1 / 12, np.float32), np.eye(10, dtype=np.float32)
    page = graph_page(video(adjacency={"av": {"layer 1": flat}, "vt": {"layer 1": sharp}}))
    found, other = shown(page, ("rank", "input", "1000")), shown(page, ("vt", "change"))
    look = re.compile(r"stroke:var\(--(\w+)\);stroke-width:([\d.]+);")
    (flat_widths, sharp_widths) = ({float(look.match(one)[2]) for one in each["looks"]} for each in (found, other))
    assert flat_widths == {round(6 * 12**-0.5, 2)} and sharp_widths == {6.0}
    assert found["heads"] == [f"url(#head-{look.match(one)[1]})" for one in found["looks"]]
    assert {"url(#head-audio)", "url(#head-visual)"} == set(found["heads"])


@needs_node
def test_no_more_edges_are_drawn_than_can_be_told_apart_and_the_page_says_so(video, shown):
    found = shown(graph_page(video(seconds=20)), ("rank", "input", "1000"))
    assert len(found["edges"]) == 1000 and "1000 of 1600 (no more than 1000 are drawn)" in found["drawn"]


@needs_node
def test_of_many_text_nodes_the_names_of_the_strongest_are_written(video, shown):
    weights = np.zeros((66, 66), np.float32)
    weights[3, [10, 65]] = 0.5
    names = [f"class {node}" for node in range(60)]
    column = shown(graph_page(video(rows=60, adjacency={"vt": {"layer 1": weights}}, text=names)),
                   ("rank", "input", "1000"))["column"]
    assert {"class 4", "class 59"} <= set(column) and len(column) < 40


@needs_node
def test_events_that_overlap_are_below_each_other(video, shown):
    spans = [Span("Bark", 0.5, 4.0, score=0.5), Span("Cat", 1.0, 5.5)]
    page = graph_page(video(predicted=spans))
    assert [event[4] for event in data_of(page)["predicted"]] == [0, 1]
    assert {"Bark 0.50", "Cat"} <= set(shown(page)["texts"])


@needs_node
def test_a_later_window_has_the_time_of_its_video(video, shown):
    found = shown(graph_page(video(start=3600)), ("audio 1:00:05", "focus"))
    assert found["nodes"][0] == "audio 1:00:00" and {"1:00:06", "time (h:mm:ss)"} <= set(found["texts"])
