"""What the kernel does with a process that crashes: `kernel.core_pattern`, as core(5) tells of it. No policy."""

_PATH = "/proc/sys/kernel/core_pattern"


def read() -> str:
    """Return the pattern as it is now; empty where the kernel leaves no cores at all."""
    try:
        with open(_PATH, "rb", buffering=0) as file:
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def is_program(pattern: str) -> bool:
    """Whether a program is started for each crash, as root of the host, whatever the limit of core files but 1."""
    return pattern.startswith("|")


def is_socket(pattern: str) -> bool:
    """Whether a server of the host is told of each crash, whatever the limit of core files; since Linux 6.16."""
    return pattern.startswith("@")
