"""What a run's devices come to in operations, and which are none. Pure.

A node is made below /dev, with an owner of the run; a file is mounted read-only, wherever it is wanted, in a place
that is made for it. Invariant: nothing takes the place of a device that every run has.
"""

from collections.abc import Iterator

from controller.linux.mount_api import MountAttribute
from controller.sandbox.errors import InvalidSpec
from controller.sandbox.ops import BindMount, GiveDevice, MakePlaces, Op, Unmask
from controller.sandbox.spec import DeviceFile, DeviceNode, Devices, HostIds

_OF_EVERY_RUN = frozenset(
    {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue"}
)
_LINKS_OF_EVERY_RUN = frozenset({"fd", "stdin", "stdout", "stderr"})
_NO_PLACES = ("/dev", "/proc", "/sys", "/work", "/tmp")
_READ_ONLY = MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV
_MOST_IDS = 65536
_DRIVERS = "/proc/driver"  # Hidden from other runs. Libraries of a device ask here what its driver is, and may do.


def compile_devices(devices: Devices, host_ids: HostIds) -> Iterator[Op]:
    """Return the operations that give a run its devices, to be carried out after all of its other mounts.

    Raises:
        InvalidSpec: one is to be where none may be, or two are to be at one place.
    """
    if devices.nodes or devices.files or devices.links:
        _refuse_nonsense(devices)
    if devices.nodes:
        yield Unmask(_DRIVERS)
    for node in devices.nodes:
        uid, gid = host_ids.uid + node.sandbox_uid, host_ids.gid + node.sandbox_gid
        yield GiveDevice(node.path, node.kind, node.major, node.minor, node.mode, uid, gid)
    if devices.files or devices.links:
        files = tuple(file.target for file in devices.files if not file.directory)
        directories = tuple(file.target for file in devices.files if file.directory)
        yield MakePlaces(files, directories, devices.links)
    yield from (_bind(file) for file in devices.files)


def _bind(file: DeviceFile) -> BindMount:
    return BindMount(file.source, file.target, _READ_ONLY | (MountAttribute.NOEXEC if file.no_exec else _READ_ONLY))


def _refuse_nonsense(devices: Devices) -> None:
    for node in devices.nodes:
        _refuse_a_bad_node(node)
    targets = [*(file.target for file in devices.files), *(path for path, _ in devices.links)]
    for target in targets:
        if not _is_place(target) or any(_is_at_or_below(target, place) for place in _NO_PLACES):
            raise InvalidSpec(f"cannot show {target} to a run for its device: that place is the run's own")
    places = [*(node.path for node in devices.nodes), *targets]
    if len(set(places)) < len(places):
        place = next(place for place in places if places.count(place) > 1)
        raise InvalidSpec(f"cannot make {place} in the sandbox: two things are wanted there for devices")


def _refuse_a_bad_node(node: DeviceNode) -> None:
    name = node.path.removeprefix("/dev/").partition("/")[0]
    if not node.path.startswith("/dev/") or not _is_place(node.path) or name in _OF_EVERY_RUN | _LINKS_OF_EVERY_RUN:
        raise InvalidSpec(f"cannot give a run the device {node.path}: it is not below /dev, or every run has its own")
    if node.kind not in ("b", "c") or node.mode & ~0o666:
        raise InvalidSpec(
            f"cannot give a run the device {node.path}: its type is {node.kind}, its mode {node.mode:04o}"
        )
    if max(node.sandbox_uid, node.sandbox_gid) >= _MOST_IDS:
        raise InvalidSpec(f"cannot give a run the device {node.path}: a run has no such user or group as its owner")


def _is_place(path: str) -> bool:
    parts = path.split("/")
    return (
        parts[0] == ""
        and len(parts) > 1
        and "\0" not in path
        and all(part not in ("", ".", "..") for part in parts[1:])
    )


def _is_at_or_below(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")
