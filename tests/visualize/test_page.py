"""The interactive page: it fetches nothing, holds what it was given, and its script draws it."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.page import graph_page

BROWSER = Path(__file__).with_name("page_dom.js")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")


def attention(nodes, seed):
    scores = np.exp(np.random.default_rng(seed).normal(size=(nodes, nodes)))
    return (scores / scores.sum(1, keepdims=True)).astype(np.float32)


def made(seconds=6, rows=4, **changes):
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
        "predicted": [Span("Bark", 1.0, 3.0)],
        "truth": [Span("Bark", 0.0, 3.0)],
        **changes,
    }


def data_of(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def unpacked(layer):
    kinds = {"source": "<u2", "target": "<u2", "weight": "<f4"}
    return {name: np.frombuffer(base64.b64decode(layer[name]), kind) for name, kind in kinds.items()}


def shown(tmp_path, page, *steps):
    """What the page's script draws after some events."""
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    command = ["node", str(BROWSER), str(path), json.dumps(steps)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_every_weight_comes_back_from_the_page():
    parts = made()
    data = data_of(graph_page(**parts))
    for name, found in parts["adjacency"].items():
        for weights, layer in zip(found.values(), data["subgraphs"][name]["layers"], strict=True):
            edges = unpacked(layer)
            back = np.zeros_like(weights)
            back[edges["target"], edges["source"]] = edges["weight"]
            assert np.array_equal(back, weights)
            assert layer["total"] == weights.size
            assert np.all(np.diff(edges["weight"]) <= 0)


def test_scores_events_and_pictures_come_back_from_the_page():
    data = data_of(graph_page(**made()))
    assert data["predicted"] == [["Bark", 1.0, 3.0]] and data["truth"] == [["Bark", 0.0, 3.0]]
    assert np.allclose(data["relevance"], np.linspace(0.1, 0.9, 6))
    assert len(data["frames"]) == 6
    assert base64.b64decode(data["frames"][0][1].partition(",")[2]).startswith(b"\xff\xd8")
    assert all(-100 <= low <= high <= 100 for low, high in data["sound"])


def test_the_page_names_no_address_outside_itself():
    page = graph_page(**made())
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"(?m)^\s*// .*$", "", page))
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page


def test_the_page_is_whole_and_light():
    page = graph_page(**made(10, 10))
    names = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            names.append(tag)

    Reader().feed(page)
    assert names.count("script") == 2 and names.count("svg") == 1
    assert '<html lang="en">' in page and "aria-live" in page and "{{" not in page
    assert len(graph_page(**made(10, 10, frames=None, waveform=None))) < 60_000


def test_hours_of_edges_are_cut_to_the_strongest():
    layer = data_of(graph_page(**made(most=10)))["subgraphs"]["av"]["layers"][0]
    assert layer["total"] == 144
    assert unpacked(layer)["weight"].tolist() == sorted(attention(12, 1).ravel().tolist(), reverse=True)[:10]


def test_names_cannot_break_out_of_the_page():
    evil = "</script><script>alert(1)</script> {{data}} $& <b>"
    page = graph_page(**made(title=evil, category=evil))
    assert "alert(1)</script>" not in page.replace(html.escape(evil), "")
    assert page.count("<script") == 2
    assert data_of(page)["title"] == evil
    assert f"<h1>{html.escape(evil)}</h1>" in page


@needs_node
def test_the_script_draws_the_strongest_edges_and_the_slider_draws_all(tmp_path):
    parts = made()
    page, weights = graph_page(**parts), parts["adjacency"]["av"]["layer 1"]
    first = shown(tmp_path, page)
    assert not first["broken"]
    assert len(first["edges"]) == 14 and first["rows"] == 14
    target, source = np.unravel_index(weights.argmax(), weights.shape)
    name = [f"audio {at} s" for at in range(6)] + [f"visual {at} s" for at in range(6)]
    assert first["edges"][-1].startswith(f"{name[source]} to {name[target]}: {weights.max():.3f}")
    assert first["nodes"] == name
    assert first["drawn"].startswith("14 of 144, weight") and first["spoken"] == first["drawn"]
    assert len(shown(tmp_path, page, ("rank", "input", "1000"))["edges"]) == 144
    assert len(shown(tmp_path, page, ("rank", "input", "0"))["edges"]) == 1


@needs_node
def test_the_count_says_what_is_not_there(tmp_path):
    nothing = {"av": {"layer 1": np.zeros((12, 12), np.float32)}}
    assert shown(tmp_path, graph_page(**made(adjacency=nothing)))["drawn"].startswith("0 of 0, weight")
    cut = shown(tmp_path, graph_page(**made(), most=50))["drawn"]
    assert "of 144, of which this page holds the 50 strongest, weight" in cut


@needs_node
def test_the_script_changes_subgraph_and_layer(tmp_path):
    parts = made(text=["cat", "dog", "bird", "frog"])
    page = graph_page(**parts)
    found = shown(tmp_path, page, ("vt", "change"), ("layer", "change", "1"))
    assert found["subgraphs"] == ["av", "vt", "at"] and found["layers"] == ["layer 1", "rollout"]
    assert found["nodes"][-4:] == ["cat", "dog", "bird", "frog"] and not found["broken"]
    assert found["edges"][-1].endswith(f"{parts['adjacency']['vt']['rollout'].max():.3f}")


@needs_node
def test_a_node_tells_its_score_and_whom_it_hears(tmp_path):
    parts = made()
    found = shown(tmp_path, graph_page(**parts), ("rank", "input", "1000"), ("audio 5 s", "focus"))
    row = parts["adjacency"]["av"]["layer 1"][5]
    at = int(row.argmax())
    loudest = f"audio {at} s" if at < 6 else f"visual {at - 6} s"
    assert found["said"].startswith("audio 5 s: relevance 0.900, gate 0.900, score 0.810\n")
    assert f"hears most: {loudest} {row[at]:.3f}" in found["said"]
    assert found["on"] == 23


@needs_node
@pytest.mark.parametrize("changes", [
    {"frames": None, "waveform": None, "truth": None}, {"predicted": [], "truth": []}, {"gates": {}},
    {"seconds": 1, "rows": 24, "predicted": [], "truth": None},
])
def test_what_is_missing_breaks_nothing(tmp_path, changes):
    found = shown(tmp_path, graph_page(**made(**changes)))
    assert found["edges"] and not found["broken"]
    assert ("ground truth" in found["texts"]) == (changes.get("truth", ()) is not None)


def test_layers_that_differ_are_refused():
    parts = made()
    parts["adjacency"]["vt"] = {"layer 1": parts["adjacency"]["vt"]["layer 1"]}
    with pytest.raises(ValueError, match="every subgraph needs the same layers"):
        graph_page(**parts)
