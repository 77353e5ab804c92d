"""A store returns what was written, and a damaged one is named with the damage."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.feature_store import Features, LabelText, check_lengths, read_store, write_store

LENGTHS = torch.tensor([2, 4, 1])


def features(**changes: object) -> Features:
    whole = Features(
        audio=torch.randn(3, 4, 5),
        visual=torch.randn(3, 4, 6),
        video_ids=("-id 0", "ü\n&", "\u2028 id"),
        rows=torch.arange(3) * 7,
        categories=("Frying (food)", "Male speech, man speaking", "Ärger"),
        label_text=LabelText(torch.randn(3, 5), torch.randn(3, 6)),
        provenance={"encoder": {"audio": "CLAP", "sha256": None}, "prompts": ["x" * 100] * 3000},
    )
    return dataclasses.replace(whole, **changes)


def mixed() -> Features:
    """Features of mixed lengths with nan in the padding."""
    whole = features(lengths=LENGTHS)
    for part in (whole.audio, whole.visual):
        part[torch.arange(4) >= LENGTHS[:, None]] = torch.nan
    return whole


def assert_same(first: Features | LabelText, second: Features | LabelText) -> None:
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, LabelText):
            assert_same(value, other)
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value.nan_to_num(), other.nan_to_num()), name
        else:
            assert value == other


@pytest.mark.parametrize("make", [
    features, mixed, lambda: features(rows=None, categories=None, label_text=None, provenance={}),
])
def test_a_store_returns_what_was_written(tmp_path: Path, make: Callable[[], Features]) -> None:
    written = make()
    write_store(tmp_path / "new" / "store.h5", written)
    assert_same(read_store(tmp_path / "new" / "store.h5"), written)


def test_half_and_double_floats_are_stored_as_float32(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", features(audio=torch.ones(3, 4, 5).half(), visual=torch.ones(3, 4, 6).double()))
    read = read_store(tmp_path / "store.h5")
    assert read.audio.dtype == read.visual.dtype == torch.float32


@pytest.mark.parametrize(("target", "name"), [(h5py.Group, "create_dataset"), (Path, "write_bytes")])
def test_a_failed_write_leaves_the_old_store_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: type, name: str
) -> None:
    path, old = tmp_path / "store.h5", features()
    write_store(path, old)
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(target, name, full_disk)
        with pytest.raises(OSError, match="no space left"):
            write_store(path, features())
    assert {entry.name for entry in tmp_path.iterdir()} == {"store.h5", "plain"}
    assert_same(read_store(path), old)


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", features(lengths=torch.full((3,), 4)))  # no padding: version 1
    with h5py.File(tmp_path / "store.h5") as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: getattr(item, "shape", None)}))
        assert found == {
            "audio": (3, 4, 5), "visual": (3, 4, 6), "ids": (3,), "rows": (3,), "categories": (3,),
            "label_text": None, "label_text/audio": (3, 5), "label_text/visual": (3, 6),
        }
        assert file.attrs["version"] == 1
        assert json.loads(file.attrs["provenance"])["encoder"]["audio"] == "CLAP"
    write_store(tmp_path / "mixed.h5", mixed())
    with h5py.File(tmp_path / "mixed.h5") as file:
        assert (file["audio"].shape, file["visual"].shape) == ((7, 5), (7, 6))
        assert file["lengths"][()].tolist() == [2, 4, 1] and file.attrs["version"] == 2


@pytest.mark.parametrize(("change", "message"), [
    ({"video_ids": ("a", "b")}, "3 videos have 2 ids"),
    ({"rows": torch.tensor([0, 1, 1])}, "rows must be different"),
    ({"rows": torch.tensor([0, 1, -1])}, "not negative"),
    ({"categories": ("a", "b")}, "label text has 3 rows"),
    ({"categories": ("a", "b", "a")}, "categories must be different"),
    ({"categories": None}, "label text has 3 rows for the categories None"),
    ({"label_text": LabelText(torch.ones(3, 4), torch.ones(3, 6))}, "audio label text is 4 wide"),
    ({"visual": torch.ones(3, 5, 6)}, r"\[3, 4, 5\] and \[3, 5, 6\]"),
    ({"audio": torch.ones(0, 4, 5), "visual": torch.ones(0, 4, 6)}, "none of them 0"),
])
@pytest.mark.usefixtures("as_installed")
def test_parts_that_contradict_each_other_are_refused(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        features(**change)


@pytest.mark.usefixtures("as_installed")
def test_label_text_needs_both_modalities_for_every_class() -> None:
    with pytest.raises(DataError, match="3 audio rows and 2 visual"):
        LabelText(torch.ones(3, 4), torch.ones(2, 4))


def replace(key: str, values: object) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        del file[key]
        file[key] = np.array(values)

    return damage


@pytest.mark.parametrize(("make", "damage", "message"), [
    (features, lambda file: file.attrs.pop("format"), r"not a feature store \(it has \['audio'"),
    (features, lambda file: file.attrs.modify("version", 3), "version 3"),
    (features, lambda file: file.attrs.pop("provenance"), "provenance is missing"),
    (features, lambda file: file.attrs.create("provenance", "[1, 2]"), "not a JSON object"),
    (features, lambda file: file.attrs.create("provenance", "[" * 20_000), "recursion"),
    (features, lambda file: file.attrs.create("format", ["a", "b"]), "not a feature store"),
    (features, lambda file: file.attrs.create("version", [1, 2]), "version"),
    (features, lambda file: file.pop("label_text/visual"), "no dataset 'label_text/visual'"),
    (features, replace("audio", np.full((3, 4, 5), np.nan)), "row 0, segment 0"),
    (features, replace("rows", [1, 1, 2]), "rows must be different"),
    (features, replace("ids", [0, 1, 2]), "'ids' must be a list of texts; got int64"),
    (mixed, replace("lengths", [2, 4, 2]), r"8 seconds .* got \[7, 5\]"),
    (mixed, replace("lengths", [2, 5]), "2 videos have 3 ids"),
    (mixed, replace("lengths", [3, 4, 0]), "least is 0"),
    (mixed, replace("lengths", [2**62, 2**62, 2**63 - 1]), "padded to the longest"),
])
@pytest.mark.usefixtures("as_installed")
def test_a_damaged_store_is_named_with_the_damage(
    tmp_path: Path, make: Callable[[], Features], damage: Callable[[h5py.File], object], message: str
) -> None:
    write_store(tmp_path / "store.h5", make())
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        damage(file)
    with pytest.raises(DataError, match=rf"store\.h5: .*{message}"):
        read_store(tmp_path / "store.h5")


def test_unusable_features_are_refused_before_the_file_is_written(tmp_path: Path) -> None:
    plain, padded = features(), mixed()
    plain.audio[2, 1, 0] = padded.visual[1, 2] = torch.inf
    for unusable, message in ((plain, r"'audio' contains inf .* at row 2, segment 1"),
                              (padded, r"'visual' contains inf .* at row 4"),
                              (features(provenance={"path": Path("x")}), "provenance must be JSON")):
        with pytest.raises(DataError, match=message):
            write_store(tmp_path / "store.h5", unusable)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lengths", [[0, 4], [2, 5], [4], [[2, 4]]])
def test_impossible_lengths_are_refused(lengths: list) -> None:
    with pytest.raises(DataError, match=r"lengths must be \[2\], .* from 1 to 4"):
        check_lengths(torch.tensor(lengths), 2, 4)
