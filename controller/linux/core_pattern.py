"""What the kernel does with a process that crashes: `kernel.core_pattern`, as core(5) tells of it. No policy."""

import os

_PATH = "/proc/sys/kernel/core_pattern"
_MOST_BYTES = 256  # Source: fs/coredump.c, CORENAME_MAX_SIZE: 128.


def read() -> str:
    """Return the pattern as it is now; empty where the kernel leaves no cores at all."""
    try:
        fd = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.read(fd, _MOST_BYTES).decode(errors="replace").strip()
    finally:
        os.close(fd)


def is_program(pattern: str) -> bool:
    """Whether a program is started for each crash, as root of the host, whatever the limit of core files but 1."""
    return pattern.startswith("|")


def is_socket(pattern: str) -> bool:
    """Whether a server of the host is told of each crash, whatever the limit of core files; since Linux 6.16."""
    return pattern.startswith("@")
