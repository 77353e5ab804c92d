"""Which files a data section names, and the first that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.config import DataConfig
from avsgn_pyg.data.files import check_files
from avsgn_pyg.errors import DataError

NEEDED = {
    "ave": (("audio_feature.h5", "visual_feature.h5", "Annotations.txt", "train_order.h5", "a.npy", "v.npy"),
            {"audio_labels": "a.npy", "visual_labels": "v.npy"}),
}


def test_synthetic_data_need_no_file() -> None:
    check_files(DataConfig(kind="synthetic"))


@pytest.mark.parametrize("kind", NEEDED)
def test_each_missing_file_is_named_in_turn(kind: str, tmp_path: Path) -> None:
    names, settings = NEEDED[kind]
    config = DataConfig(kind=kind, root=tmp_path, **settings)
    for name in names:
        with pytest.raises(DataError, match=name):
            check_files(config)
        (tmp_path / name).touch()
    check_files(config)


@pytest.mark.parametrize(("settings", "says"), [
    ({}, "data.root is not set"), ({"kind": "llp"}, "load_llp"),
])
def test_a_setting_that_is_missing_is_named(settings: dict[str, str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        check_files(DataConfig(**settings))


def test_label_text_of_one_modality_alone_is_refused(tmp_path: Path) -> None:
    for name in NEEDED["ave"][0]:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="give both"):
        check_files(DataConfig(root=tmp_path, audio_labels="a.npy"))
