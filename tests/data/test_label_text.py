"""Label text reads as the numbers that were written, and files that hold none are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.label_text import LabelText, read_label_text


@pytest.mark.usefixtures("as_installed")
def test_label_text_needs_both_modalities_for_every_class() -> None:
    with pytest.raises(DataError, match="3 audio rows and 2 visual"):
        LabelText(torch.ones(3, 4), torch.ones(2, 4))


def test_label_text_reads_as_float32(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.ones((28, 4), np.float16))
    read = read_label_text(tmp_path / "text.npy")
    assert read.shape == (28, 4)
    assert read.dtype == torch.float32


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones(4, np.float32), r"\[C, d\]; got float32 \[4\]"),
        (np.ones((2, 3), np.int64), "got int64"),
        (np.array([[0.0, np.nan]]), "holds nan .* at row 0"),
        (np.array([{"pickled": 1}]), "not a readable npy file"),
    ],
)
def test_other_tables_are_no_label_text(tmp_path: Path, table: np.ndarray, message: str) -> None:
    np.save(tmp_path / "text.npy", table)
    with pytest.raises(DataError, match=message):
        read_label_text(tmp_path / "text.npy")


def test_missing_foreign_and_archived_label_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npy: no such file"):
        read_label_text(tmp_path / "none.npy")
    (tmp_path / "foreign.npy").write_text("words")
    with pytest.raises(DataError, match=r"foreign\.npy: not a readable npy file"):
        read_label_text(tmp_path / "foreign.npy")
    np.savez(tmp_path / "archive.npz", a=np.ones((2, 2)))
    with pytest.raises(DataError, match="an npz archive"):
        read_label_text(tmp_path / "archive.npz")
