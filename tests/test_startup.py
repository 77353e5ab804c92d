"""Every tool prints its help, and refuses misspelled names and missing files, before torch is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))

#: Runs a tool as __main__, once per list of arguments; prints the exit codes, what was printed, and the slow packages
#: that were imported.
RUN = """
import contextlib, io, json, runpy, sys
found, (tool, cases) = [], sys.argv[1:]
for words in json.loads(cases):
    sys.argv, code, text = [tool, *words], 0, io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as stop:
            code = stop.code
    slow = {"torch", "torch_geometric", "accelerate", "matplotlib", "transformers"} & set(sys.modules)
    found.append((code, text.getvalue(), sorted(slow)))
print(json.dumps(found))
"""

#: An option or a key that no tool has, after what the tool needs besides.
MISSPELLED = {
    "train": ["train.epoch=3"],
    "evaluate": ["{run}", "data.rot=x"],
    "convert_features": ["--audio", "{run}", "--visual", "{run}", "--out", "x.h5", "--anotations", "{run}"],
    "explain": ["{run}", "data.rot=x"],
    "extract_features": ["{run}", "--out", "x.h5", "--visul", "signal"],
    "get_ave": ["--out", "{run}", "--snapshott", "{run}"],
    "import_annotations": ["x.eaf", "--lables", "{run}/meta.json"],
    "inspect_data": ["{run}", "--split", "text"],
    "make_llp_features": ["{run}", "--out", "x.h5", "--widht", "8"],
    "make_figures": ["{run}", "--videos", "{run}", "--out", "x", "--rows", "3"],
    "make_scenes": ["{run}", "--video", "many"],
    "measure_open_vocabulary": ["{root}/configs/synthetic.yaml", "data.rot=x"],
    "merge_features": ["x.h5", "{run}/meta.json", "--overwite"],
    "predict": ["{run}", "--checkpoint", "{run}", "--formt", "json"],
    "reproduce": ["{root}/configs/suites/table3_cmgi.yaml", "train.epoch=3"],
    "serve": ["{run}", "--clips", "x.mp4"],
    "train_parsing": ["{root}/configs/llp.yaml", "parsing.guide=true"],
    "visualize_graph": ["{run}", "data.rot=x"],
    "visualize_timeline": ["{run}", "data.rot=x"],
    "visualize_tsne": ["{run}", "data.rot=x"],
    "benchmark": ["model.cmgi.layer=3"],
    "benchmark_extraction": ["--round", "many"],
    "bootstrap": ["--torch", "cpu"],
}
MISSING = {
    "train": [["absent.yaml"], ["{root}/configs/avsgn_full.yaml", "data.root={absent}"], ["--resume", "{absent}"]],
    "evaluate": [["{absent}"], ["{run}", "data.kind=ave", "data.root={absent}"]],
    "convert_features": [["--audio", "{run}", "--visual", "{absent}", "--out", "x.h5"],
                         ["--audio", "{run}", "--visual", "{run}", "--annotations", "{absent}", "--out", "x.h5"]],
    "explain": [["{absent}"], ["{run}", "data.kind=ave", "data.root={absent}"]],
    "extract_features": [["{absent}", "--out", "x.h5"], ["{run}", "--annotations", "{absent}", "--out", "x.h5"]],
    "get_ave": [["--out", "x", "--snapshot", "{absent}"],
                ["--out", "x", "--snapshot", "{run}", "--annotations", "{absent}"]],
    "import_annotations": [["x.eaf", "--labels", "{absent}"], ["x.eaf", "--annotations", "{absent}"]],
    "inspect_data": [["{absent}"]],
    "make_llp_features": [["{absent}", "--out", "x.h5"]],
    "make_figures": [["{absent}", "--videos", "{run}", "--out", "x"], ["{run}", "--videos", "{absent}", "--out", "x"]],
    "measure_open_vocabulary": [["{absent}.yaml"], ["{run}", "data.kind=ave", "data.root={absent}"]],
    "merge_features": [["x.h5", "{absent}"]],
    "predict": [["{absent}", "--checkpoint", "{run}"], ["{run}/meta.json", "--checkpoint", "{absent}"],
                ["{run}/meta.json", "--checkpoint", "{run}", "--labels", "{absent}"]],
    "reproduce": [["{absent}.yaml"]],
    "serve": [["{absent}"], ["{run}", "--clip", "{absent}"]],
    "train_parsing": [["{absent}.yaml"], ["{root}/configs/llp.yaml", "data.root={absent}", "data.features=x.h5"],
                      ["--score", "{absent}"], ["--resume", "{absent}"]],
    "visualize_graph": [["{absent}"], ["{run}", "--media", "{absent}"], ["{run}", "--video", "{absent}"]],
    "visualize_timeline": [["{absent}"], ["{run}", "--media", "{absent}"], ["{run}", "--video", "{absent}"]],
    "visualize_tsne": [["{absent}"]],
    "benchmark_extraction": [["{absent}"]],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint's folder whose weights nobody reads."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.yaml").write_text("data: {kind: synthetic}\n")
    (folder / "meta.json").write_text('{"format": 2, "categories": ["a", "b"], "audio_width": 8, "visual_width": 8, '
                                      '"segments": 10, "dataset": "made", "synthetic": true}')
    (folder / "model.safetensors").touch()
    return folder


def outcomes(tool: Path, cases: list[list[str]], folder: Path) -> list[list]:
    """Exit code, printed text and slow packages of each case."""
    done = subprocess.run([sys.executable, "-c", RUN, str(tool), json.dumps(cases)], cwd=folder, capture_output=True,
                          text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("tool", TOOLS)
def test_mistakes_are_refused_before_torch_is_imported(tool: str, run: Path, tmp_path: Path) -> None:
    cases = [["--help"], MISSPELLED[tool], *MISSING.get(tool, [])]
    cases = [[word.format(run=run, root=ROOT, absent=tmp_path / "absent") for word in words] for words in cases]
    usage, misspelled, *missing = outcomes(ROOT / "tools" / f"{tool}.py", cases, tmp_path)
    assert usage[::2] == [0, []] and "usage:" in usage[1]
    assert misspelled[::2] == [2, []] and "error: " in misspelled[1]
    for words, (code, text, slow) in zip(cases[2:], missing, strict=True):
        assert (code, slow) == (2, []) and text.startswith("error: ") and "absent" in text, words
    assert not list(tmp_path.iterdir())
