"""A limit is a positive number."""

from __future__ import annotations

import pytest

from avsgn_pyg.features.limits import Limits


@pytest.mark.parametrize("name", ["pixels", "seconds", "deadline"])
def test_a_limit_that_allows_nothing_is_refused(name: str):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})
