"""A worker process sees the one device that it was given."""

from __future__ import annotations

import os

import pytest

from avsgn_pyg.experiments.suites.worker import _see_only


@pytest.mark.parametrize(("there", "device", "seen"), [
    (None, "cuda:1", "1"), ("2,5", "cuda:1", "5"), ("2,5", "cpu", ""), ("2,5", "auto", "2,5"), (None, "cpu", ""),
])
def test_the_n_th_device_is_the_n_th_that_this_process_sees(
    monkeypatch: pytest.MonkeyPatch, there: str | None, device: str, seen: str
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if there is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", there)
    _see_only(device)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
