import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.linux import capabilities, procfs
from controller.linux.capabilities import Capability
from controller.linux.libc import SyscallError
from support.in_child import in_child

pytestmark = pytest.mark.needs_root


def sets():
    status = procfs.parse_status(Path("/proc/self/status").read_text())
    return status.effective_capabilities, status.bounding_capabilities


def test_the_capabilities_are_all_there_are_without_gaps():
    assert [capability.value for capability in Capability] == list(range(41))
    assert capabilities.last_capability() == int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def test_only_what_is_kept_is_left_in_every_set():
    keep = frozenset({Capability.CHOWN, Capability.BPF})

    def body():
        capabilities.drop_all_except(keep)
        lines = Path("/proc/self/status").read_text().splitlines()
        return {line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}

    mask = 1 << Capability.CHOWN | 1 << Capability.BPF
    assert in_child(body) == {"CapInh:": 0, "CapPrm:": mask, "CapEff:": mask, "CapBnd:": mask, "CapAmb:": 0}


def test_nothing_dropped_is_enough_to_do_what_needed_it(tmp_path):
    (tmp_path / "file").touch(mode=0o000)
    os.chown(tmp_path / "file", 1, 1)

    def body():
        capabilities.drop_all_except(frozenset())
        with pytest.raises(PermissionError):
            (tmp_path / "file").read_bytes()
        return sets()

    assert in_child(body) == (0, 0)


def test_exec_as_root_brings_nothing_back():
    def drop():
        capabilities.drop_all_except(frozenset({Capability.KILL}))

    script = "print([line for line in open('/proc/self/status') if line.startswith('CapEff')])"
    done = subprocess.run([sys.executable, "-c", script], preexec_fn=drop, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == f"['CapEff:\\t{1 << Capability.KILL:016x}\\n']"


def test_what_is_not_there_cannot_be_kept():
    def body():
        capabilities.drop_all_except(frozenset({Capability.SETPCAP}))
        with pytest.raises(SyscallError, match="cannot drop capabilities: EPERM"):
            capabilities.drop_all_except(frozenset({Capability.CHOWN}))

    in_child(body)
