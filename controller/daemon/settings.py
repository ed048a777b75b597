"""Settings: /etc/runwright/config.yaml, validated, overridden by flags. Read once, at start.

A value of the wrong kind stops the start, with its path; a key that nobody knows is named in a
warning and is an error for --check-config, so that a newer file does not break an older daemon.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from api import quantity

_SMALLEST_SIZE_BYTES = 4096  # Nothing smaller is of use, and to a tmpfs 0 is no limit at all.


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True, allow_inf_nan=False)


class RuntimeSettings(_Section):
    """Runtimes on this host."""

    enabled: bool = Field(default=True, description="False refuses jobs that name a runtime and installs none.")
    base_path: str = Field(default="/opt/joblet/runtimes", description="The directory of installed runtimes.")
    minimum_free: str = Field(
        default="1Gi", description="Space that must be free for an install, or three times its size if that is more."
    )
    default_registry: str = Field(
        default="ehsaniara/joblet-runtimes",
        description='The Registry "default" made at first start; an empty value makes none.',
    )


class ManifestSettings(_Section):
    """The declared sources."""

    directory: str = Field(default="/etc/runwright/manifests", description="The watched directory.")
    inbox: str = Field(default="/var/lib/runwright/inbox.db", description="The SQLite file with the table `manifests`.")
    rescan_seconds: float = Field(
        30, gt=0, description="Seconds between full looks at the directory, whatever inotify says."
    )


class StateSettings(_Section):
    """What is remembered."""

    directory: str = Field(default="/var/lib/runwright", description="The store, run records and registry caches.")
    event_ttl_seconds: int = Field(default=3600, gt=0, description="Seconds that events are kept.")
    compact_seconds: float = Field(default=300, gt=0, description="Seconds between compactions of the journal.")


class LogSettings(_Section):
    """Logs of runs."""

    directory: str = Field(default="/var/log/runwright", description="The directory of the logs.")
    max_size: str = Field(default="10Mi", description="Size at which a run's log is rotated.")
    max_files: int = Field(
        default=5, ge=1, le=100, description="Rotated files kept for each run, the current one included."
    )


class JobSettings(_Section):
    """What a job gets that does not say."""

    pids: int = Field(default=512, ge=1, description="Processes and threads at once.")
    work_size: str = Field(default="256Mi", description="Size of /work.")
    tmp_size: str = Field(default="64Mi", description="Size of /tmp.")
    shm_size: str = Field(default="64Mi", description="Size of /dev/shm.")
    workers: int = Field(default=4, ge=1, le=64, description="Jobs reconciled at once.")
    max_active: int = Field(default=200, ge=1, description="Runs at once on this host; further ones wait.")


class CgroupSettings(_Section):
    """Control groups."""

    parent: str = Field(default="", description="The cgroup of all runs; empty is `runwright`, or one for each --root.")

    @field_validator("parent")
    @classmethod
    def _is_one_name(cls, parent: str) -> str:
        if "/" in parent or parent in (".", ".."):
            raise ValueError("must be one name, without /")
        return parent


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
    cgroup: CgroupSettings = Field(default_factory=lambda: CgroupSettings(), description="Control groups.")
    engine: EngineSettings = Field(default_factory=lambda: EngineSettings(), description="The reconcile loops.")

    @field_validator("*", mode="before")
    @classmethod
    def _an_empty_section_is_its_defaults(cls, section: object) -> object:
        return {} if section is None else section

    @field_validator("runtime", "manifests", "state", "logs", "jobs")
    @classmethod
    def _sizes_and_paths_are_usable(cls, section: _Section) -> _Section:
        for name, value in section:
            if name.endswith("_size") and _bytes(name, value) < _SMALLEST_SIZE_BYTES:
                raise ValueError(f"{name}: must be at least 4Ki")
            if name == "minimum_free":
                _bytes(name, value)
            if name in ("directory", "base_path", "inbox"):
                _check_path(name, value)
        return section


def _bytes(name: str, text: str) -> int:
    try:
        return quantity.to_bytes(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_path(name: str, path: str) -> None:
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path or path.strip("/") == "":
        raise ValueError(f"{name}: must be an absolute path without .., below /")


class SettingsError(Exception):
    """The settings cannot be used; the message names the file, the key, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what in their file nobody knows."""

    settings: Settings
    warnings: tuple[str, ...]


def load(path: Path, overrides: tuple[str, ...] = (), *, required: bool = False) -> Loaded:
    """Return the settings of the file `path`, if it is there, changed by `overrides` (`section.key=value`).

    Raises:
        SettingsError: the file cannot be read, is no YAML, or a value is of the wrong kind.
    """
    document = _read(path, required=required)
    for override in overrides:
        _override(document, override)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(e, path, overrides) for e in error.errors())) from None
    return Loaded(settings, tuple(f"{path}: {text}" for text in _unknown(settings, "")))


def _explained(error: Any, path: Path, overrides: tuple[str, ...]) -> str:
    key = ".".join(map(str, error["loc"]))
    by_flag = next((f"--set {override}" for override in overrides if override.startswith(f"{key}=")), None)
    return f"cannot use setting {key} of {by_flag or path}: {error['msg'].removeprefix('Value error, ')}"


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        if required:
            raise SettingsError(f"cannot read settings {path}: there is no such file") from None
        return {}
    except OSError as error:
        raise SettingsError(f"cannot read settings {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read settings {path}: it is no YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(
            f"cannot read settings {path}: it must hold sections such as `runtime:`, not a {type(document).__name__}"
        )
    return document


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


def _unknown(section: _Section, prefix: str) -> list[str]:
    known = list(type(section).model_fields)
    found = []
    for name in section.model_extra or {}:
        near = difflib.get_close_matches(name, known, 1)
        hint = f": did you mean {prefix}{near[0]}?" if near else f": known here are {', '.join(known)}"
        found.append(f"unknown key {prefix}{name}{hint}")
    for name, value in section:
        if isinstance(value, _Section):
            found += _unknown(value, f"{prefix}{name}.")
    return found
