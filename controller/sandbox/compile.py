"""From a sandbox as wanted to the operations that make it. Pure: no I/O, and the same answer every time.

They come in three parts: the base, alike for all runs; what runs of the same programs and sizes share; and what is one
run's own: its name, and /work with all that is in it. Before the second and the third the maker goes back to the
host's mounts, to take their sources as they are then (`interpret`).

Here: what every sandbox has (namespaces, /proc and its masks, /dev, /tmp, /work, generated /etc files)
and the order of things. Never here: carrying it out, and the host.
Invariant: whatever has a parent directory in the sandbox comes after the mount that brings it.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from controller.linux.landlock import Access
from controller.linux.mount_api import MountAttribute
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox import default_files, device_ops
from controller.sandbox.errors import InvalidSpec
from controller.sandbox.ops import (
    Allow,
    BeginTime,
    BindMount,
    BringUpLoopback,
    CopyFiles,
    CopyTree,
    CoverFile,
    EnterNewNamespaces,
    ForgetDomain,
    MakeDevice,
    MakeDirectory,
    MakeMountsPrivate,
    MakePlaces,
    MakeReadOnly,
    MakeSymlink,
    Mask,
    MountDevpts,
    MountProc,
    MountRoot,
    MountTmpfs,
    Op,
    OpenLowPorts,
    PivotRoot,
    SealRoot,
    SeparateDevices,
    SetHostname,
    WriteFile,
)
from controller.sandbox.spec import MIB, Bind, HostIds, Mount, PrivateCopy, SandboxSpec, Scratch, VolumeBind

WORK_DIRECTORY = "/work"
VOLUMES_DIRECTORY = "/volumes"

# The root holds directories, links, device nodes and small generated files only.
_ROOT_BYTES = 8 * MIB
_TTY_GROUP = 5
_HOSTNAME_MAX_BYTES = 64  # __NEW_UTS_LEN
_MAX_LINKS = 40  # As the kernel's own limit (MAXSYMLINKS).
_SCRATCH = MountAttribute.NOSUID | MountAttribute.NODEV
_SCRATCH_READ_ONLY = _SCRATCH | MountAttribute.RDONLY
_DATA = _SCRATCH | MountAttribute.NOEXEC
_WRITE = Access.WRITE_FILE | Access.TRUNCATE
_CONTROL = _WRITE | Access.IOCTL_DEV
_CHANGE = ~(Access.MAKE_CHAR | Access.MAKE_BLOCK | Access.IOCTL_DEV)
_CHANGE_FILES = _CHANGE & ~(Access.MAKE_SOCK | Access.MAKE_FIFO)
"""Where other runs are too: descriptors are handed on by a socket, whatever namespaces its two sides are in."""
_NAMESPACES = LinuxNamespace.MOUNT | LinuxNamespace.NETWORK | LinuxNamespace.IPC | LinuxNamespace.UTS
_OWNED = ("/proc", "/dev")
_SCRATCH_TARGETS = ("/tmp", WORK_DIRECTORY)
_DEVICES_DIRECTORY = "/dev"
_OF_NAMES = ("/etc/hosts", "/etc/resolv.conf")

# What /proc tells about the host or lets root do to it. Source: the default masks of runc, podman and moby; and what
# says of the host what programs have no use for: its disks, drivers, locks, boot options and the kernel's symbols, how
# its memory and its interrupts are going. Of what waits for memory (`pressure`), anybody may have the kernel tell, and
# so keep it busy for good.
_MASKED = (
    "acpi", "asound", "bootconfig", "buddyinfo", "bus", "cmdline", "config.gz", "consoles", "crypto", "diskstats",
    "drbd", "driver", "dynamic_debug", "fb", "fs", "interrupts", "iomem", "ioports", "irq", "kallsyms", "kcore",
    "key-users", "keys", "kmsg", "latency_stats", "lock_stat", "lockdep", "lockdep_chains", "lockdep_stats", "locks",
    "mdstat", "misc", "modules", "mtrr", "partitions", "pressure", "profile", "sched_debug", "schedstat", "scsi",
    "softirqs", "spl", "swaps", "sysrq-trigger", "timer_list", "timer_stats", "vmcore", "xen", "zoneinfo",
)  # fmt: skip
_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)


# What of the base is alike for all, made once: whoever is forked would write to every page that it were made in.
_BEFORE_THE_ROOT: tuple[Op, ...] = (
    EnterNewNamespaces(_NAMESPACES),
    MakeMountsPrivate(),
    BeginTime(),
    ForgetDomain(),
    BringUpLoopback(),
    OpenLowPorts(),
)
_DEVICE_OPS: tuple[Op, ...] = (
    MakeDirectory("/dev/pts"),
    *(MakeDevice(f"/dev/{name}", major, minor) for name, major, minor in _DEVICES),
    *(MakeSymlink(f"/dev/{name}", points_to) for name, points_to in _DEVICE_LINKS),
    SeparateDevices(_DEVICES_DIRECTORY),
)
_AFTER_THE_TERMINALS: tuple[Op, ...] = (
    MountProc("/proc"),
    Mask("/proc", frozenset(_MASKED), aside=_DEVICES_DIRECTORY),
    MakeReadOnly("/proc/sys"),
    Allow("/proc", _WRITE),  # Of itself: names of threads, its own score.
    Allow("/dev", _WRITE),
    *(Allow(path, _CONTROL) for path in ("/dev/pts", "/dev/tty")),
    PivotRoot(),
)


def compile_base(host_ids: HostIds, staging: str) -> tuple[Op, ...]:
    """Return what every sandbox begins with, whatever is wanted of it: so it can be made before anything is.

    Args:
        host_ids: the host's ids of the sandbox's root.
        staging: an existing host directory to mount the new root on for a moment; many runs may share it.
    """
    terminals = MountDevpts("/dev/pts", host_ids.gid + _TTY_GROUP)
    return (*_BEFORE_THE_ROOT, MountRoot(staging, _ROOT_BYTES), *_DEVICE_OPS, terminals, *_AFTER_THE_TERMINALS)


def compile_sandbox(spec: SandboxSpec, host_ids: HostIds) -> tuple[Op, ...]:
    """Return the operations that make `spec` out of the base, to be carried out in this order after it.

    Raises:
        InvalidSpec: two things at one place, a place that is runwright's own, a size that is none.
    """
    return (*compile_shared(spec, host_ids), *compile_own(spec, host_ids))


def compile_shared(spec: SandboxSpec, host_ids: HostIds) -> tuple[Op, ...]:
    """Return those of `compile_sandbox` that come first and do not depend on the fields in `OWN_FIELDS`.

    Raises:
        InvalidSpec: as there, whatever the fields in `OWN_FIELDS` are.
    """
    _refuse_nonsense(spec)
    taken = _places(spec).taken
    return (
        *(MakeSymlink(path, points_to) for path, points_to in spec.symlinks),
        *(WriteFile(file.path, file.content) for file in spec.etc_files),
        *_etc(default_files.default_etc(), spec, taken),
        *_usual_places(taken),
        *_mounts(spec, host_ids, own=False),
    )


def compile_own(spec: SandboxSpec, host_ids: HostIds) -> tuple[Op, ...]:
    """Return the rest of `compile_sandbox`.

    Raises:
        InvalidSpec: the host's name or the size of /work is none, or a device is to be where none may be.
    """
    _refuse_a_bad_hostname(spec.hostname)
    _refuse_sizes(spec.work_bytes)
    return (
        SetHostname(spec.hostname),
        *_etc(default_files.own_etc(spec.hostname, spec.addresses, spec.name_servers), spec, _places(spec).taken),
        *_mounts(spec, host_ids, own=True),
        *_names(spec),
        *_volumes(spec, host_ids),
        *device_ops.compile_devices(spec.devices, host_ids),
        *(Allow(node.path, _CONTROL) for node in spec.devices.nodes),
        SealRoot(_DEVICES_DIRECTORY),
    )


def can_be_shared(spec: SandboxSpec) -> bool:
    """Say whether `compile_shared` may be carried out before a run is known: not if it copies what may change."""
    return not spec.private_copies


def _mount_targets(spec: SandboxSpec) -> tuple[str, ...]:
    return tuple(mount.target for mount in spec.mounts)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the mounts that were asked for will be."""

    taken: frozenset[str]  # With all links, by the names that were given and by those that the kernel will find.
    mounts: tuple[tuple[str, Mount], ...]


def _places(spec: SandboxSpec) -> _Places:
    return _find_places(spec.mounts, spec.symlinks)


@lru_cache(maxsize=8)  # For both parts of a sandbox, and the second is on a launch's way.
def _find_places(wanted: tuple[Mount, ...], symlinks: tuple[tuple[str, str], ...]) -> _Places:
    links = dict(symlinks)
    mounts = tuple((_resolve(mount.target, links), mount) for mount in wanted)
    given = (mount.target for mount in wanted)
    return _Places(frozenset((*given, *links, *(place for place, _ in mounts))), mounts)


def _etc(files: dict[str, str], spec: SandboxSpec, taken: frozenset[str]) -> Iterable[Op]:
    asked_for = {file.path for file in spec.etc_files}
    for path, content in files.items():
        if path not in asked_for and not _brought_by(taken, path):
            yield WriteFile(path, content)


def _names(spec: SandboxSpec) -> Iterable[Op]:
    """Return what has a run ask its network for names, where a mount brings an /etc that knows nothing of it."""
    covered = tuple(path for path in _OF_NAMES if spec.name_servers and _brought_by(_mount_targets(spec), path))
    if covered:
        own = default_files.own_etc(spec.hostname, spec.addresses, spec.name_servers)
        yield MakePlaces(covered, (), ())
        yield from (CoverFile(path, own[path]) for path in covered)


def _usual_places(taken: frozenset[str]) -> Iterable[Op]:
    """What programs expect to exist even where nobody brings it."""
    if not _brought_by(taken, "/run"):
        yield MakeDirectory("/run")
    if not _brought_by(taken, "/var/tmp"):
        yield MakeSymlink("/var/tmp", "/tmp")


def _mounts(spec: SandboxSpec, ids: HostIds, *, own: bool) -> Iterable[Op]:
    """Return all mounts but the kernel's own, each after those it lies in: those at and below /work, or the others."""
    if own:
        groups = [(WORK_DIRECTORY, (*_work(spec, ids), Allow(WORK_DIRECTORY, _CHANGE)))]
    else:
        groups = [
            (place, (_tmpfs(place, size, 0o1777, ids, kind), Allow(place, _CHANGE)))
            for place, size, kind in _scratch(spec)
        ]
    for place, mount in _places(spec).mounts:
        if _brought_by((WORK_DIRECTORY,), place) == own:
            groups.append((place, _made(mount, ids)))
    groups.sort(key=lambda group: (group[0].count("/"), group[0]))
    return chain.from_iterable(ops for _, ops in groups)


def _scratch(spec: SandboxSpec) -> tuple[tuple[str, int, MountAttribute], ...]:
    return (("/tmp", spec.tmp_bytes, _SCRATCH), ("/dev/shm", spec.shm_bytes, _DATA))


def _made(mount: Mount, ids: HostIds) -> tuple[Op, ...]:
    match mount:
        case Bind():
            bind = _bind(mount, ids)
            return (bind,) if mount.read_only else (bind, Allow(mount.target, _CHANGE_FILES))
        case PrivateCopy():
            return (*_private_copy(mount, ids), Allow(mount.target, _CHANGE))
        case Scratch(target, size_bytes):
            return (_tmpfs(target, size_bytes, 0o755, ids), Allow(target, _CHANGE))


def _bind(bind: Bind, ids: HostIds) -> BindMount:
    attributes = _SCRATCH_READ_ONLY if bind.read_only else _SCRATCH
    return BindMount(bind.source, bind.target, attributes, bind.within, ids.uid if bind.neutral_owners else None)


def _volumes(spec: SandboxSpec, ids: HostIds) -> Iterable[Op]:
    """Return the mounts of volumes, each after those it lies in. They are no two runs' in common: they come and go."""
    if not spec.volumes:
        return
    brought, taken = _mount_targets(spec), list[str]()
    for volume in sorted(spec.volumes, key=lambda volume: (volume.target.count("/"), volume.target)):
        _refuse_a_bad_place(volume.target)
        if volume.target in (*brought, *taken):
            other = "the runtime brings" if volume.target in brought else "another volume is"
            raise InvalidSpec(f"cannot mount a volume at {volume.target}: {other} what is there: mount it elsewhere")
        parent = volume.target.rpartition("/")[0]
        if not _brought_by((VOLUMES_DIRECTORY, WORK_DIRECTORY), parent) or _brought_by(taken, parent):
            yield MakePlaces((), (volume.target,), ())  # What lies above it may be read-only and lack it.
        taken.append(volume.target)
        yield _volume(volume, ids)
        if not volume.read_only:
            yield Allow(volume.target, _CHANGE_FILES)


def _volume(volume: VolumeBind, ids: HostIds) -> BindMount:
    attributes = _SCRATCH_READ_ONLY if volume.read_only else _SCRATCH
    if volume.host_uid is None or volume.host_gid is None:
        return BindMount(volume.source, volume.target, attributes, volume.within)
    owners = ids.uid, volume.host_uid, volume.host_gid, volume.ids
    return BindMount(volume.source, volume.target, attributes, volume.within, *owners)


def _work(spec: SandboxSpec, ids: HostIds) -> tuple[Op, ...]:
    mount = _tmpfs(WORK_DIRECTORY, spec.work_bytes, 0o755, ids)
    ops: list[Op] = [mount]
    if spec.files_dir is not None:
        ops.append(CopyTree(spec.files_dir, WORK_DIRECTORY, ids.uid, ids.gid))
    if spec.given_dir is not None:
        ops.append(CopyFiles(spec.given_dir, WORK_DIRECTORY, spec.given_files, ids.uid, ids.gid))
    return tuple(ops)


def _private_copy(copy: PrivateCopy, ids: HostIds) -> tuple[Op, ...]:
    mount = _tmpfs(copy.target, copy.size_bytes, 0o755, ids)
    return (mount, CopyTree(copy.source, copy.target, ids.uid, ids.gid, copy.within))


def _tmpfs(target: str, size_bytes: int, mode: int, ids: HostIds, attributes: MountAttribute = _SCRATCH) -> MountTmpfs:
    return MountTmpfs(target, size_bytes, mode, ids.uid, ids.gid, attributes)


def _refuse_nonsense(spec: SandboxSpec) -> None:
    mounts = _mount_targets(spec)
    places = tuple(chain(mounts, (path for path, _ in spec.symlinks), (file.path for file in spec.etc_files)))
    for place in places:
        _refuse_a_bad_place(place)
    if len(set(places)) < len(places):
        place = next(place for place in places if places.count(place) > 1)
        raise InvalidSpec(f"cannot make {place} in the sandbox: two things are wanted there: drop one")
    for file in spec.etc_files:
        if not file.path.startswith("/etc/"):
            raise InvalidSpec(f"cannot generate {file.path}: it is not below /etc")
        if _brought_by(mounts, file.path):
            raise InvalidSpec(f"cannot generate {file.path}: a mount covers it: drop the mount or the file")
    sizes = (mount.size_bytes for mount in spec.mounts if not isinstance(mount, Bind))
    _refuse_sizes(spec.tmp_bytes, spec.shm_bytes, *sizes)


def _refuse_sizes(*sizes: int) -> None:
    if min(sizes) <= 0:
        # The kernel takes size=0 as "no limit", so it would fail open.
        raise InvalidSpec(f"cannot limit a file system to {min(sizes)} bytes: a size is at least 1")


def _refuse_a_bad_hostname(name: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    if not 0 < len(name) <= _HOSTNAME_MAX_BYTES or not set(name) <= allowed:
        raise InvalidSpec(f"cannot name a host {name!r}: use 1 to {_HOSTNAME_MAX_BYTES} letters, digits, '-' and '.'")


def _refuse_a_bad_place(target: str) -> None:
    parts = target.split("/")
    if parts[0] != "" or "\0" in target or not all(part not in ("", ".", "..") for part in parts[1:]):
        raise InvalidSpec(f"cannot make {target!r} in the sandbox: a place is /absolute, without '..', '.' and '//'")
    if _brought_by(_OWNED, target) or target in _SCRATCH_TARGETS:
        raise InvalidSpec(f"cannot make {target} in the sandbox: each run has its own")


def _brought_by(targets: Container[str], path: str) -> bool:
    """Say whether a mount at one of `targets` is at `path` or above it."""
    while path:
        if path in targets:
            return True
        path = path.rpartition("/")[0]
    return False


def _resolve(path: str, links: dict[str, str]) -> str:
    """Follow `links` in `path` as the kernel will, without looking at anything."""
    if not _brought_by(links, path):
        return path
    done: list[str] = []
    left = path.split("/")[1:]
    for _ in range(_MAX_LINKS):
        while left:
            part = left.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            done.append(part)
            points_to = links.get("/" + "/".join(done))
            if points_to is not None:
                done = [] if points_to.startswith("/") else done[:-1]
                left = [word for word in points_to.split("/") if word not in ("", ".")] + left
                break
        else:
            return "/" + "/".join(done)
    raise InvalidSpec(f"cannot make {path} in the sandbox: its symbolic links go in a circle")
