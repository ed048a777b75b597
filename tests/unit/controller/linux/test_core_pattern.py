from pathlib import Path

import pytest

from controller.linux import core_pattern


def test_the_pattern_is_the_kernels():
    assert core_pattern.read() == Path("/proc/sys/kernel/core_pattern").read_text().strip()


@pytest.mark.parametrize(
    ("pattern", "is_program", "is_socket"),
    [
        ("core", False, False),
        ("/var/cores/%e.%p", False, False),
        ("|/usr/share/apport/apport %p", True, False),
        ("@/run/coredumps", False, True),
        ("@@/run/coredumps", False, True),
        ("", False, False),
    ],
)
def test_who_is_told_of_a_crash_is_said_by_the_first_character(pattern, is_program, is_socket):
    assert (core_pattern.is_program(pattern), core_pattern.is_socket(pattern)) == (is_program, is_socket)
