"""What the kernel says a run is held to: read by the job's process of itself, before it executes anything, and judged.

Here: reading it, comparing it with what was wanted (pure), and the receipt that the run's record shows.
Invariant: a run of which the kernel says anything else than what was wanted is not begun.
"""

import contextlib
import json
import os
import re
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.launcher.records import Plain
from controller.linux import mountinfo, process
from controller.linux.capabilities import Capability
from controller.sandbox.confine import NO_CORES

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_BEFORE_ITS_CGROUP = tuple(name for name in NAMESPACES if name != "cgroup")
_LINKS_BEFORE_ITS_CGROUP = tuple(f"/proc/self/ns/{name}" for name in _BEFORE_ITS_CGROUP)
_LINK = re.compile(r"(\w+):\[(\d+)\]")
_BETWEEN_PARTS = "|"
END = b"\0"
END_OF_EARLY = b"\n\n"
_FIELD = re.compile(
    r"^(Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp|Seccomp_filters|SigIgn|SigBlk|Umask):\t(.*)$", re.MULTILINE
)
# Between single spaces, as the kernel writes it, which escapes of all blanks space, tab and newline alone.
_MOUNT = re.compile(r"^(?:[^ \n]+ ){4}([^ \n]+) ([^ \n]+)((?: [^ \n-][^ \n]*)*) - ", re.MULTILINE)
_READ_BYTES = 1 << 16
_FILTERED = "2"
_NO_CAPABILITIES = frozenset[Capability]()
_DEVICES = ("/dev", "/dev/pts", "/")  # The root until it is sealed, which is asked for apart.
_KERNELS_OWN = ("/proc", "/dev/pts")
_MOST_BYTES = 3000  # Of places of mounts in a record, which has its room on the disk from the start.
_BETWEEN = len(", ")
_FLAGS = ("ro", "rw", "nosuid", "nodev", "noexec")
_BITS = (("nosuid", os.ST_NOSUID), ("nodev", os.ST_NODEV), ("noexec", os.ST_NOEXEC))


class NotEnforced(Exception):
    """The kernel says otherwise than what was wanted: the message says what."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the launcher itself is in, so that a run can be told from it."""

    namespaces: Mapping[str, int]
    filters: int

    @staticmethod
    def look() -> "Surroundings":
        """Look at this process, which is the launcher's or a parent of it."""
        filters = _fields(_read("/proc/self/status")).get("Seccomp_filters", "0")
        return Surroundings(namespaces_of_self(NAMESPACES), int(filters))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the kernel is to say of the job's process."""

    host_base: int
    ids: int
    surroundings: Surroundings
    capabilities: frozenset[Capability] = _NO_CAPABILITIES
    core_limit: int = NO_CORES
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Early:
    """What it says before its run is known, and what does not change any more; see `Seen`."""

    namespaces: Mapping[str, int]
    uid_map: tuple[int, ...]
    gid_map: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What it says: fields of /proc/PID/status, inode numbers of namespaces, the maps of ids, and what of cores.

    `core_limits` are the soft and the hard one; `dumpable` is whether a crash of the process itself would leave a core
    or tell of one: what it executes is so again, and is held by the limits alone.
    """

    status: Mapping[str, str]
    namespaces: Mapping[str, int]
    uid_map: tuple[int, ...]
    gid_map: tuple[int, ...]
    core_limits: tuple[int, ...] = ()
    dumpable: bool = True


def tell_early() -> bytes:
    """Return what of this process does not change any more once it is in its user namespace, for its supervisor.

    It is told as soon as it is so, ahead of need; `tell_late` is the rest.
    """
    # As the kernel writes it: whoever is forked writes to every page that it makes something in.
    parts = (_read("/proc/self/uid_map"), _read("/proc/self/gid_map"), " ".join(_links_of_self()))
    return _BETWEEN_PARTS.join(parts).encode() + END_OF_EARLY


def _links_of_self() -> Iterable[str]:
    for path in _LINKS_BEFORE_ITS_CGROUP:
        with contextlib.suppress(FileNotFoundError):  # A kernel without that kind, of which nobody has another.
            yield os.readlink(path)


def tell_late() -> bytes:
    """Return the rest there is to say of this process, which has given up its rights; it ends with `END`."""
    cgroup = os.stat("/proc/self/ns/cgroup").st_ino
    numbers = (cgroup, process.is_dumpable(), *resource.getrlimit(resource.RLIMIT_CORE))
    return b"%d %d %d %d\n%b" % (*numbers, _read("/proc/self/status").encode()) + END


def parse(told: bytes) -> Seen:
    """Read what was told early and late.

    Raises:
        NotEnforced: it is something else.
    """
    early, separator, late = told.partition(END_OF_EARLY)
    return parse_late(parse_early(early + separator), late)


def parse_early(told: bytes) -> Early:
    """Read what was told early, which may be before there is a run.

    Raises:
        NotEnforced: it is something else.
    """
    try:
        uids, gids, links = told.decode().split(_BETWEEN_PARTS)
        inodes = {name: int(inode) for name, inode in _LINK.findall(links)}
        return Early(inodes, _integers(uids), _integers(gids))
    except ValueError as error:
        raise _nonsense(told) from error


def parse_late(early: Early, told: bytes) -> Seen:
    """Read what was told late, and add it.

    Raises:
        NotEnforced: it is something else.
    """
    numbers, _, status = told.removesuffix(END).partition(b"\n")
    try:
        cgroup, dumpable, *core_limits = map(int, numbers.split())
        namespaces = {**early.namespaces, "cgroup": cgroup}
        fields = _fields(status.decode())
        return Seen(fields, namespaces, early.uid_map, early.gid_map, tuple(core_limits), dumpable != 0)
    except ValueError as error:
        raise _nonsense(told) from error


def _nonsense(told: bytes) -> NotEnforced:
    return NotEnforced(f"cannot tell what the run is held to: its process says {told[:200]!r}")


def judge(seen: Seen, wanted: Wanted) -> None:
    """Compare.

    Raises:
        NotEnforced: something is not as wanted; all that is not is named.
    """
    problems = [*_rights(seen.status, wanted), *_places(seen, wanted), *_cores(seen, wanted)]
    if problems:
        raise NotEnforced(f"cannot begin the run: the kernel says {'; '.join(problems)}")


def read_mounts(writable: Iterable[str]) -> dict[str, str]:
    """Ask the kernel for the mounts of the sandbox that this process is in; see `judge_mounts`.

    Raises:
        NotEnforced: as there.
        OSError: the kernel does not say.
    """
    with open("/proc/self/mountinfo", "rb", buffering=0) as file:
        return judge_mounts(b"".join(iter(lambda: file.read(_READ_BYTES), b"")).decode(errors="replace"), writable)


def judge_mounts(text: str, writable: Iterable[str]) -> dict[str, str]:
    """Return the flags of each mount in /proc/self/mountinfo, of several at one place those of the last.

    Raises:
        NotEnforced: one can be written that is not among `writable`, or has devices or set-user-id programs work, or
            passes mounts on; or a line is not one.
    """
    may_be_written = {*writable, *_KERNELS_OWN}
    found: dict[str, str] = {}
    mounts = _MOUNT.findall(text)
    wrong = [f"what is no mount: {line!r}" for line in _others(text, len(mounts))]
    for written, options, tags in mounts:
        place = mountinfo.unescape(written)
        flags = frozenset(options.split(","))
        if (
            tags
            or "nosuid" not in flags
            or ("nodev" not in flags and place not in _DEVICES)
            or ("ro" not in flags and place not in may_be_written)
        ):
            wrong.append(f"{place} is {options}{tags}")
        found[place] = ",".join(flag for flag in _FLAGS if flag in flags)
    if wrong or not found:
        raise NotEnforced(f"cannot begin the run: the kernel says of its mounts: {'; '.join(wrong) or 'nothing'}")
    return found


def _others(text: str, mounts: int) -> list[str]:
    """Return the lines that were not found to be mounts, one of which ends where the next begins."""
    *lines, unfinished = text.split("\n")
    if len(lines) == mounts and not unfinished:
        return []
    return [*(line for line in lines if not _MOUNT.match(line)), *filter(None, [unfinished])]


def flags_of(places: Iterable[str]) -> dict[str, str]:
    """Ask the kernel for the flags of the mounts at these places.

    Raises:
        OSError: there is no such place.
    """
    found = {}
    for place in places:
        seen = os.statvfs(place).f_flag
        found[place] = ",".join(["ro" if seen & os.ST_RDONLY else "rw", *(name for name, bit in _BITS if seen & bit)])
    return found


def by_flags(mounts: Mapping[str, str]) -> dict[str, Plain]:
    """Return the places of mounts by their flags, which takes less room.

    >>> by_flags({"/": "ro,nosuid", "/usr": "ro,nosuid", "/work": "rw"})
    {'ro,nosuid': ['/', '/usr'], 'rw': ['/work']}
    """
    found: dict[str, list[Plain]] = {}
    room = _MOST_BYTES
    for number, (place, flags) in enumerate(mounts.items()):
        room -= len(json.dumps(place)) + _BETWEEN  # As it is written: a character may take 12 bytes.
        if room < 0:
            found["more"] = [f"and {len(mounts) - number} others, which were looked at as well"]
            break
        found.setdefault(flags, []).append(place)
    return dict(found)


def as_plain(seen: Seen, filters_around: int) -> dict[str, Plain]:
    """Return what was seen, for the run's record; of filters, those that are the run's own."""
    status = seen.status
    sets = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return {
        "namespaces": {name: seen.namespaces[name] for name in sorted(seen.namespaces)},
        "hostUid": seen.uid_map[1],
        "uidMap": list(seen.uid_map),
        "gidMap": list(seen.gid_map),
        "capabilities": [one.name for one in Capability if int(status["CapEff"], 16) >> one & 1],
        "capabilitySets": dict(sets),
        "noNewPrivs": status["NoNewPrivs"] == "1",
        "coreLimit": seen.core_limits[0],
        "dumpable": seen.dumpable,
        "seccompMode": int(status["Seccomp"]),
        "seccompFilters": int(status.get("Seccomp_filters", 1 + filters_around)) - filters_around,
    }


def namespaces_of_self(names: Iterable[str]) -> dict[str, int]:
    """Return the inode numbers of this process' namespaces of these kinds, as far as the kernel has them."""
    found = {}
    for name in names:
        try:
            found[name] = os.stat(f"/proc/self/ns/{name}").st_ino
        except FileNotFoundError:  # A kernel without that kind: there is nothing to be separate from.
            continue
    return found


def _rights(status: Mapping[str, str], wanted: Wanted) -> Iterable[str]:
    mask = f"{sum(1 << one for one in wanted.capabilities):016x}"
    none = f"{0:016x}"
    expected = {
        **dict.fromkeys(("Uid", "Gid"), "0\t0\t0\t0"),
        "Groups": "",
        **dict.fromkeys(("CapInh", "CapAmb"), none),
        **dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), mask),
        "NoNewPrivs": "1",
        "Seccomp": _FILTERED,
        **dict.fromkeys(("SigIgn", "SigBlk"), none),
        "Umask": "0022",
    }
    for name, value in expected.items():
        if status.get(name, "").strip() != value:
            yield f"{name} is {status.get(name, '').strip() or 'not there'}, not {value or 'empty'}"
    filters = status.get("Seccomp_filters")  # Since Linux 5.9.
    if filters is not None and int(filters) != wanted.surroundings.filters + 1:
        yield f"Seccomp_filters is {filters}, not {wanted.surroundings.filters + 1}"


def _places(seen: Seen, wanted: Wanted) -> Iterable[str]:
    for name, map_ in (("uid_map", seen.uid_map), ("gid_map", seen.gid_map)):
        if map_ != (0, wanted.host_base, wanted.ids):
            yield f"{name} is {' '.join(map(str, map_))}, not 0 {wanted.host_base} {wanted.ids}"
    for name, inode in wanted.surroundings.namespaces.items():
        is_shared, may_be = seen.namespaces.get(name, inode) == inode, wanted.host_network and name == "net"
        if is_shared != may_be:
            yield f"its {name} namespace is {'' if is_shared else 'not '}the host's"


def _cores(seen: Seen, wanted: Wanted) -> Iterable[str]:
    if seen.core_limits != (wanted.core_limit,) * 2:
        said = " ".join(map(str, seen.core_limits)) or "not there"
        yield f"its limit of core files is {said}, not {wanted.core_limit} {wanted.core_limit}"
    if seen.dumpable:
        yield "it is dumpable before its command"


def _fields(status: str) -> dict[str, str]:
    return dict(_FIELD.findall(status))


def _integers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _READ_BYTES).decode(errors="replace")
    finally:
        os.close(fd)
