"""What the tests of the distributions share."""

from __future__ import annotations

import pytest

from support.installations import Distributions, distributions


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The source distribution and the wheel."""
    return distributions(tmp_path_factory.mktemp("dist"))
