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

BROWSER = Path(__file__).with_name("page_dom.js")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")


@pytest.fixture
def parts(attention):
    def make(seconds=6, rows=4, **changes):
        sizes = {"av": 2 * seconds, "vt": seconds + rows, "at": seconds + rows}
        generator = np.random.default_rng(1)
        scores = np.linspace(0.1, 0.9, seconds, dtype=np.float32)
        return {
            "title": "x4n0vSbGVzk",
            "category": "Bark",
            "adjacency": {name: {"layer 1": attention(size, 1), "rollout": attention(size, 2)}
                          for name, size in sizes.items()},
            "seconds": seconds,
            "frames": generator.integers(0, 256, (seconds, 90, 160, 3)).astype(np.uint8),
            "waveform": generator.normal(size=seconds * 100).astype(np.float32),
            "relevance": scores,
            "gates": {"audio": scores, "visual": scores[::-1].copy()},
            "predicted": [Span("Bark", 1.0, 3.0, score=0.25)],
            "truth": [Span("Bark", 0.0, 3.0)],
            **changes,
        }

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


def test_the_page_holds_weights_scores_events_and_pictures(parts):
    given = parts()
    data = data_of(graph_page(**given))
    kinds = {"source": "<u2", "target": "<u2", "weight": "<f4"}
    for name, found in given["adjacency"].items():
        for weights, layer in zip(found.values(), data["subgraphs"][name]["layers"], strict=True):
            edges = {key: np.frombuffer(base64.b64decode(layer[key]), kind) for key, kind in kinds.items()}
            back = np.zeros_like(weights)
            back[edges["target"], edges["source"]] = edges["weight"]
            assert np.array_equal(back, weights) and layer["total"] == weights.size
            assert np.all(np.diff(edges["weight"]) <= 0)
    assert data["predicted"] == [["Bark", 1.0, 3.0, 0.25]] and data["truth"] == [["Bark", 0.0, 3.0, None]]
    assert np.allclose(data["relevance"], given["relevance"])
    assert len(data["frames"]) == 6
    assert base64.b64decode(data["frames"][0][1].partition(",")[2]).startswith(b"\xff\xd8")
    assert all(-100 <= low <= high <= 100 for low, high in data["sound"])


def test_the_page_names_no_address_outside_itself(parts):
    page = graph_page(**parts())
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"(?m)^\s*// .*$", "", page))
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page and "{{" not in page


def test_a_name_that_is_not_utf_8_can_be_written(parts):
    page = graph_page(**parts(title="caf\udce9 \x01", category="\ud800Bark"))
    assert page.encode() and data_of(page)["facts"].endswith(": Bark")


def test_names_cannot_break_out_of_the_page(parts):
    evil = "</script><script>alert(1)</script> {{data}} $& <b>"
    page = graph_page(**parts(title=evil, category=evil))
    assert "alert(1)</script>" not in page.replace(html.escape(evil), "")
    assert page.count("<script") == 2
    assert data_of(page)["title"] == evil and f"<h1>{html.escape(evil)}</h1>" in page


@needs_node
def test_the_script_draws_the_strongest_edges_and_the_slider_chooses_how_many(parts, shown):
    given = parts()
    page, weights = graph_page(**given), given["adjacency"]["av"]["layer 1"]
    first = shown(page)
    target, source = np.unravel_index(weights.argmax(), weights.shape)
    name = [f"audio {at} s" for at in range(6)] + [f"visual {at} s" for at in range(6)]
    assert len(first["edges"]) == first["rows"] == 14 and first["nodes"] == name
    assert first["edges"][-1].startswith(f"{name[source]} to {name[target]}: {weights.max():.3f}")
    assert first["drawn"].startswith("14 of 144, weight") and first["spoken"] == first["drawn"]
    assert len(shown(page, ("rank", "input", "1000"))["edges"]) == 144
    assert "of 144, of which this page holds the 50 strongest" in shown(graph_page(**parts(most=50)))["drawn"]


@needs_node
def test_the_script_changes_subgraph_and_layer(parts, shown):
    given = parts(text=["cat", "dog", "bird", "frog"])
    found = shown(graph_page(**given), ("vt", "change"), ("layer", "change", "1"))
    assert found["subgraphs"] == ["av", "vt", "at"] and found["layers"] == ["layer 1", "rollout"]
    assert found["nodes"][-4:] == ["cat", "dog", "bird", "frog"]
    assert found["edges"][-1].endswith(f"{given['adjacency']['vt']['rollout'].max():.3f}")


@needs_node
def test_a_node_shows_its_score_and_its_strongest_edges(parts, shown):
    given = parts()
    found = shown(graph_page(**given), ("rank", "input", "1000"), ("audio 5 s", "focus"))
    row = given["adjacency"]["av"]["layer 1"][5]
    at = int(row.argmax())
    assert found["said"].startswith("audio 5 s: relevance 0.900, gate 0.900, score 0.810\n")
    assert (f"audio {at} s" if at < 6 else f"visual {at - 6} s") + f" {row[at]:.3f}" in found["said"]
    assert found["on"] == 23


@needs_node
@pytest.mark.parametrize("changes", [
    {"frames": None, "waveform": None, "truth": None, "gates": {}},
    {"seconds": 1, "rows": 24, "predicted": [], "truth": []},
])
def test_what_is_missing_breaks_nothing(changes, parts, shown):
    found = shown(graph_page(**parts(**changes)))
    assert found["edges"] and ("ground truth" in found["texts"]) == (changes["truth"] is not None)


@needs_node
def test_overlapping_events_lie_below_each_other(parts, shown):
    apart = [Span("Bark", 1.0, 3.0), Span("Rain", 3.0, 5.5)]
    lanes = [len(shown(graph_page(**parts(predicted=spans)))["tracks"])
             for spans in ([], apart, [*apart, Span("Siren", 0.5, 6.0)])]
    assert lanes == [lanes[0], lanes[0], lanes[0] + 1]
