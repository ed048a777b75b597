"""The cap on everything of a daemon, on the hierarchies that this machine really has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cgroup.choose import hierarchies_of_host
from controller.cgroup.slice import LAUNCHER, Slice
from controller.daemon import host
from controller.daemon.held_together import HeldTogether
from controller.daemon.settings import CgroupSettings
from support.cgroups import remove_directory_once_empty

pytestmark = pytest.mark.needs_root

HOST = hierarchies_of_host()
EAT = "import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY), b'0'); kept = bytearray(64 << 20); print(); input()"


@pytest.fixture
def name():
    name = f"runwright-test-{os.getpid()}-together"
    yield name
    Slice(HOST, name).remove()


def test_it_is_held_to_what_the_settings_say(name):
    together = HeldTogether(Slice(HOST, name), CgroupSettings(memory="256Mi", pids="200"), host.look())

    assert together.why_not() == ""
    assert Path(HOST.mounts["pids"], name, "pids.max").read_text().strip() == "200"


@pytest.mark.elsewhere("a host of version 2, where the kernel rather kills than refuses a limit")
@pytest.mark.skipif(HOST.version == 2, reason="no limit of memory is refused on version 2")
def test_until_a_cap_is_held_it_says_why_not_and_all_other_caps_are(name):
    Slice(HOST, name)._make()
    inside = Path(HOST.mounts["memory"], name, LAUNCHER)
    inside.mkdir()
    eater = subprocess.Popen(
        [sys.executable, "-c", EAT, str(inside / "cgroup.procs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with eater:
        eater.stdout.readline()
        together = HeldTogether(Slice(HOST, name), CgroupSettings(memory="16Mi", pids="200"), host.look())

        while_eating = together.why_not()
        pids = Path(HOST.mounts["pids"], name, "pids.max").read_text().strip()
        eater.communicate(b"\n")
    remove_directory_once_empty(inside)

    assert "cannot cap all that runs here together" in while_eating
    assert "memory" in while_eating
    assert pids == "200"
    assert together.why_not() == ""


def test_where_nothing_can_be_held_that_is_told_elsewhere():
    assert HeldTogether(None, CgroupSettings(), host.look()).why_not() == ""
