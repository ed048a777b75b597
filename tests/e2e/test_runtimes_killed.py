"""A daemon that is killed in the middle of an install.

In a file of its own: a daemon that others share makes sandboxes ready meanwhile, which would be taken for what is left.
"""

import os

import pytest

from api.kinds import REGISTRY
from controller.runtime.trees import origin
from support.daemon import a_daemon
from support.registry_fixtures import RegistryOnDisk, a_file, served
from support.runtime_place import HERE, SETTINGS, Place
from support.shell_runtime import shell_package

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.mark.invariant("I1")
def test_a_daemon_killed_in_the_middle_of_an_install_leaves_no_half_tree_and_converges(tmp_path, host_is_clean):
    registry = RegistryOnDisk(tmp_path / "registry")
    archive = shell_package("torn", "1.0.0", a_file("noise", os.urandom(1 << 21)))
    registry.add("torn", "1.0.0", archive, platforms=[HERE])
    with served(registry.path) as server, a_daemon(*SETTINGS) as daemon:
        place = Place(daemon, registry, server)
        staging = place.root / origin.STAGING / "torn-1.0.0"
        server.stall_after = len(archive) - 1000
        place.declare(REGISTRY, "tests", url=f"{server.url}/registry.json")
        daemon.shell("torn", "cat /etc/version", runtime="torn")
        daemon.until("half of it is unpacked", lambda: list(staging.rglob("isolated")))
        daemon.kill_daemon()

        assert staging.exists()
        assert not (place.root / "torn-1.0.0").exists()
        server.stall_after = None
        server.released.set()
        daemon.start()
        assert daemon.ended("torn")["phase"] == "Succeeded"
        assert daemon.log_of("torn") == "torn@1.0.0\n"
        assert os.listdir(place.root / origin.STAGING) == []
        assert set(place.versions("torn")) == {"1.0.0"}
