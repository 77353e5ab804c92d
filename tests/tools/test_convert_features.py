"""LLP trains from its published layout by two commands, and the tool says what it left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from avsgn_pyg.data.feature_store import read_store

ROOT = Path(__file__).resolve().parents[2]
#: As published: one file per video and kind, named by the video's id without its times.
PUBLISHED = {"vggish": (10, 128), "res152": (80, 2048), "r2plus1d_18": (10, 512)}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, write_llp: Callable[[Path], None]) -> Path:
    """A small LLP and random features of all but one of its videos."""
    folder, draw = tmp_path_factory.mktemp("llp"), np.random.default_rng(0)
    write_llp(folder)
    lines = [line for path in folder.glob("AVVP_*_pd.csv") for line in path.read_text().splitlines()[1:]]
    names = [*(line.split("_0_10")[0] for line in lines), *(f"train_{number}" for number in range(47))]
    for kind, shape in PUBLISHED.items():
        (folder / kind).mkdir()
        for name in names:
            np.save(folder / kind / f"{name}.npy", draw.standard_normal(shape, dtype=np.float32))
    return folder


@pytest.fixture
def llp(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that convert the features."""
    monkeypatch.chdir(published)
    return ["--audio", "vggish", "--visual", "res152", "r2plus1d_18", "--annotations", ".",
            "--out", str(tmp_path / "features.h5")]


@pytest.mark.slow
def test_llp_trains_from_its_published_layout(llp: list[str], tool: ModuleType, load, capsys):
    assert tool.main(llp) == 0
    out = capsys.readouterr().out
    assert "83 of 84 videos: audio 128 wide, visual 2560" in out and "no features in vggish: train_47_0_10" in out
    words = [str(ROOT / "configs" / "llp.yaml"), "data.root=.", f"data.features={llp[-1]}", "model.width=16",
             "model.dim=16", "model.text.bank=learned", "train.epochs=1", "train.device=cpu", "--quiet",
             f"run_dir={Path(llp[-1]).parent}"]
    assert load("train_parsing").main(words) == 0
    out = capsys.readouterr().out
    assert "LLP, test: 24 videos" in out and "train: 1 videos without features are left out" in out


def test_an_existing_store_is_replaced_only_if_asked(llp: list[str], tool: ModuleType, capsys):
    Path(llp[-1]).write_text("mine")
    assert tool.main(llp) == 2 and "--overwrite" in capsys.readouterr().err
    assert tool.main([*llp, "--overwrite"]) == 0
    assert read_store(llp[-1]).visual.shape == (83, 10, 2560)


@pytest.mark.parametrize(("words", "says"), [
    (["--audio", "absent", "--visual", "res152", "--out", "x.h5"], "absent: no such file or folder"),
    (["--audio", "vggish", "--visual", "res152", "--seconds", "20", "--out", "x.h5"], "10 frames for 20 seconds"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(words: list[str], says: str, llp, tool: ModuleType, capsys):
    assert tool.main(words) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and says in err and len(err.splitlines()) == 1
