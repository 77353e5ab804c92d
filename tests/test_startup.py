"""Every tool prints its help, and refuses misspelled names and missing files, before torch is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))

#: Runs tools as __main__, each once per list of arguments; prints, by tool, the exit codes, what was printed, and the
#: slow packages that were imported by then.
RUN = """
import contextlib, io, json, runpy, sys
found = {}
for tool, cases in json.load(sys.stdin).items():
    found[tool] = []
    for words in cases:
        sys.argv, code, text = [f"{tool}.py", *words], 0, io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            try:
                runpy.run_path(f"{sys.path[0]}/tools/{tool}.py", run_name="__main__")
            except SystemExit as stop:
                code = stop.code
        slow = {"torch", "torch_geometric", "accelerate", "matplotlib", "transformers"} & set(sys.modules)
        found[tool].append((code, text.getvalue(), sorted(slow)))
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
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """By tool: the words, exit code, printed text and slow packages of each case, all run in one process.

    ``{run}`` is the folder of a checkpoint whose weights nobody reads.
    """
    run, here = tmp_path_factory.mktemp("checkpoint"), tmp_path_factory.mktemp("here")
    (run / "config.yaml").write_text("data: {kind: synthetic}\n")
    (run / "meta.json").write_text('{"format": 2, "categories": ["a", "b"], "audio_width": 8, "visual_width": 8, '
                                   '"segments": 10, "dataset": "made", "synthetic": true}')
    (run / "model.safetensors").touch()
    cases = {tool: [[word.format(run=run, root=ROOT, absent=here / "absent") for word in words]
                    for words in (["--help"], MISSPELLED[tool], *MISSING.get(tool, []))] for tool in TOOLS}
    code = f"import sys; sys.path[0] = {str(ROOT)!r}\n{RUN}"
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, input=json.dumps(cases),
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not list(here.iterdir())
    found = json.loads(done.stdout)
    return {tool: [(words, *one) for words, one in zip(cases[tool], found[tool], strict=True)] for tool in TOOLS}


@pytest.mark.parametrize("tool", TOOLS)
def test_mistakes_are_refused_before_torch_is_imported(tool: str, outcomes: dict[str, list]) -> None:
    (_, *usage), (_, *misspelled), *missing = outcomes[tool]
    assert usage[::2] == [0, []] and "usage:" in usage[1]
    assert misspelled[::2] == [2, []] and "error: " in misspelled[1]
    for words, code, text, slow in missing:
        assert (code, slow) == (2, []) and text.startswith("error: ") and "absent" in text, words
