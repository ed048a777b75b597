from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime.trees.install import Host
from support.registry_fixtures import a_host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host without runtimes."""
    with a_host(tmp_path / "root") as host:
        yield host
