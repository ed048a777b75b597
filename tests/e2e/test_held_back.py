"""What waits until the cap on everything that a daemon runs is held: jobs, builds, and looks at runtimes."""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from api.kinds import RUNTIME
from controller.cgroup.choose import hierarchies_of_host
from support import host
from support.building import A_MANIFEST, a_recipe
from support.cgroups import remove_directory_once_empty
from support.daemon import a_daemon
from support.registry_fixtures import RegistryOnDisk
from support.runtime_place import Place

pytestmark = pytest.mark.needs_root

HOST = hierarchies_of_host()
EAT = "import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY), b'0'); kept = bytearray(320 << 20); print(); input()"


@contextmanager
def more_memory_in_use_than_all_may_have(name):
    """Have a process in the slice that uses more than its cap will be, so that no kernel of version 1 sets it."""
    inside = Path(HOST.mounts["memory"], name, "somebody")
    inside.mkdir(parents=True)
    eater = subprocess.Popen(
        [sys.executable, "-c", EAT, str(inside / "cgroup.procs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with eater:
        eater.stdout.readline()
        yield
        eater.communicate(b"\n")
    remove_directory_once_empty(inside)


@pytest.mark.elsewhere("a host of version 2, where the kernel rather kills than refuses a limit")
@pytest.mark.skipif(HOST.version == 2, reason="no limit of memory is refused on version 2")
@pytest.mark.invariant("J9")
def test_jobs_and_builds_wait_with_the_same_words_until_the_cap_on_all_is_held(tmp_path):
    before = host.snapshot()
    slice_name = f"runwright-test-{os.getpid()}-held"
    package = a_recipe(tmp_path / "package", A_MANIFEST + "echo a > isolated/usr/bin/notes")
    build = {"base": {"from": "host"}, "run": ["true"]}
    settings = (f"cgroup.parent={slice_name}", "cgroup.memory=256Mi", "runtime.default_registry=")
    with ExitStack() as stage:
        with more_memory_in_use_than_all_may_have(slice_name):
            daemon = stage.enter_context(a_daemon(*settings))
            place = Place(daemon, RegistryOnDisk(tmp_path / "registry"), None)
            daemon.shell("etl", "true")
            place.declare(RUNTIME, "by-recipe", recipe={"url": str(package)})
            place.declare(RUNTIME, "by-build", build=build)

            of_job = place.waits("etl", "LimitUnenforceable")
            of_recipe = place.ready("by-recipe", "LimitUnenforceable")
            of_build = place.ready("by-build", "LimitUnenforceable")
            logs = list((daemon.root / "var/log/runwright").glob("**/by-*"))

        daemon.patch("etl", backoffLimit=1)
        place.declare(RUNTIME, "by-recipe", recipe={"url": str(package), "env": {"A": "b"}})
        after = daemon.ended("etl")["phase"]
        built = place.ready("by-recipe")
    host.assert_as_before(before)

    assert of_job.startswith("cannot cap all that runs here together: ")
    assert [of_recipe["message"], of_build["message"]] == [of_job] * 2
    assert (of_recipe["status"], logs) == ("False", [])
    assert (after, built["status"]) == ("Succeeded", "True")
