"""Settings: /etc/runwright/config.yaml, validated, overridden by flags. Read once, at start.

A value of the wrong kind stops the start; a key that nobody knows is named in a warning and is an error for
--check-config, so that a newer file does not break an older daemon. All that is wrong is told at once, with its line.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError, field_validator

from api import quantity
from controller.daemon.api_settings import ApiSettings
from controller.daemon.file_settings import FileSettings
from controller.daemon.host_shares import NO_LIMIT, share
from controller.daemon.network_settings import NetworkSettings
from controller.daemon.policy_settings import PolicySettings
from controller.daemon.queue_settings import QueueSettings
from controller.daemon.section import Section
from controller.daemon.volume_settings import VolumeSettings

_SMALLEST_SIZE_BYTES = 4096  # Nothing smaller is of use, and to a tmpfs 0 is no limit at all.
_SMALLEST_MEMORY_BYTES = 4 * 2**20  # As for the limit that a job asks for itself.
_SMALLEST_MILLICPU = 10
_SMALLEST_PIDS = 64


def share_of_memory(text: str, host_bytes: int) -> int | None:
    """Return the bytes that `jobs.memory` means on a host with so much memory; None is no limit.

    >>> share_of_memory("50%", 8192), share_of_memory("64Mi", 8192), share_of_memory("none", 8192)
    (4096, 67108864, None)

    Raises:
        ValueError: it is none of the three.
    """
    return share(text, host_bytes, quantity.to_bytes)


def share_of_cpu(text: str, host_cpus: int) -> int | None:
    """Return the thousandths of a core that `cgroup.cpu` means on a host with so many; None is no limit.

    >>> share_of_cpu("50%", 4), share_of_cpu("1.5", 4), share_of_cpu("none", 4)
    (2000, 1500, None)

    Raises:
        ValueError: it is none of the three.
    """
    return share(text, host_cpus * 1000, quantity.to_millicpu)


def share_of_pids(text: str, host_pids: int) -> int | None:
    """Return the processes that `cgroup.pids` means where the kernel can have so many; None is no limit.

    >>> share_of_pids("75%", 32768), share_of_pids("1000", 32768), share_of_pids("none", 32768)
    (24576, 1000, None)

    Raises:
        ValueError: it is none of the three.
    """
    return share(text, host_pids, int)


def _is_cpu(text: str) -> str:
    try:
        least = share_of_cpu(text, 1)
    except ValueError as error:
        raise ValueError(f'{error}; or write a share of the host\'s such as "80%", or "{NO_LIMIT}"') from None
    if least is not None and least < _SMALLEST_MILLICPU:
        raise ValueError("must be at least 10m, the least the kernel can hold to")
    return text


def _is_pids(text: str) -> str:
    try:
        least = share_of_pids(text, 100 * _SMALLEST_PIDS)
    except ValueError:
        raise ValueError(f'must be a number, a share of the host\'s such as "75%", or "{NO_LIMIT}"') from None
    if least is not None and least < _SMALLEST_PIDS:
        raise ValueError(f"must be at least {_SMALLEST_PIDS}: supervisors are among them")
    return text


def _is_size(text: str) -> str:
    if quantity.to_bytes(text) < _SMALLEST_SIZE_BYTES:
        raise ValueError("must be at least 4Ki")
    return text


def _is_quantity(text: str) -> str:
    quantity.to_bytes(text)
    return text


def _is_path(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path or path.strip("/") == "":
        raise ValueError("must be an absolute path without .., below /")
    return path


def _is_memory(text: str) -> str:
    try:
        least = share_of_memory(text, _SMALLEST_MEMORY_BYTES * 100)
    except ValueError as error:
        raise ValueError(f'{error}; or write a share of the host\'s such as "90%", or "{NO_LIMIT}"') from None
    if least is not None and least < _SMALLEST_MEMORY_BYTES:
        raise ValueError("must be at least 4Mi; write 64Mi, not 64, for mebibytes")
    return text


def _is_one_name(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise ValueError("must be one name, without /")
    return text


_Size = Annotated[str, AfterValidator(_is_size)]
_Path = Annotated[str, AfterValidator(_is_path)]


class RuntimeSettings(Section):
    """Runtimes on this host."""

    enabled: bool = Field(default=True, description="False refuses jobs that name a runtime and installs none.")
    base_path: _Path = Field(default="/opt/joblet/runtimes", description="The directory of installed runtimes.")
    minimum_free: Annotated[str, AfterValidator(_is_quantity)] = Field(
        default="1Gi", description="Space that must be free for an install, or three times its size if that is more."
    )
    verify_seconds: float = Field(
        default=86_400, ge=0, description="Seconds between comparisons of a tree with what was installed; 0 is never."
    )
    verify_rate: _Size = Field(default="32Mi", description="How much of trees such a comparison reads each second.")
    build_as_root: bool = Field(
        default=False,
        description="True lets builds be root on the host, with few rights, where its file systems cannot map owners.",
    )
    disk_used_percent: float = Field(
        default=90, gt=0, le=100, description="On a disk fuller than that, versions kept for a rollback are removed."
    )
    default_registry: str = Field(
        default="ehsaniara/joblet-runtimes",
        description='The Registry "default" made at first start; an empty value makes none.',
    )
    credentials_directory: _Path = Field(
        default="/etc/runwright/credentials", description="Where the tokens of registries are, each in a file."
    )


class ManifestSettings(Section):
    """The declared sources."""

    directory: _Path = Field(default="/etc/runwright/manifests", description="The watched directory.")
    inbox: _Path = Field(
        default="/var/lib/runwright/inbox.db", description="The SQLite file with the table `manifests`."
    )
    rescan_seconds: float = Field(
        30, gt=0, description="Seconds between full looks at the directory, whatever inotify says."
    )


class StateSettings(Section):
    """What is remembered."""

    directory: _Path = Field(default="/var/lib/runwright", description="The store, run records and registry caches.")
    event_ttl_seconds: int = Field(default=3600, gt=0, description="Seconds that events are kept.")
    compact_seconds: float = Field(default=300, gt=0, description="Seconds between compactions of the journal.")


class LogSettings(Section):
    """Logs of runs."""

    directory: _Path = Field(default="/var/log/runwright", description="The directory of the logs.")
    max_size: _Size = Field(default="10Mi", description="Size at which a run's log is rotated.")
    max_files: int = Field(
        default=5, ge=1, le=100, description="Rotated files kept for each run, the current one included."
    )
    whole_size: _Size = Field(
        default="1Gi",
        description="Size of what is kept of a run whose output `rnx job run` writes to a file or a pipe.",
    )


class JobSettings(Section):
    """What a job gets that does not say."""

    pids: int = Field(default=512, ge=1, description="Processes and threads at once.")
    memory: Annotated[str, AfterValidator(_is_memory)] = Field(
        default="90%",
        description='Memory and swap together: a size, a share of the host\'s memory such as "90%", or "none".',
    )
    work_size: _Size = Field(default="256Mi", description="Size of /work.")
    tmp_size: _Size = Field(default="64Mi", description="Size of /tmp.")
    shm_size: _Size = Field(default="64Mi", description="Size of /dev/shm.")
    cache_size: _Size = Field(
        default="5Gi", description="Size of each package cache; oldest files go, once a minute, until it is below."
    )
    workers: int = Field(default=8, ge=1, le=64, description="Jobs reconciled at once.")
    max_active: int = Field(default=1500, ge=1, description="Runs at once on this host; further ones wait.")


class DeviceSettings(Section):
    """Devices that runs may be given."""

    cdi_directories: tuple[_Path, ...] = Field(
        default=("/etc/cdi", "/var/run/cdi"),
        description="Directories of CDI specs, which declare this host's devices; later ones win.",
    )


class CgroupSettings(Section):
    """Control groups: one for everything that runs here, and what all of it together may use, for the host's sake."""

    parent: Annotated[str, AfterValidator(_is_one_name)] = Field(
        default="",
        description="The cgroup of all runs, builds and supervisors; empty is `runwright`, or one for each --root.",
    )
    memory: Annotated[str, AfterValidator(_is_memory)] = Field(
        default="95%", description='Memory and swap of all together: a size, a share of the host\'s, or "none".'
    )
    cpu: Annotated[str, AfterValidator(_is_cpu)] = Field(
        default=NO_LIMIT, description='Cores of all together: "1.5", a share of the host\'s such as "80%", or "none".'
    )
    pids: Annotated[str, AfterValidator(_is_pids)] = Field(
        default="75%",
        description="Processes and threads of all together: a number, a share of what the kernel can have, or "
        '"none"; an eighth of it is for supervisors alone.',
    )


class EngineSettings(Section):
    """The reconcile loops."""

    resync_seconds: float = Field(default=600, gt=0, description="Seconds after which every object is looked at again.")


class Settings(Section):
    """All settings, with their defaults."""

    runtime: RuntimeSettings = Field(default_factory=lambda: RuntimeSettings(), description="Runtimes on this host.")
    manifests: ManifestSettings = Field(default_factory=lambda: ManifestSettings(), description="The declared sources.")
    state: StateSettings = Field(default_factory=lambda: StateSettings(), description="What is remembered.")
    logs: LogSettings = Field(default_factory=lambda: LogSettings(), description="Logs of runs.")
    jobs: JobSettings = Field(default_factory=lambda: JobSettings(), description="What a job gets that does not say.")
    files: FileSettings = Field(default_factory=lambda: FileSettings(), description="Files of jobs.")
    api: ApiSettings = Field(default_factory=lambda: ApiSettings(), description="The HTTP API.")
    devices: DeviceSettings = Field(default_factory=lambda: DeviceSettings(), description="Devices for runs.")
    network: NetworkSettings = Field(default_factory=lambda: NetworkSettings(), description="Networks of jobs.")
    policy: PolicySettings = Field(default_factory=lambda: PolicySettings(), description="What jobs may ask for.")
    queue: QueueSettings = Field(default_factory=lambda: QueueSettings(), description="Who begins when.")
    volumes: VolumeSettings = Field(
        default_factory=lambda: VolumeSettings(), description="What jobs keep beyond a run."
    )
    cgroup: CgroupSettings = Field(default_factory=lambda: CgroupSettings(), description="Control groups.")
    engine: EngineSettings = Field(default_factory=lambda: EngineSettings(), description="The reconcile loops.")

    @field_validator("*", mode="before")
    @classmethod
    def _an_empty_section_is_its_defaults(cls, section: object) -> object:
        return {} if section is None else section


class SettingsError(Exception):
    """The settings cannot be used; the message names the file, the key, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what in their file nobody knows."""

    settings: Settings
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    document: dict[Any, Any]
    lines: Mapping[str, int]  # Of each key of the first two levels, as SECTION.KEY.

    def line(self, key: str) -> int:
        """Return the line of `key`, or of the section it would be in; 0 when neither is there."""
        return self.lines.get(key) or self.lines.get(key.partition(".")[0], 0)

    def place(self, key: str) -> str:
        """Return where `key` is, for people."""
        return f"{self.path}:{self.line(key)}" if self.line(key) else str(self.path)


def load(path: Path, overrides: tuple[str, ...] = (), *, required: bool = False) -> Loaded:
    """Return the settings of the file `path`, if it is there, changed by `overrides` (`section.key=value`).

    Raises:
        SettingsError: the file cannot be read, is no YAML, or a value is of the wrong kind.
    """
    file = _read(path, required=required)
    unknown = {key: f"{file.place(key)}: {text}" for key, text in _unknown(file.document, Settings, "")}
    document = dict(file.document)
    for override in overrides:
        _override(document, override)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        problems = {_key(e): _explained(e, file, overrides) for e in error.errors()} | unknown
        raise SettingsError("\n".join(problems[key] for key in sorted(problems, key=file.line))) from None
    return Loaded(settings, tuple(unknown[key] for key in sorted(unknown, key=file.line)))


def _key(error: Any) -> str:
    return ".".join(map(str, error["loc"]))


def _explained(error: Any, file: _File, overrides: tuple[str, ...]) -> str:
    key = _key(error)
    by_flag = next((f"--set {override}" for override in overrides if override.startswith(f"{key}=")), None)
    return f"cannot use setting {key} of {by_flag or file.place(key)}: {error['msg'].removeprefix('Value error, ')}"


def _read(path: Path, *, required: bool) -> _File:
    try:
        text = path.read_text()
        document = yaml.safe_load(text)
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader), "", 2))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"cannot read settings {path}: there is no such file") from None
        return _File(path, {}, {})
    except OSError as error:
        raise SettingsError(f"cannot read settings {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read settings {path}: it is no YAML: {error}") from error
    if document is not None and not isinstance(document, dict):
        raise SettingsError(
            f"cannot read settings {path}: it must hold sections such as `runtime:`, not a {type(document).__name__}"
        )
    return _File(path, document or {}, lines)


def _lines(node: yaml.Node | None, prefix: str, levels: int) -> Iterator[tuple[str, int]]:
    if levels and isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{prefix}{key.value}", key.start_mark.line + 1
            yield from _lines(value, f"{prefix}{key.value}.", levels - 1)


def _override(document: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    section, dot, key = path.partition(".")
    if not (equals and dot and section and key):
        raise SettingsError(f'cannot read override "{override}": write SECTION.KEY=VALUE')
    if section not in Settings.model_fields or key not in Settings.model_fields[section].annotation.model_fields:  # type: ignore[union-attr]
        raise SettingsError(f'cannot read override "{override}": there is no setting {path}')
    try:
        read = yaml.safe_load(value) if value else ""
    except yaml.YAMLError as error:
        raise SettingsError(f'cannot read override "{override}": its value is no YAML: {error}') from error
    settings = document.setdefault(section, {})
    document[section] = {**settings, key: read} if isinstance(settings, dict) else {key: read}


def _unknown(document: Mapping[Any, Any], section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield each key that nobody knows, with what to say of it."""
    known = section.model_fields
    for name, value in document.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f": did you mean {prefix}{near[0]}?" if near else f": known here are {', '.join(known)}"
            yield f"{prefix}{name}", f"unknown key {prefix}{name}{hint}"
            continue
        inner = known[name].annotation
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _unknown(value, inner, f"{prefix}{name}.")
