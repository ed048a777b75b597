"""What all tests share: root where a test needs it, and a host that is as clean after as before."""

import os

import pytest

from support import host
from support.launching import Launching


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root without it; in CI, where there is root, such a skip is a failure."""
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("needs root, which CI is to have: a skip there is a failure")
        pytest.skip("needs root: it makes namespaces, mounts or cgroups")


@pytest.fixture
def host_is_clean():
    """Fail the test if it leaves mounts, cgroups, namespaces, processes or descriptors behind."""
    before = host.snapshot()
    yield
    host.assert_as_before(before)


@pytest.fixture
def launching(tmp_path_factory, host_is_clean):
    """A launcher of the test's own, on a disk; everything of it is gone afterwards."""
    root = host.directory_on_disk("runwright-test-")
    own = Launching(root)
    own.start_launcher()
    yield own
    own.close()
