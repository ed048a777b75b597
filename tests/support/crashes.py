"""Crashes, and what the kernel does with them; a host where a test may say what that is."""

import os
import resource
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.linux import core_pattern

SYSCTL = Path("/proc/sys/kernel")
IS_THROWN_AWAY = "runwright.thrown_away" in Path("/proc/cmdline").read_text().split()
"""Whether this is the machine of scripts/vm-v2: nobody else's processes are in it, nobody else's settings."""

PATTERN = core_pattern.read()
LEAVES_FILES_HERE = not (core_pattern.is_program(PATTERN) or core_pattern.is_socket(PATTERN) or PATTERN.startswith("/"))
"""Whether a crash leaves its core in the working directory."""

CRASH = "import os; os.abort()"


def on_a_machine_of_our_own(test):
    """Skip it where others would have their crashes told to the test."""
    skip = pytest.mark.skipif(not IS_THROWN_AWAY, reason="the host's core_pattern is not the test's to set")
    return pytest.mark.elsewhere("the virtual machine of make test-v2")(skip(test))


def where_cores_are_files(test):
    skip = pytest.mark.skipif(not LEAVES_FILES_HERE, reason=f"core_pattern is {PATTERN}")
    return pytest.mark.elsewhere("a host that leaves cores as files in the working directory")(skip(test))


class Told:
    """What a program was told that the kernel starts for each crash: the pids, as the host counts them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pids(self) -> list[int]:
        return [int(line) for line in self._path.read_text().split()]

    def of_a_process_with_limit(self, core_limit: int) -> bool:
        """Crash a process of the host's own, and say whether the program was told of it."""
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_CORE, (core_limit, core_limit))
            os.abort()
        os.waitpid(pid, 0)
        return pid in self.pids()


@contextmanager
def crashes_told_to_a_program():
    """Have the kernel start a program for each crash, as its root, and wait for it: so what it was told is all."""
    directory = Path(tempfile.mkdtemp(prefix="crash-", dir="/tmp"))  # A pattern has 127 characters.
    program, told = directory / "told", directory / "pids"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\necho $1 >> {told}\n")
    program.chmod(0o755)
    told.touch()
    before = {name: (SYSCTL / name).read_text() for name in ("core_pattern", "core_pipe_limit")}
    try:
        (SYSCTL / "core_pipe_limit").write_text("16")
        (SYSCTL / "core_pattern").write_text(f"|{program} %P")
        yield Told(told)
    finally:
        for name, value in before.items():
            (SYSCTL / name).write_text(value)
        shutil.rmtree(directory)
