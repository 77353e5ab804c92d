"""Shapes are checked at run time in every test; real files are used where they are and missed where they are not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from jaxtyping import install_import_hook

# Before anything of the package is imported, and not as a context manager: that would end with its block.
install_import_hook("avsgn_pyg", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background; Ctrl-C is tested too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _real(folder: str) -> Path:
    """A folder of real files under $AVSGN_DATA, or under shared/data beside the checkout."""
    path = Path(os.environ.get("AVSGN_DATA", ROOT.parent / "shared" / "data")) / folder
    if not path.is_dir():
        pytest.skip(f"the real files are not here ({folder}); set AVSGN_DATA to the folder that holds them")
    return path


@pytest.fixture(scope="session")
def ave_root() -> Path:
    """The public AVE annotation files."""
    return _real("ave")


@pytest.fixture(scope="session")
def ave_composite_root() -> Path:
    """AVE-Composite: AVE's annotations, other features (train and val rows)."""
    return _real("ave-composite")


@pytest.fixture(scope="session")
def llp_root() -> Path:
    """The real LLP csv files."""
    return _real("llp")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
