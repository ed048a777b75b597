"""What all tests share: root where a test needs it, and a host that is as clean after as before."""

import os
from collections.abc import Generator

import pytest

from support import host
from support.building import Building
from support.launching import Launching

IN_CI = os.environ.get("CI") == "true"
SKIPPED = pytest.StashKey[list[str]]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root without it."""
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces, mounts or cgroups")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note each skip, but of those that are for another host by design and say which by `elsewhere`."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("elsewhere"):
        item.config.stash.setdefault(SKIPPED, []).append(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI, which is to have all that the tests need, a skip is a failure."""
    if IN_CI and exitstatus == pytest.ExitCode.OK and session.config.stash.get(SKIPPED, []):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List them."""
    skipped = config.stash.get(SKIPPED, [])
    if IN_CI and skipped:
        terminalreporter.section("skipped, which in CI is a failure", red=True)
        for name in skipped:
            terminalreporter.line(name)


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


@pytest.fixture
def building(host_is_clean):
    """A place of the test's own to build in, on a disk; everything of it is gone afterwards."""
    own = Building.at(host.directory_on_disk("runwright-test-"))
    yield own
    own.close()
