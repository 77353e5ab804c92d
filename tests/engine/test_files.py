from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.engine.files import Meta, check_files, read_config
from avsgn_pyg.errors import CheckpointError


def test_a_missing_file_of_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"meta\.json"):
        check_files(tmp_path)
    meta = Meta(categories=("a",), audio_width=1, visual_width=1, segments=1, dataset="d", synthetic=True)
    (tmp_path / "meta.json").write_text(meta.model_dump_json())
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        check_files(tmp_path)
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        read_config(tmp_path)
