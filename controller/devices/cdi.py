"""What a CDI spec says, as plain data: kinds, devices, and the edits that give a container a device. Pure.

Here: the document's form and the rules of its fields. What an edit comes to in a sandbox is in `fitting.py`.
Invariant: a spec that says anything unknown or impossible is refused whole, with the field named.
Source: the Container Device Interface specification, versions 0.3.0 to 1.1.0.
"""

import re
from dataclasses import dataclass

from api.types.device_resources import is_kind
from controller.devices.fields import Fields, InvalidCdi

VERSIONS = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_ENV = re.compile(r"[^=\0]+=[^\0]*", re.DOTALL)
_NODE_TYPES = ("", "b", "c", "u", "p")
_PERMISSIONS = re.compile(r"[rwm]*")
_LARGEST_ID = 65535
_LARGEST_NUMBER = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device node that the container shall have; what is None is as the host's node has it."""

    path: str
    host_path: str
    type: str = ""
    major: int | None = None
    minor: int | None = None
    file_mode: int | None = None
    permissions: str = "rwm"
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class FileMount:
    """A file or directory of the host that the container shall see."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """A program of the vendor's that was to be run while the container is made."""

    name: str
    path: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edits:
    """What one device, or all devices of a spec, do to a container.

    `beyond` names what is asked for that no sandbox of ours can have.
    """

    env: tuple[tuple[str, str], ...] = ()
    nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[FileMount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    additional_gids: tuple[int, ...] = ()
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """One device by its qualified name, `VENDOR/CLASS=NAME`. `common` are the edits of its whole spec, made first."""

    kind: str
    name: str
    edits: Edits
    common: Edits
    file: str

    @property
    def qualified(self) -> str:
        """Its name on this host."""
        return f"{self.kind}={self.name}"


@dataclass(frozen=True, slots=True)
class Spec:
    """One file: a kind of devices and its members."""

    file: str
    kind: str
    devices: tuple[Device, ...]


def parse(document: object, file: str) -> Spec:
    """Return what the spec `document`, read from `file`, says.

    Raises:
        InvalidCdi: it is no CDI spec of a version we know; the message names file and field.
    """
    top = Fields.of(document, file, "")
    version = top.text("cdiVersion").removeprefix("v")
    if version not in VERSIONS:
        top.refuse("cdiVersion", f"{version!r} is none of {', '.join(VERSIONS)}")
    kind = _kind(top, version)
    _annotations(top, version)
    common = _edits(top.members("containerEdits"), version)
    devices = tuple(_device(fields, kind, common, version) for fields in top.all_members("devices"))
    if not devices:
        top.refuse("devices", "there is none")
    names = [device.name for device in devices]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        top.refuse("devices", f"{repeated!r} is there twice")
    top.end()
    return Spec(file, kind, devices)


def _kind(top: Fields, version: str) -> str:
    kind = top.text("kind")
    if not is_kind(kind):
        top.refuse("kind", f"{kind!r} is not VENDOR/CLASS of letters, digits, '_', '-' and '.'")
    if "." in kind.partition("/")[2]:
        _since(top, "kind", "0.6.0", version, "a class with a dot")
    return kind


def _device(fields: Fields, kind: str, common: Edits, version: str) -> Device:
    name = fields.text("name")
    if not _NAME.fullmatch(name):
        fields.refuse(
            "name", f"{name!r} is not of letters, digits, '_', '-', '.' and ':', with one of the first at ends"
        )
    if name[0].isdigit():
        _since(fields, "name", "0.5.0", version, "a name that begins with a digit")
    _annotations(fields, version)
    edits = _edits(fields.members("containerEdits"), version)
    fields.end()
    return Device(kind, name, edits, common, fields.file)


def _annotations(fields: Fields, version: str) -> None:
    if fields.members("annotations").given:
        _since(fields, "annotations", "0.6.0", version, "the field")


def _edits(fields: Fields, version: str) -> Edits:
    for name in ("intelRdt", "additionalGids"):
        if name in fields.given:
            _since(fields, name, "0.7.0", version, "the field")
    if "netDevices" in fields.given:
        _since(fields, "netDevices", "1.1.0", version, "the field")
    beyond = tuple(name for name in ("intelRdt", "netDevices") if fields.anything(name))
    edits = Edits(
        env=tuple(_env(fields, text) for text in fields.texts("env")),
        nodes=tuple(_node(node, version) for node in fields.all_members("deviceNodes")),
        mounts=tuple(_mount(mount, version) for mount in fields.all_members("mounts")),
        hooks=tuple(_hook(hook) for hook in fields.all_members("hooks")),
        additional_gids=fields.integers("additionalGids", _LARGEST_NUMBER),
        beyond=beyond,
    )
    fields.end()
    return edits


def _env(fields: Fields, text: str) -> tuple[str, str]:
    if not _ENV.fullmatch(text):
        fields.refuse("env", f"{text!r} is not NAME=VALUE")
    name, _, value = text.partition("=")
    return name, value


def _node(fields: Fields, version: str) -> DeviceNode:
    path = fields.path("path")
    host_path = fields.path("hostPath", required=False)
    if host_path:
        _since(fields, "hostPath", "0.5.0", version, "the field")
    type_ = fields.text("type", required=False)
    if type_ not in _NODE_TYPES:
        fields.refuse("type", f"{type_!r} is none of b, c, u and p")
    permissions = fields.text("permissions", required=False)
    if not _PERMISSIONS.fullmatch(permissions):
        fields.refuse("permissions", f"{permissions!r} is not of the letters r, w and m")
    node = DeviceNode(
        path,
        host_path or path,
        type_,
        fields.integer("major", _LARGEST_NUMBER),
        fields.integer("minor", _LARGEST_NUMBER),
        fields.integer("fileMode", _LARGEST_NUMBER),
        permissions or "rwm",
        fields.integer("uid", _LARGEST_ID),
        fields.integer("gid", _LARGEST_ID),
    )
    fields.end()
    return node


def _mount(fields: Fields, version: str) -> FileMount:
    if fields.given.get("type"):
        _since(fields, "type", "0.4.0", version, "the field")
    mount = FileMount(
        fields.path("hostPath"),
        fields.path("containerPath"),
        fields.texts("options"),
        fields.text("type", required=False),
    )
    fields.end()
    return mount


def _hook(fields: Fields) -> Hook:
    hook = Hook(fields.text("hookName"), fields.path("path"), fields.texts("args"))
    fields.texts("env")
    fields.integer("timeout", _LARGEST_NUMBER)
    fields.end()
    return hook


def _since(fields: Fields, name: str, needed: str, version: str, what: str) -> None:
    if VERSIONS.index(version) < VERSIONS.index(needed):
        fields.refuse(name, f"{what} needs cdiVersion {needed} or later, this is {version}")


__all__ = ["Device", "DeviceNode", "Edits", "FileMount", "Hook", "InvalidCdi", "Spec", "parse"]
