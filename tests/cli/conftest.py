"""A desk for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.azurite import KEY, Container
from support.command import Desk, signature


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty folder with nothing configured, away from a node."""
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder)


@pytest.fixture
def azure(desk: Desk, container: Container) -> Desk:
    """The desk with an empty container on a blob service, as a container URL with a SAS, and a task of a job."""
    url = container.sas_url()
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": url, "AZ_BATCH_TASK_ID": "t1"}
    desk.secrets += [signature(url), KEY]
    return desk
