"""SIGKILL in the midst of a download: the next install asks for the rest of it only, and installs the same tree."""

import os
import signal

import pytest

from controller.engine.clock import SystemClock
from controller.registry.parts import LEAST_BYTES
from controller.runtime.trees import install
from support.hostile_server import hostile_server
from support.kills import in_a_child
from support.registry_fixtures import RegistryOnDisk, a_file, a_host, a_package
from support.tree_digests import digest_of

SIZE = LEAST_BYTES + (4 << 20)
"""Of a file that no compression makes smaller."""


@pytest.mark.invariant("I24")
@pytest.mark.parametrize("killed_at", [0.1, 0.5, 0.8])
def test_an_install_killed_while_it_downloads_goes_on_there_the_next_time(tmp_path, killed_at):
    archive = a_package("a", "1.0.0", a_file("isolated/large", os.urandom(SIZE)))
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0", archive)
    with a_host(tmp_path / "reference") as host:
        whole = digest_of(install.install(registry.package("a"), host).path)

    def die(count: int, total: int | None) -> None:
        if count >= killed_at * len(archive):
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        hostile_server(lambda it: it.serve_range(archive)) as server,
        a_host(tmp_path / "root", clock=SystemClock()) as host,
    ):
        package = registry.package("a", url=server.url)
        ended = in_a_child(lambda: install.install(package, host, progress=die), lambda: None)
        assert ended == -signal.SIGKILL
        assert install.find(host.root, "a", "1.0.0") is None

        done = install.install(package, host)

        assert digest_of(done.path) == whole
        assert server.requests[1].range_start >= 0.9 * killed_at * len(archive)
        assert list((host.root / ".runwright").glob("parts/*")) == []
