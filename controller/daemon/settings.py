"""Settings: /etc/runwright/config.yaml, validated, overridden by flags. Read once, at start.

A value of the wrong kind stops the start; a key that nobody knows is named in a warning and is an error for
--check-config, so that a newer file does not break an older daemon. All that is wrong is told at once, with its line.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from api import quantity
from controller.daemon.api_settings import ApiSettings

NO_LIMIT = "none"
_SMALLEST_SIZE_BYTES = 4096  # Nothing smaller is of use, and to a tmpfs 0 is no limit at all.
_SMALLEST_MEMORY_BYTES = 4 * 2**20  # As for the limit that a job asks for itself.
_PERCENT = re.compile(r"(\d{1,3})%")


def share_of_memory(text: str, host_bytes: int) -> int | None:
    """Return the bytes that `jobs.memory` means on a host with so much memory; None is no limit.

    >>> share_of_memory("50%", 8192), share_of_memory("64Mi", 8192), share_of_memory("none", 8192)
    (4096, 67108864, None)

    Raises:
        ValueError: it is none of the three.
    """
    if text == NO_LIMIT:
        return None
    percent = _PERCENT.fullmatch(text)
    if percent is None:
        return quantity.to_bytes(text)
    if not 1 <= int(percent[1]) <= 100:
        raise ValueError("a share of the host's memory must be between 1% and 100%")
    return host_bytes * int(percent[1]) // 100


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


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True, allow_inf_nan=False)


class RuntimeSettings(_Section):
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


class ManifestSettings(_Section):
    """The declared sources."""

    directory: _Path = Field(default="/etc/runwright/manifests", description="The watched directory.")
    inbox: _Path = Field(
        default="/var/lib/runwright/inbox.db", description="The SQLite file with the table `manifests`."
    )
    rescan_seconds: float = Field(
        30, gt=0, description="Seconds between full looks at the directory, whatever inotify says."
    )


class StateSettings(_Section):
    """What is remembered."""

    directory: _Path = Field(default="/var/lib/runwright", description="The store, run records and registry caches.")
    event_ttl_seconds: int = Field(default=3600, gt=0, description="Seconds that events are kept.")
    compact_seconds: float = Field(default=300, gt=0, description="Seconds between compactions of the journal.")


class LogSettings(_Section):
    """Logs of runs."""

    directory: _Path = Field(default="/var/log/runwright", description="The directory of the logs.")
    max_size: _Size = Field(default="10Mi", description="Size at which a run's log is rotated.")
    max_files: int = Field(
        default=5, ge=1, le=100, description="Rotated files kept for each run, the current one included."
    )


class JobSettings(_Section):
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
    workers: int = Field(default=4, ge=1, le=64, description="Jobs reconciled at once.")
    max_active: int = Field(default=200, ge=1, description="Runs at once on this host; further ones wait.")


class CgroupSettings(_Section):
    """Control groups."""

    parent: Annotated[str, AfterValidator(_is_one_name)] = Field(
        default="", description="The cgroup of all runs; empty is `runwright`, or one for each --root."
    )


class EngineSettings(_Section):
    """The reconcile loops."""

    resync_seconds: float = Field(default=600, gt=0, description="Seconds after which every object is looked at again.")


class Settings(_Section):
    """All settings, with their defaults."""

    runtime: RuntimeSettings = Field(default_factory=lambda: RuntimeSettings(), description="Runtimes on this host.")
    manifests: ManifestSettings = Field(default_factory=lambda: ManifestSettings(), description="The declared sources.")
    state: StateSettings = Field(default_factory=lambda: StateSettings(), description="What is remembered.")
    logs: LogSettings = Field(default_factory=lambda: LogSettings(), description="Logs of runs.")
    jobs: JobSettings = Field(default_factory=lambda: JobSettings(), description="What a job gets that does not say.")
    api: ApiSettings = Field(default_factory=lambda: ApiSettings(), description="The HTTP API.")
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
