"""What is finished is read back bit-identical; what is damaged is repeated; what is foreign is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.features.extraction.contents import Encoded
from avsgn_pyg.features.extraction.progress import open_progress
from avsgn_pyg.features.extraction.videos import Failure, Flags

SETTINGS = {"segments": 2, "precision": "fp32"}
BAD = Failure("bad", (1, 2), "broken")


def encoded(size: int = 10) -> Encoded:
    return Encoded(torch.randn(2, 3), torch.randn(2, 4), Flags(1, 2, True), size)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output with progress: é a and b finished, bad failed."""
    with open_progress(tmp_path / "f.h5", SETTINGS, versions={"torch": "1"}) as progress:
        progress.add({"é a": encoded(), "bad": BAD, "b": Failure("b", (), "broken")})
        progress.add({"b": encoded(2**40), "c": Failure("c", (), "the mount is gone", retryable=True)})
    return tmp_path / "f.h5"


def test_results_come_back_bit_identical_and_temporary_failures_do_not(tmp_path: Path):
    first = encoded(2**40)
    with open_progress(tmp_path / "f.h5", SETTINGS, versions={"torch": "1"}) as progress:
        progress.add({"a": first, "bad": BAD, "c": Failure("c", (), "the mount is gone", retryable=True)})
        assert set(progress.failed) == {"bad", "c"}
    with open_progress(tmp_path / "f.h5", SETTINGS) as progress:
        found = progress.finished["a"]
        assert torch.equal(found.audio, first.audio) and torch.equal(found.visual, first.visual)
        assert (found.flags, found.size, progress.failed) == (first.flags, 2**40, {"bad": BAD})
        assert progress.runs == [{"torch": "1"}]


def test_a_later_result_supersedes_an_earlier_one(out: Path):
    with open_progress(out, SETTINGS) as progress:
        assert set(progress.finished) == {"é a", "b"} and set(progress.failed) == {"bad"}
        progress.add({"b": Failure("b", (), "replaced and broken")})
    with open_progress(out, SETTINGS) as progress:
        assert set(progress.finished) == {"é a"} and set(progress.failed) == {"bad", "b"}


def test_a_damaged_part_is_repeated_with_a_warning(out: Path, caplog: pytest.LogCaptureFixture):
    part = out.with_name("f.h5.parts") / "part-000001.pt"
    part.write_bytes(part.read_bytes()[:-200])
    with caplog.at_level(logging.WARNING), open_progress(out, SETTINGS) as progress:
        assert set(progress.finished) == {"b"}
    assert "part-000001" in caplog.text


@pytest.mark.parametrize("content", ["{", json.dumps({"settings": SETTINGS, "replace": False, "versions": []})])
def test_a_damaged_folder_and_one_of_an_earlier_release_are_refused(out: Path, content: str):
    (out.with_name("f.h5.parts") / "manifest.json").write_text(content)
    with pytest.raises(ExtractionError, match=r"f\.h5\.parts: .*--overwrite"), open_progress(out, SETTINGS):
        pass
    with open_progress(out, SETTINGS, overwrite=True) as progress:
        assert not progress.finished


def test_the_folder_goes_when_it_is_done_or_nothing_was_finished(out: Path, tmp_path: Path):
    with open_progress(out, SETTINGS) as progress:
        progress.done = True
    with open_progress(tmp_path / "g.h5", SETTINGS):
        assert (tmp_path / "g.h5.parts" / "manifest.json").is_file()
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_reported_before_any_work(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ExtractionError, match="cannot be written"), open_progress(tmp_path / "file" / "f.h5", SETTINGS):
        pass
