"""What all tests share: root where a test needs it, and a host that is as clean after as before."""

import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from support import forked, host
from support.building import Building
from support.launching import Launching

TESTS = Path(__file__).parent
IN_CI = os.environ.get("CI") == "true"
_BESIDE = frozenset({
    "test_archive_bombs.py", "test_archive_escapes.py", "test_content_escapes.py", "test_openapi_kept.py",
    "test_declared_builds.py", "test_declared_builds_apt.py",
})  # fmt: skip
"""Tests that neither isolate nor measure: of security, what they attack is a parser; of builds, what is made of files."""

SKIPPED = pytest.StashKey[list[str]]()


def pytest_configure() -> None:
    """Heed signals as in a terminal: shells have what they start in the background ignore two, and it inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root without it."""
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces, mounts or cgroups")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what may run beside the tests of whole daemons and of isolation, which measure and have most to do."""
    for item in items:
        room = item.path.relative_to(TESTS).parts
        is_client = room[:2] == ("e2e", "clients")
        if room[0] not in ("e2e", "security") or is_client or room[-1] in _BESIDE:
            item.add_marker("beside")


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


@pytest.fixture(scope="session", autouse=True)
def daemons_start_at_once() -> Iterator[None]:
    """Have at hand what forks daemons, if there is a test that may start one; before any looks at the host."""
    with forked.a_forker() if "support.daemon" in sys.modules else nullcontext():
        yield


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
