"""The runtimes that the documents' commands are run in: built once for all modules, from Debian and from package indexes."""

from collections.abc import Iterator

import pytest

from support import host
from support.documents import DocumentsDaemon

RUNTIMES = ("python-ml", "openjdk", "openjdk-21", "postgresql")
ALLOWED = "policy.capabilities={'*': [CHOWN, SETUID, SETGID, SYS_CHROOT]}"
"""What a server of PostgreSQL needs that begins as root, which a run does."""


@pytest.fixture(scope="session")
def daemon() -> Iterator[DocumentsDaemon]:
    """A daemon with these runtimes, in a network of the tests' own; afterwards the host is as it was."""
    before = host.snapshot()
    with DocumentsDaemon("runtime.default_registry=", ALLOWED) as daemon:
        daemon.start_with(*RUNTIMES)
        yield daemon
    host.assert_as_before(before)
