"""The small files of runs and checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.engine import files as under_test
from avsgn_pyg.engine.files import check_files, read_config, replace_text
from avsgn_pyg.errors import CheckpointError


def test_a_checkpoint_that_lacks_a_file_is_reported_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"meta\.json: no such file"):
        check_files(tmp_path)
    meta = under_test.Meta(categories=("a",), audio_width=1, visual_width=1, segments=1, dataset="d", synthetic=True)
    (tmp_path / "meta.json").write_text(meta.model_dump_json())
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        check_files(tmp_path)
    with pytest.raises(CheckpointError, match=r"config\.yaml: no such file"):
        read_config(tmp_path)


def test_a_replaced_file_keeps_its_old_text_if_writing_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_text(tmp_path / "index.json", "old")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(under_test, "flush", die)
    with pytest.raises(KeyboardInterrupt):
        replace_text(tmp_path / "index.json", "new")
    assert (tmp_path / "index.json").read_text() == "old"
