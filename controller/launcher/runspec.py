"""One run as the launcher is asked for it, and its form on the way there. Pure.

It travels in two parts of JSON: what is its own, and what of its sandbox it may have in common with other runs, so
that runs of the same sandbox are known by the same bytes.

Invariant: what does not read as exactly one `RunSpec` of this version is refused: a field that one
side knows and the other does not may be a limit.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

from controller.cgroup.limits import IoLimit, Limits
from controller.launcher import network_end
from controller.launcher.network_end import NetworkEnd
from controller.sandbox.confine import NO_PROCESS_LIMITS, ProcessLimits
from controller.sandbox.rights import USUAL_RIGHTS, Rights
from controller.sandbox.spec import (
    NO_DEVICES,
    OWN_FIELDS,
    Bind,
    DeviceFile,
    DeviceNode,
    Devices,
    EtcFile,
    GivenFile,
    Mount,
    PrivateCopy,
    SandboxSpec,
    Scratch,
    VolumeBind,
)

VERSION = 12
_SHARED_FIELDS = tuple(field.name for field in fields(SandboxSpec) if field.name not in OWN_FIELDS)
_PARTS = (Bind, PrivateCopy, Scratch, EtcFile)
_MOUNT_TYPES: dict[str, tuple[type, ...]] = {
    "read_only": (bool,),
    "size_bytes": (int,),
    "within": (str, type(None)),
    "neutral_owners": (bool,),
}
_VOLUME_TYPES: dict[str, tuple[type, ...]] = {
    "read_only": (bool,),
    "within": (str, type(None)),
    "host_uid": (int, type(None)),
    "host_gid": (int, type(None)),
    "ids": (int,),
}
_DEVICE_TYPES: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "kind": (str,),
    "source": (str,),
    "target": (str,),
    "directory": (bool,),
    "no_exec": (bool,),
}


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Which files of /work are kept after the run, in which existing directory of its own, and how much of them."""

    patterns: tuple[str, ...]
    directory: str
    most_bytes: int
    most_files: int


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One attempt at a job, ready to be executed.

    Args:
        run_id: tells it from every other run, ever.
        run_dir: an existing directory on a persistent disk, of this run alone; its records appear there.
        log_dir: an existing directory, of this run alone; its log appears there.
        argv: the command; without a `/` in its first word it is looked for in the PATH of `env`, inside the sandbox.
        env: all of the job's environment.
        cgroup_parent: the cgroup, by its path below the root of each hierarchy, that holds `cgroup`.
        deadline_seconds: how long it may run; None is for ever.
        grace_seconds: between SIGTERM and SIGKILL, at the deadline and when the supervisor is told to end.
        network: its end of a network; None for its own loopback only, or the host's network where `rights` say so.
        artifacts: what of /work is kept after it; None is nothing.
        stdin: whether it can be given something to read; otherwise that is /dev/null.
        device_claim: the path of what says that its devices are its own, to be kept for life: see `host_claims`.
        not_before: the moment of the wall clock before which its command is not executed, in nanoseconds since 1970;
            all else is made ready at once. None is as soon as it is ready.
    """

    run_id: str
    run_dir: str
    log_dir: str
    argv: tuple[str, ...]
    sandbox: SandboxSpec
    limits: Limits
    cgroup_parent: str
    cgroup: str
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/work"
    deadline_seconds: float | None = None
    grace_seconds: float = 30.0
    log_max_bytes: int = 10 << 20
    log_max_files: int = 5
    process_limits: ProcessLimits = NO_PROCESS_LIMITS
    rights: Rights = USUAL_RIGHTS
    device_claim: str | None = None
    artifacts: Artifacts | None = None
    stdin: bool = False
    network: NetworkEnd | None = None
    not_before: int | None = None

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ValueError(f"cannot run {self.run_id}: it has no command")
        if not (self.run_dir.startswith("/") and self.log_dir.startswith("/") and self.cwd.startswith("/")):
            raise ValueError(f"cannot run {self.run_id}: run_dir, log_dir and cwd are to be absolute paths")
        for text in (*self.argv, *self.env, *self.env.values(), self.cwd):
            if "\0" in text:
                raise ValueError(f"cannot run {self.run_id}: {text!r} has a NUL character, which no exec can pass on")
        if self.network is not None and self.rights.host_network:
            raise ValueError(f"cannot run {self.run_id}: it is to be in a network and in the host's")
        for name in self.env:
            if not name or "=" in name:
                raise ValueError(f"cannot run {self.run_id}: {name!r} is no name of an environment variable")


@dataclass(frozen=True, slots=True)
class Parts:
    """A run as it travels: each part is JSON without a line's end."""

    own: bytes
    shared: bytes


def to_parts(spec: RunSpec) -> Parts:
    """Return `spec` as it travels; `read_shared` and then `read_own` read it."""
    sandbox = spec.sandbox
    own = {
        "version": VERSION,
        **_fields_of(spec),
        "env": dict(spec.env),
        "limits": _fields_of(spec.limits) | {"io": [_fields_of(disk) for disk in spec.limits.io]},
        "process_limits": _fields_of(spec.process_limits),
        "rights": _fields_of(spec.rights),
        "network": None if spec.network is None else _fields_of(spec.network),
        "artifacts": None if spec.artifacts is None else _fields_of(spec.artifacts),
        "sandbox": {name: getattr(sandbox, name) for name in OWN_FIELDS}
        | {"devices": _written_devices(sandbox.devices), "volumes": [_fields_of(each) for each in sandbox.volumes]}
        | {"given_files": [(file.source, file.path, file.mode) for file in sandbox.given_files]},
    }
    return Parts(_written(own), _shared_part(*(getattr(sandbox, name) for name in _SHARED_FIELDS)))


@lru_cache(maxsize=64)  # Many runs are of few sandboxes, and this is on a launch's way.
def _shared_part(*values: object) -> bytes:
    plain = dict(zip(_SHARED_FIELDS, values, strict=True))
    for name, value in plain.items():
        if isinstance(value, tuple):
            plain[name] = [_fields_of(one) if isinstance(one, _PARTS) else one for one in value]
    return _written(plain)


def read_shared(text: bytes) -> SandboxSpec:
    """Read the part that runs may share: a sandbox whose own fields are any.

    Raises:
        ValueError: it is something else, or no sandbox could be so.
    """
    try:
        return _sandbox(_object(json.loads(text)))
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"cannot read a run spec: {error!r}") from error


def read_own(text: bytes, shared: SandboxSpec) -> RunSpec:
    """Read a run's own part, and complete it by the other, as read.

    Raises:
        ValueError: it is something else, or of another version, or no run could be so.
    """
    try:
        return _run(_object(json.loads(text)), shared)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"cannot read a run spec: {error!r}") from error


def _written(plain: dict[str, object]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def _written_devices(devices: Devices) -> dict[str, object] | None:
    if devices == NO_DEVICES:
        return None
    nodes, files = [_fields_of(node) for node in devices.nodes], [_fields_of(file) for file in devices.files]
    return {"nodes": nodes, "files": files, "links": devices.links}


def _devices(given: object) -> Devices:
    if given is None:
        return NO_DEVICES
    parts = _object(given)
    nodes = tuple(DeviceNode(**_object(node)) for node in _list(parts.pop("nodes")))  # type: ignore[arg-type]
    files = tuple(DeviceFile(**_object(file)) for file in _list(parts.pop("files")))  # type: ignore[arg-type]
    links = tuple(_pair(pair) for pair in _list(parts.pop("links")))
    for values in (*map(_fields_of, nodes), *map(_fields_of, files)):
        for name, value in values.items():
            _check(name, value, *_DEVICE_TYPES.get(name, (int,)))
    if parts:
        raise ValueError(f"cannot read a run spec: devices have no {', '.join(parts)}")
    return Devices(nodes, files, links)


def _fields_of(
    value: RunSpec
    | Artifacts
    | Rights
    | SandboxSpec
    | Limits
    | IoLimit
    | ProcessLimits
    | Mount
    | EtcFile
    | DeviceNode
    | DeviceFile
    | VolumeBind
    | NetworkEnd,
) -> dict[str, object]:
    # As dataclasses.asdict, less its deep copy, which took longer than all else here.
    return {name: getattr(value, name) for name in value.__slots__}


def _run(given: dict[str, object], shared: SandboxSpec) -> RunSpec:
    version = given.pop("version", None)
    if version != VERSION:
        raise ValueError(f"cannot read a run spec of version {version!r}: this launcher reads {VERSION}")
    given["argv"] = _strings(given["argv"])
    given["env"] = _string_map(given.get("env", {}))
    given["limits"] = _limits(_object(given["limits"]))
    given["process_limits"] = ProcessLimits(**_integers(given["process_limits"]))
    given["rights"] = _rights(_object(given["rights"]))
    given["artifacts"] = _artifacts(given["artifacts"])
    given["sandbox"] = _with_own(_object(given["sandbox"]), shared)
    for name in ("run_id", "run_dir", "log_dir", "cwd", "cgroup_parent", "cgroup"):
        _check(name, given.get(name, ""), str)
    for name in ("grace_seconds", "log_max_bytes", "log_max_files"):
        _check(name, given.get(name, 0), int, float)
    _check("deadline_seconds", given.get("deadline_seconds"), int, float, type(None))
    given["network"] = network_end.read(given.get("network"))
    _check("stdin", given.get("stdin", False), bool)
    _check("device_claim", given.get("device_claim"), str, type(None))
    _check("not_before", given.get("not_before"), int, type(None))
    return RunSpec(**given)  # type: ignore[arg-type]  # Checked above, field by field.


def _artifacts(given: object) -> Artifacts | None:
    if given is None:
        return None
    parts = _object(given)
    parts["patterns"] = _strings(parts["patterns"])
    _check("directory", parts["directory"], str)
    for name in ("most_bytes", "most_files"):
        _check(name, parts[name], int)
    return Artifacts(**parts)  # type: ignore[arg-type]  # Checked above, field by field.


def _limits(given: dict[str, object]) -> Limits:
    cpus = _list(given.pop("cpus"))
    for cpu in cpus:
        _check("a CPU", cpu, int)
    io = tuple(_io_limit(_object(disk)) for disk in _list(given.pop("io")))
    return Limits(**_integers(given), cpus=tuple(cpus), io=io)  # type: ignore[arg-type]  # Checked above, one by one.


def _io_limit(given: dict[str, object]) -> IoLimit:
    device = given.pop("device")
    _check("device", device, str)
    return IoLimit(device, **_integers(given))  # type: ignore[arg-type]  # Checked above.


def _rights(given: dict[str, object]) -> Rights:
    given["capabilities"] = _strings(given["capabilities"])
    _check("profile", given["profile"], str)
    _check("needs_landlock", given["needs_landlock"], bool)
    _check("host_network", given["host_network"], bool)
    return Rights(**given)  # type: ignore[arg-type]  # Checked above, field by field.


def _with_own(given: dict[str, object], shared: SandboxSpec) -> SandboxSpec:
    if given.keys() != set(OWN_FIELDS):
        raise ValueError(f"cannot read a run spec: a sandbox's own are {', '.join(OWN_FIELDS)}, not {', '.join(given)}")
    _check("hostname", given["hostname"], str)
    _check("work_bytes", given["work_bytes"], int)
    for name in ("files_dir", "given_dir"):
        _check(name, given[name], str, type(None))
    given["given_files"] = tuple(_given_file(_list(file)) for file in _list(given["given_files"]))
    given["devices"] = _devices(given["devices"])
    given["volumes"] = tuple(_volume(_object(volume)) for volume in _list(given["volumes"]))
    given["addresses"] = _strings(given["addresses"])
    given["name_servers"] = _strings(given["name_servers"])
    return replace(shared, **given)  # type: ignore[arg-type]  # Checked above, field by field.


def _given_file(parts: list[object]) -> GivenFile:
    match parts:
        case (str(source), str(path), int(mode)):
            return GivenFile(source, path, mode)
        case _:
            raise ValueError(f"cannot read a run spec: a file to be given is {parts!r:.80}")


def _volume(given: dict[str, object]) -> VolumeBind:
    volume = VolumeBind(**given)  # type: ignore[arg-type]  # Checked below, field by field.
    for name in volume.__slots__:
        _check(name, getattr(volume, name), *_VOLUME_TYPES.get(name, (str,)))
    return volume


def _sandbox(given: dict[str, object]) -> SandboxSpec:
    if not given.keys().isdisjoint(OWN_FIELDS):
        raise ValueError(f"cannot read a run spec: {', '.join(OWN_FIELDS)} are no runs' in common")
    given["binds"] = tuple(Bind(**_object(bind)) for bind in _list(given.get("binds", [])))  # type: ignore[arg-type]
    copies = _list(given.get("private_copies", []))
    given["private_copies"] = tuple(PrivateCopy(**_object(copy)) for copy in copies)  # type: ignore[arg-type]
    scratches = _list(given.get("scratches", []))
    given["scratches"] = tuple(Scratch(**_object(scratch)) for scratch in scratches)  # type: ignore[arg-type]
    given["symlinks"] = tuple(_pair(pair) for pair in _list(given.get("symlinks", [])))
    given["etc_files"] = tuple(EtcFile(**_string_map(file)) for file in _list(given.get("etc_files", [])))
    for name in ("tmp_bytes", "shm_bytes"):
        _check(name, given.get(name, 0), int)
    spec = SandboxSpec("", **given)  # type: ignore[arg-type]  # Checked above, field by field.
    for mount in spec.mounts:
        _check_mount(mount)
    return spec


def _check_mount(mount: Mount) -> None:
    for name in mount.__slots__:
        _check(name, getattr(mount, name), *_MOUNT_TYPES.get(name, (str,)))


def _object(value: object) -> dict[str, object]:
    _check("an object", value, dict)
    return value  # type: ignore[return-value]


def _list(value: object) -> list[object]:
    _check("a list", value, list, tuple)
    return list(value)  # type: ignore[call-overload, no-any-return]


def _pair(value: object) -> tuple[str, str]:
    match _strings(value):
        case (path, points_to):
            return path, points_to
        case words:
            raise ValueError(f"cannot read a run spec: a symbolic link is (path, target), not {words!r:.80}")


def _strings(value: object) -> tuple[str, ...]:
    words = _list(value)
    for word in words:
        _check("a text", word, str)
    return tuple(words)  # type: ignore[arg-type]


def _string_map(value: object) -> dict[str, str]:
    texts = _object(value)
    _strings(list(texts.values()))
    return texts  # type: ignore[return-value]


def _integers(value: object) -> dict[str, int | None]:
    numbers = _object(value)
    for name, number in numbers.items():
        _check(name, number, int, type(None))
    return numbers  # type: ignore[return-value]


def _check(name: str, value: object, *types: type) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ValueError(f"cannot read a run spec: {name} is {value!r:.80}")
