"""Help, a misspelled name and a missing file are answered before torch is imported, by every tool."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))

#: Runs a tool as __main__, then adds a line: its exit code, and which of the slow packages were imported.
RUN = """
import runpy, sys
sys.argv, code = sys.argv[1:], 0
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    code = stop.code
print(code, *sorted({"torch", "torch_geometric", "accelerate", "matplotlib", "transformers"} & set(sys.modules)))
"""

#: An option or a key that no tool has, after what the tool needs besides.
MISSPELLED = {
    "train": ["train.epoch=3"],
    "evaluate": ["{run}", "data.rot=x"],
    "extract_features": ["{run}", "--out", "x.h5", "--visul", "signal"],
    "inspect_data": ["{run}", "--split", "text"],
    "make_llp_features": ["{run}", "--out", "x.h5", "--widht", "8"],
    "make_scenes": ["{run}", "--video", "many"],
    "measure_open_vocabulary": ["{root}/configs/synthetic.yaml", "data.rot=x"],
    "merge_features": ["x.h5", "{run}/meta.json", "--overwite"],
    "predict": ["{run}", "--checkpoint", "{run}", "--formt", "json"],
    "reproduce": ["{root}/configs/suites/table3_cmgi.yaml", "train.epoch=3"],
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
    "extract_features": [["{absent}", "--out", "x.h5"], ["{run}", "--annotations", "{absent}", "--out", "x.h5"]],
    "inspect_data": [["{absent}"]],
    "make_llp_features": [["{absent}", "--out", "x.h5"]],
    "measure_open_vocabulary": [["{absent}.yaml"], ["{run}", "data.kind=ave", "data.root={absent}"]],
    "merge_features": [["x.h5", "{absent}"]],
    "predict": [["{absent}", "--checkpoint", "{run}"], ["{run}/meta.json", "--checkpoint", "{absent}"],
                ["{run}/meta.json", "--checkpoint", "{run}", "--labels", "{absent}"]],
    "reproduce": [["{absent}.yaml"]],
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


def answer(tool: str, words: list[str], folder: Path) -> tuple[str, str]:
    """What the tool wrote to both streams, and the line that :data:`RUN` adds."""
    done = subprocess.run([sys.executable, "-c", RUN, str(ROOT / "tools" / f"{tool}.py"), *words], cwd=folder,
                          capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    return "\n".join(said) + done.stderr, last


@pytest.mark.parametrize("tool", TOOLS)
def test_help_imports_no_torch(tool: str, tmp_path: Path) -> None:
    said, last = answer(tool, ["--help"], tmp_path)
    assert last == "0" and "usage:" in said


@pytest.mark.parametrize("tool", TOOLS)
def test_a_misspelled_name_is_refused_before_torch_is_imported(tool: str, run: Path, tmp_path: Path) -> None:
    said, last = answer(tool, [word.format(run=run, root=ROOT) for word in MISSPELLED[tool]], tmp_path)
    assert last == "2" and "error: " in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("tool", "words"), [(tool, words) for tool, cases in MISSING.items() for words in cases],
                         ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_a_missing_file_is_named_before_torch_is_imported(
    tool: str, words: list[str], run: Path, tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    said, last = answer(tool, [word.format(run=run, root=ROOT, absent=absent) for word in words], tmp_path)
    assert last == "2" and said.startswith("error: ") and "absent" in said and not list(tmp_path.iterdir())


def test_a_tool_that_imports_torch_is_seen(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import torch\n")
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path / "slow.py")], capture_output=True, text=True,
                          timeout=120)
    assert done.stdout == "0 torch\n"
