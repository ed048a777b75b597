"""From devices that a run was given to what its sandbox shall have: nodes, files, links and variables.

A node is made for the run, by the numbers of the host's: so it belongs to the run, whoever owns the host's, and its
mode holds what the spec permits. Files are shown read-only. Invariant: what a spec asks for is done, or has no effect
in our sandboxes and is listed here as such, or the device is refused with what it was.
"""

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from controller.devices import hooks
from controller.devices.cdi import Device, DeviceNode, Edits, FileMount
from controller.devices.errors import Unusable
from controller.devices.hooks import Meaning
from controller.sandbox import spec as sandbox

LIBRARY_DIRECTORY = "/run/devices/lib"
"""Where a run finds the libraries of its devices: by links, so no cache of the runtime's loader has to know them."""

_T = TypeVar("_T")
_NOT_BELOW = ("/dev", "/proc", "/sys", "/work", "/tmp")
_HARMLESS = frozenset(
    ("ro", "nosuid", "nodev", "noexec", "bind", "rbind", "private", "rprivate", "slave", "rslave")
)  # fmt: skip
_PERMITTED = {"r": 0o444, "w": 0o222, "m": 0}
_MODE_OF_NONE = 0o660  # Of a node that neither the spec nor the host gives a mode: its owner's, who is the run.


@dataclass(frozen=True, slots=True)
class HostFile:
    """What there is at a path of the host: its mode with its type, and its numbers if it is a device."""

    mode: int
    major: int = 0
    minor: int = 0


class HostFiles(Protocol):
    """The host's files, as far as devices are concerned."""

    def look(self, path: str) -> HostFile | None:
        """Return what is at `path`, links followed; None if there is nothing."""
        ...

    def soname(self, path: str) -> str:
        """Return the name that programs ask for the library at `path` by; empty if it is none."""
        ...


@dataclass(frozen=True, slots=True)
class Fitting:
    """What a run's sandbox and environment get for its devices."""

    devices: sandbox.Devices = field(default_factory=sandbox.Devices)
    env: Mapping[str, str] = field(default_factory=dict)


def fit(devices: Sequence[Device], host: HostFiles) -> Fitting:
    """Return what a run gets that was given `devices`.

    Raises:
        Unusable: it cannot be had on this host, or not in a sandbox; the message says what.
    """
    nodes: dict[str, sandbox.DeviceNode] = {}
    files: dict[str, sandbox.DeviceFile] = {}
    links: dict[str, str] = {}
    env: dict[str, str] = {}
    meanings: list[Meaning] = []
    for name, edits in _all_edits(devices):
        if edits.beyond:
            raise Unusable(f"cannot use device {name}: its spec asks for {edits.beyond[0]}, which runs cannot have")
        env |= dict(edits.env)
        for node in edits.nodes:
            _put(nodes, node.path, _node(name, node, host), name)
        for mount in edits.mounts:
            _put(files, mount.container_path, _file(name, mount, host), name)
        meanings += [hooks.meaning(name, hook) for hook in edits.hooks]
    for meaning in meanings:
        links |= dict(meaning.links)
        _refuse_other_modes(meaning, nodes)
    libraries = _libraries(files.values(), {folder for each in meanings for folder in each.library_folders}, host)
    links |= libraries
    if libraries:
        env["LD_LIBRARY_PATH"] = ":".join(filter(None, (LIBRARY_DIRECTORY, env.get("LD_LIBRARY_PATH"))))
    given = sandbox.Devices(tuple(nodes.values()), tuple(files.values()), tuple(links.items()))
    return Fitting(given, env)


def _all_edits(devices: Sequence[Device]) -> Iterable[tuple[str, Edits]]:
    seen: set[str] = set()
    for device in devices:
        if device.file not in seen:
            seen.add(device.file)
            yield device.qualified, device.common
        yield device.qualified, device.edits


def _put(there: dict[str, _T], place: str, new: _T, name: str) -> None:
    if there.setdefault(place, new) != new:
        raise Unusable(f"cannot use device {name}: two specs want different things at {place}")


def _node(name: str, node: DeviceNode, host: HostFiles) -> sandbox.DeviceNode:
    if not node.path.startswith("/dev/"):
        raise Unusable(f"cannot use device {name}: its node {node.path} is not below /dev")
    found = host.look(node.host_path)
    kind = _kind(name, node, found)
    major, minor = node.major, node.minor
    if major is None or minor is None:
        if found is None:
            raise Unusable(
                f"cannot use device {name}: there is no {node.host_path} on this host: is its driver loaded?"
            )
        major, minor = found.major, found.minor
    mode = _mode(name, node, found)
    return sandbox.DeviceNode(node.path, kind, major, minor, mode, node.uid or 0, node.gid or 0)


def _kind(name: str, node: DeviceNode, found: HostFile | None) -> str:
    if node.type == "p":
        raise Unusable(f"cannot use device {name}: its node {node.path} is a pipe")
    wanted = {"u": "c"}.get(node.type, node.type)
    if found is None:
        return wanted or "c"  # Without numbers of its own it is refused for those.
    there = "b" if stat.S_ISBLK(found.mode) else "c" if stat.S_ISCHR(found.mode) else ""
    if not there:
        raise Unusable(f"cannot use device {name}: {node.host_path} is no device on this host")
    if wanted not in ("", there):
        raise Unusable(f"cannot use device {name}: {node.host_path} is of type {there} here, its spec says {wanted}")
    return there


def _mode(name: str, node: DeviceNode, found: HostFile | None) -> int:
    """Return the mode of a run's node; it has no more than is permitted, and the run's user can open it."""
    given = node.file_mode if node.file_mode is not None else found.mode if found else _MODE_OF_NONE
    mode = given & sum(_PERMITTED[letter] for letter in set(node.permissions))
    as_whom = 0o700 if not node.uid else 0o070 if not node.gid else 0o007
    if not mode & as_whom:
        who = f"user {node.uid or 0}, group {node.gid or 0}, fileMode {given & 0o777:04o}"
        raise Unusable(f"cannot use device {name}: its spec lets no run open {node.path} ({who})")
    return mode


def _file(name: str, mount: FileMount, host: HostFiles) -> sandbox.DeviceFile:
    target = mount.container_path
    if mount.type not in ("", "bind", "none"):
        raise Unusable(f"cannot use device {name}: {target} is to be a mount of type {mount.type}: only bind is known")
    if unknown := [option for option in mount.options if option not in _HARMLESS]:
        cause = f"{target} is to be mounted with {unknown[0]}: runs see files of devices read-only"
        raise Unusable(f"cannot use device {name}: {cause}")
    path = PurePosixPath(target)
    if len(path.parts) == 1 or any(path.is_relative_to(place) for place in _NOT_BELOW):
        raise Unusable(f"cannot use device {name}: {target} is to be mounted, which is the run's own")
    found = host.look(mount.host_path)
    if found is None:
        cause = f"there is no {mount.host_path} on this host: make its spec anew, as after an update of the driver"
        raise Unusable(f"cannot use device {name}: {cause}")
    return sandbox.DeviceFile(mount.host_path, str(path), stat.S_ISDIR(found.mode), "noexec" in mount.options)


def _libraries(files: Iterable[sandbox.DeviceFile], folders: set[str], host: HostFiles) -> dict[str, str]:
    """Return links to the libraries in `folders`, by their own names and by those that programs ask for."""
    links: dict[str, str] = {}
    for file in files:
        folder, _, name = file.target.rpartition("/")
        if file.directory or folder not in folders:
            continue
        soname = host.soname(file.source)
        for wanted in {soname, name} if soname else ():
            links[f"{LIBRARY_DIRECTORY}/{wanted}"] = file.target
    return dict(sorted(links.items()))


def _refuse_other_modes(meaning: Meaning, nodes: Mapping[str, sandbox.DeviceNode]) -> None:
    """Directories of nodes are 0755 here, which is all that may be asked for."""
    for path, mode in meaning.modes:
        if mode != 0o755 or not any(node.startswith(f"{path.rstrip('/')}/") for node in nodes):
            raise Unusable(
                f"cannot use device {meaning.device}: its hook makes {path} {mode:04o}: runs cannot have that"
            )
