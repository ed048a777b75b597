"""One run as the launcher is asked for it, and its form as plain JSON values. Pure.

Invariant: what does not read as exactly one `RunSpec` of this version is refused: a field that one
side knows and the other does not may be a limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.cgroup.limits import Limits
from controller.sandbox.spec import Bind, EtcFile, PrivateCopy, SandboxSpec

VERSION = 1
_MOUNT_TYPES: dict[str, tuple[type, ...]] = {
    "read_only": (bool,),
    "size_bytes": (int,),
    "within": (str, type(None)),
}


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One attempt at a job, ready to be executed.

    Args:
        run_id: tells it from every other run, ever.
        run_dir: an existing directory on a persistent disk, of this run alone; its records appear there.
        log_dir: an existing directory, of this run alone; its log appears there.
        argv: the command; without a `/` in its first word it is looked for in the PATH of `env`, inside the sandbox.
        env: all of the job's environment.
        cgroup_parent: the cgroup, directly below the root of each hierarchy, that holds `cgroup`.
        deadline_seconds: how long it may run; None is for ever.
        grace_seconds: between SIGTERM and SIGKILL, at the deadline and when the supervisor is told to end.
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

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ValueError(f"cannot run {self.run_id}: it has no command")
        if not (self.run_dir.startswith("/") and self.log_dir.startswith("/") and self.cwd.startswith("/")):
            raise ValueError(f"cannot run {self.run_id}: run_dir, log_dir and cwd are to be absolute paths")
        for text in (*self.argv, *self.env, *self.env.values(), self.cwd):
            if "\0" in text:
                raise ValueError(f"cannot run {self.run_id}: {text!r} has a NUL character, which no exec can pass on")
        for name in self.env:
            if not name or "=" in name:
                raise ValueError(f"cannot run {self.run_id}: {name!r} is no name of an environment variable")


def to_plain(spec: RunSpec) -> dict[str, object]:
    """Return `spec` as JSON values; `from_plain` reads them."""
    sandbox, limits = spec.sandbox, spec.limits
    return {
        "version": VERSION,
        **_fields_of(spec),
        "env": dict(spec.env),
        "limits": _fields_of(limits),
        "sandbox": {
            **_fields_of(sandbox),
            "binds": [_fields_of(bind) for bind in sandbox.binds],
            "private_copies": [_fields_of(copy) for copy in sandbox.private_copies],
            "etc_files": [_fields_of(file) for file in sandbox.etc_files],
        },
    }


def _fields_of(value: RunSpec | SandboxSpec | Limits | Bind | PrivateCopy | EtcFile) -> dict[str, object]:
    # As dataclasses.asdict, less its deep copy, which took longer than all else here.
    return {name: getattr(value, name) for name in value.__slots__}


def from_plain(plain: object) -> RunSpec:
    """Read what `to_plain` wrote.

    Raises:
        ValueError: it is something else, or of another version, or no run could be so.
    """
    try:
        return _read(_object(plain))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"cannot read a run spec: {error!r}") from error


def _read(plain: dict[str, object]) -> RunSpec:
    given = dict(plain)
    version = given.pop("version", None)
    if version != VERSION:
        raise ValueError(f"cannot read a run spec of version {version!r}: this launcher reads {VERSION}")
    given["argv"] = _strings(given["argv"])
    given["env"] = _string_map(given.get("env", {}))
    given["limits"] = Limits(**_integers(given["limits"]))
    given["sandbox"] = _sandbox(_object(given["sandbox"]))
    for name in ("run_id", "run_dir", "log_dir", "cwd", "cgroup_parent", "cgroup"):
        _check(name, given.get(name, ""), str)
    for name in ("grace_seconds", "log_max_bytes", "log_max_files"):
        _check(name, given.get(name, 0), int, float)
    _check("deadline_seconds", given.get("deadline_seconds"), int, float, type(None))
    return RunSpec(**given)  # type: ignore[arg-type]  # Checked above, field by field.


def _sandbox(plain: dict[str, object]) -> SandboxSpec:
    given = dict(plain)
    given["binds"] = tuple(Bind(**_object(bind)) for bind in _list(given.get("binds", [])))  # type: ignore[arg-type]
    copies = _list(given.get("private_copies", []))
    given["private_copies"] = tuple(PrivateCopy(**_object(copy)) for copy in copies)  # type: ignore[arg-type]
    given["symlinks"] = tuple(_pair(pair) for pair in _list(given.get("symlinks", [])))
    given["etc_files"] = tuple(EtcFile(**_string_map(file)) for file in _list(given.get("etc_files", [])))
    _check("hostname", given["hostname"], str)
    for name in ("work_bytes", "tmp_bytes", "shm_bytes"):
        _check(name, given.get(name, 0), int)
    _check("files_dir", given.get("files_dir"), str, type(None))
    spec = SandboxSpec(**given)  # type: ignore[arg-type]  # Checked above, field by field.
    for bind in spec.binds:
        _check_mount(bind)
    for copy in spec.private_copies:
        _check_mount(copy)
    return spec


def _check_mount(mount: Bind | PrivateCopy) -> None:
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
