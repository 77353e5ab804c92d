"""What the tests of several tools ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def folders_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., set[Path]]:
    """Run a tool that names the files it wrote, and tell the folders that they lie in."""

    def run(tool: ModuleType, *arguments: object) -> set[Path]:
        assert tool.main([*map(str, arguments)]) == 0
        return {Path(line).parent for line in capsys.readouterr().out.split()}

    return run
