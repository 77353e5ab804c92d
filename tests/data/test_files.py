"""Checks of the files of a data set."""

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.files import check_train_split


def test_a_missing_split_names_the_form_that_is_there(tmp_path: Path):
    (tmp_path / "trainSet.txt").touch()
    with pytest.raises(DataError, match="--splits order needs it; try --splits txt"):
        check_train_split(tmp_path, "order", "--splits ")
