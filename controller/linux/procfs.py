"""Parsers of /proc/PID/stat, status and cgroup. They take text, not paths, and never guess.

Here: what we use of those files, with the kernel's names. Never here: opening them.
"""

from dataclasses import dataclass

_NAME_ENDS = ") "
_PF_EXITING = 0x4  # Source: include/linux/sched.h.


@dataclass(frozen=True, slots=True)
class Stat:
    """Fields 1–4, 9 and 22 of /proc/PID/stat."""

    pid: int
    command: str
    state: str
    parent_pid: int
    flags: int
    start_time_ticks: int

    @property
    def is_exiting(self) -> bool:
        """Whether it is past the last of its own code, but perhaps not dead: process 1 of a namespace waits for all."""
        return bool(self.flags & _PF_EXITING)


@dataclass(frozen=True, slots=True)
class Status:
    """Of /proc/PID/status: the pid in each pid namespace from the reader's inwards, ids, capabilities, filters."""

    pids: tuple[int, ...]
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    threads: int
    effective_capabilities: int
    bounding_capabilities: int
    no_new_privs: bool
    seccomp_filters: int


@dataclass(frozen=True, slots=True)
class CgroupMembership:
    """One line of /proc/PID/cgroup; the v2 hierarchy has id 0 and no cgroup controllers."""

    hierarchy_id: int
    controllers: tuple[str, ...]
    path: str


def parse_stat(text: str) -> Stat:
    """Read /proc/PID/stat. The command may hold anything, spaces and `)` among them.

    Raises:
        ValueError: it is not such a text.

    Source: proc_pid_stat(5).
    """
    # The last ") " ends the command: after it come numbers and one letter, never a bracket.
    head, separator, tail = text.rpartition(_NAME_ENDS)
    pid, opening, command = head.partition(" (")
    fields = tail.split()
    if not separator or not opening or len(fields) < 20:
        raise ValueError(f"cannot read {text[:80]!r} as /proc/PID/stat: fields are missing")
    return Stat(int(pid), command, fields[0], int(fields[1]), int(fields[6]), int(fields[19]))


def parse_status(text: str) -> Status:
    """Read /proc/PID/status.

    Raises:
        ValueError: a line we use is missing or is not what it should be.

    Source: proc_pid_status(5).
    """
    fields = {}
    for line in text.split("\n"):
        key, separator, value = line.partition(":")
        if separator:
            fields[key] = value.strip()
    try:
        return Status(
            pids=_integers(fields.get("NSpid", fields["Pid"])),
            uids=_integers(fields["Uid"]),
            gids=_integers(fields["Gid"]),
            threads=int(fields["Threads"]),
            effective_capabilities=int(fields["CapEff"], 16),
            bounding_capabilities=int(fields["CapBnd"], 16),
            no_new_privs=fields["NoNewPrivs"] == "1",
            seccomp_filters=int(fields.get("Seccomp_filters", "0")),
        )
    except KeyError as error:
        raise ValueError(f"cannot read /proc/PID/status: it has no line {error.args[0]}") from error


def parse_cgroup(text: str) -> tuple[CgroupMembership, ...]:
    """Read /proc/PID/cgroup.

    Raises:
        ValueError: a line is not ID:CONTROLLERS:PATH.

    Source: cgroups(7).
    """
    memberships = []
    for line in text.split("\n"):
        if not line:
            continue
        parts = line.split(":", 2)
        if len(parts) != 3:
            raise ValueError(f"cannot read {line!r} as a line of /proc/PID/cgroup: it is not ID:CONTROLLERS:PATH")
        number, controllers, path = parts
        memberships.append(CgroupMembership(int(number), tuple(filter(None, controllers.split(","))), path))
    return tuple(memberships)


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())
