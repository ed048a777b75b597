"""What a job wants: its command, runtime, environment, files, limits and what to do on failure.

Field names are batch/v1's and Pod's wherever they have one. Here: the spec and its rules, all of which are checked at
admission. Files are in `job_file.py`, limits in `job_resources.py`, the kind itself and its status in `job.py`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import runtime_spec
from api.meta import Document, read_rfc3339
from api.model import ApiModel
from api.types import job_after, job_file, job_many
from api.types.artifacts import check_patterns
from api.types.job_after import After
from api.types.job_file import JobFile
from api.types.job_many import CompletionMode
from api.types.job_network import JobNetwork
from api.types.job_resources import Resources
from api.types.job_security import SecurityContext, SecurityProfile
from api.types.references import EnvFromSource, EnvVarSource

VOLUME_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
RESERVED_ENV_PREFIX = "JOB_"
_LONGEST_NAME = 255
LONGEST_WORD_BYTES = 131_071
"""One argument, or one NAME=VALUE, without its NUL. Source: execve(2), MAX_ARG_STRLEN."""


class InstallPolicy(StrEnum):
    """What to do about a runtime that is not installed."""

    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class EnvVar(ApiModel):
    """One environment variable."""

    name: str = Field(description="Letters, digits and _, not starting with a digit; JOB_ is reserved.")
    value: str = Field(default="", description="Its value, passed on byte for byte.")
    value_from: EnvVarSource | None = Field(
        default=None, description="Where its value comes from, instead of value; looked up when a run starts."
    )

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not ENV_NAME.match(name) or len(name) > _LONGEST_NAME:
            raise PydanticCustomError("FieldValueInvalid", "must be letters, digits and _, not starting with a digit")
        if name.startswith(RESERVED_ENV_PREFIX):
            raise PydanticCustomError("FieldValueForbidden", "names starting with JOB_ are set by runwright")
        return name

    @field_validator("value")
    @classmethod
    def _has_no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise PydanticCustomError("FieldValueInvalid", "must not contain a NUL character")
        if len(value.encode()) > LONGEST_WORD_BYTES - len("=") - _LONGEST_NAME:
            raise PydanticCustomError("FieldValueInvalid", "is too long to be passed on: use a file of spec.files")
        return value

    @model_validator(mode="after")
    def _has_one_value(self) -> "EnvVar":
        if self.value and self.value_from is not None:
            raise PydanticCustomError("FieldValueInvalid", "valueFrom may not be specified when `value` is not empty")
        return self


class VolumeMount(ApiModel):
    """A volume of the job's namespace, and where its runs see it."""

    name: str = Field(min_length=1, max_length=253, description="The Volume's name.")
    mount_path: str = Field(
        default="", max_length=4096, description="Where runs see it, an absolute path; unset is /volumes/NAME."
    )
    read_only: bool = Field(default=False, description="True lets the job's runs only read it.")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not VOLUME_NAME.fullmatch(name):
            raise PydanticCustomError("FieldValueInvalid", "must be lower-case letters, digits, `-` and `.`")
        return name

    @field_validator("mount_path")
    @classmethod
    def _is_a_place(cls, path: str) -> str:
        if not path:
            return path
        parts = path.split("/")
        if parts[0] or "\0" in path or any(part in ("", ".", "..") for part in parts[1:]):
            raise PydanticCustomError("FieldValueInvalid", "must be an absolute path below /, without . or .. or //")
        if parts[1] in ("proc", "sys", "dev") or path in ("/work", "/tmp", "/volumes", "/etc"):
            why = f"each run has its own {path}: mount the volume elsewhere, such as below /volumes"
            raise PydanticCustomError("FieldValueForbidden", "{why}", {"why": why})
        return path

    @property
    def place(self) -> str:
        """Where runs see it."""
        return self.mount_path or f"/volumes/{self.name}"


class JobSpec(ApiModel):
    """What is to be run, in what, with which limits."""

    runtime: str | None = Field(
        default=None,
        description="The runtime, such as python-3.11-ml, python-3.11-ml@1.3.2 or python:3.11+ml; "
        "unset uses the host's read-only directories.",
    )
    install_policy: InstallPolicy = Field(
        default=InstallPolicy.IF_NOT_PRESENT,
        description="IfNotPresent installs a missing runtime from a registry; Never waits for it.",
    )
    command: tuple[str, ...] = Field(
        min_length=1, description='The program and its arguments, such as ["python", "train.py"].'
    )
    args: tuple[str, ...] = Field(default=(), description="More arguments, after those of command.")
    env: tuple[EnvVar, ...] = Field(
        default=(),
        description="Environment variables; they win over the runtime's.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    env_from: tuple[EnvFromSource, ...] = Field(
        default=(),
        description="Secrets and ConfigMaps whose keys are variables; later ones win over earlier, and env over all.",
    )
    stdin: bool = Field(
        default=False,
        description="Whether attach gives it a standard input, which has no end until then; else it is /dev/null.",
    )
    stdin_once: bool = Field(
        default=False,
        description="With stdin: whether that ends when the first who attached to it ends theirs, or goes.",
    )
    working_dir: str = Field(default="/work", description="The directory that the command starts in.")
    files: tuple[JobFile, ...] = Field(
        default=(),
        description="What is put into /work: texts, of at most 1 MB together, and uploads, for which it has room.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
    )
    artifacts: tuple[str, ...] = Field(
        default=(),
        description="Patterns of files in /work that are kept when a run has ended, until the job is deleted: "
        '["out/**/*.csv", "model.bin"]; rnx job download fetches them.',
    )
    volume_mounts: tuple[VolumeMount, ...] = Field(
        default=(),
        max_length=64,
        description="Volumes that runs see; one that nobody declared is made, where the settings say so.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    resources: Resources = Field(default_factory=Resources, description="Limits that the kernel enforces.")
    network: JobNetwork | None = Field(
        default=None, description="The network that its runs are in; unset is that of the setting network.default."
    )
    security_profile: SecurityProfile = Field(
        default=SecurityProfile.STRICT,
        description="strict, or baseline, which allows the system calls that Docker's default profile does, such as "
        "ptrace, where the host's policy lets jobs of this namespace have it.",
    )
    security_context: SecurityContext = Field(
        default_factory=SecurityContext, description="Capabilities; there are none unless they are asked for."
    )
    priority_class_name: str | None = Field(
        default=None,
        description="The PriorityClass that says how soon its runs begin where others wait too; unset is the one that "
        "is globalDefault, or priority 0.",
    )
    completions: int | None = Field(
        default=None,
        ge=0,
        le=job_many.MOST_COMPLETIONS,
        description="How many runs have to succeed. Unset: any one, and then none begins any more.",
    )
    parallelism: int | None = Field(
        default=None,
        ge=0,
        le=job_many.MOST_PARALLELISM,
        description="How many runs there are at a time at most, each with limits and a promise of its own; unset is 1.",
    )
    completion_mode: CompletionMode = Field(
        default=CompletionMode.NON_INDEXED,
        description="Indexed: each run has an index from 0 to completions - 1, in JOB_COMPLETION_INDEX, and one of "
        "each has to succeed. NonIndexed: one run is as good as another.",
    )
    backoff_limit_per_index: int | None = Field(
        default=None,
        ge=0,
        description="With Indexed: retries of each index before that has failed; the others go on, and a backoffLimit "
        "that is unset is none.",
    )
    max_failed_indexes: int | None = Field(
        default=None, ge=0, description="With backoffLimitPerIndex: the job fails when more indexes than this have."
    )
    backoff_limit: int = Field(
        default=6, ge=0, le=1000, description="Retries after failures before the job has failed."
    )
    backoff_seconds: float = Field(
        default=10, gt=0, le=360, description="Seconds before the first retry; doubled for each further one, up to 360."
    )
    active_deadline_seconds: float | None = Field(
        default=None,
        gt=0,
        le=31_536_000,
        description="Seconds from the first start until the job is stopped, retries included.",
    )
    termination_grace_period_seconds: float = Field(
        default=30, ge=0, le=86_400, description="Seconds between SIGTERM and SIGKILL when a run is stopped."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=315_360_000,
        description="Seconds after its end when the job is deleted, unless a manifest declares it; unset keeps it.",
    )
    suspend: bool = Field(default=False, description="True holds the job: it is not started, or its run is frozen.")
    start_at: str | None = Field(
        default=None,
        description="When the job may start at the earliest, RFC 3339, such as 2026-12-31T23:59:00Z; one in the past "
        "starts it at once. Its runtime is installed before.",
    )
    after: tuple[After, ...] = Field(
        default=(),
        description="Other jobs that must have ended, each in the way it says, before a run of this one begins; "
        "the job fails as soon as one of them can never have.",
    )

    @field_validator("runtime")
    @classmethod
    def _is_a_runtime(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                runtime_spec.parse(text)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
        return text

    @field_validator("after")
    @classmethod
    def _after_is_a_list(cls, after: tuple[After, ...]) -> tuple[After, ...]:
        return job_after.check_list(after)

    @field_validator("command", "args")
    @classmethod
    def _has_no_nul(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if any("\0" in word for word in words):
            raise PydanticCustomError("FieldValueInvalid", "must not contain a NUL character")
        if words and not words[0] and len(words) == 1:
            raise PydanticCustomError("FieldValueInvalid", "must not be empty")
        if any(len(word.encode()) > LONGEST_WORD_BYTES for word in words):
            raise PydanticCustomError("FieldValueInvalid", "has a word of over 128 KiB: use a file of spec.files")
        return words

    @field_validator("start_at")
    @classmethod
    def _is_a_moment(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                read_rfc3339(text)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
        return text

    @field_validator("working_dir")
    @classmethod
    def _is_absolute(cls, path: str) -> str:
        if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise PydanticCustomError("FieldValueInvalid", "must be an absolute path without ..")
        return path

    @field_validator("env")
    @classmethod
    def _env_is_unique(cls, env: tuple[EnvVar, ...]) -> tuple[EnvVar, ...]:
        _refuse_repeats([variable.name for variable in env])
        return env

    @field_validator("artifacts")
    @classmethod
    def _artifacts_can_match(cls, artifacts: tuple[str, ...]) -> tuple[str, ...]:
        return check_patterns(artifacts)

    @field_validator("files")
    @classmethod
    def _files_fit(cls, files: tuple[JobFile, ...]) -> tuple[JobFile, ...]:
        _refuse_repeats([file.path for file in files])
        job_file.refuse_files_that_do_not_fit(files)
        return files

    @model_validator(mode="after")
    def _ends_what_it_has(self) -> "JobSpec":
        if self.stdin_once and not self.stdin:
            raise PydanticCustomError(
                "FieldValueInvalid", "stdinOnce needs stdin to be true: set it, or leave both out"
            )
        return self

    @model_validator(mode="after")
    def _is_complete_at_some_time(self) -> "JobSpec":
        job_many.check(self)
        return self

    @field_validator("volume_mounts")
    @classmethod
    def _volumes_have_places(cls, mounts: tuple[VolumeMount, ...]) -> tuple[VolumeMount, ...]:
        _refuse_repeats([mount.name for mount in mounts])
        _refuse_repeats([mount.place for mount in mounts])
        return mounts

    @property
    def has_many_runs(self) -> bool:
        """Whether it is more than one command that is to succeed once."""
        is_plain = self.completions in (None, 1) and self.parallelism in (None, 1)
        return not is_plain or self.completion_mode is CompletionMode.INDEXED

    @property
    def most_active(self) -> int:
        """How many runs there may be at a time."""
        parallelism = 1 if self.parallelism is None else self.parallelism
        return parallelism if self.completions is None else min(parallelism, self.completions)

    @property
    def most_failures(self) -> int | None:
        """How many runs may fail before the job has; None: it depends on its indexes alone."""
        if self.backoff_limit_per_index is not None and "backoff_limit" not in self.model_fields_set:
            return None
        return self.backoff_limit

    @property
    def starts_at(self) -> datetime | None:
        """The moment of `start_at`."""
        return None if self.start_at is None else read_rfc3339(self.start_at)

    def is_due(self, now: datetime) -> bool:
        """Whether the job may start, as far as its start time goes."""
        return self.start_at is None or read_rfc3339(self.start_at) <= now

    def template_hash(self) -> str:
        """Return a short hash of everything that a run is made of: another hash, another run.

        Of what it means, not of how it is written: `500m` is `0.5`. Defaults are left out, so that a field
        that a later version adds changes no hash.
        """
        return self._template_hash

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which may come to be made of something else."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_template_hash", None)
        return copied

    @cached_property
    def _template_hash(self) -> str:
        wanted = {"runtime", "command", "args", "env", "env_from", "working_dir", "files", "security_profile"}
        wanted |= {"stdin", "stdin_once", "volume_mounts", "artifacts", "network"}
        made_of = self.model_dump(mode="json", by_alias=True, include=wanted, exclude_defaults=True)
        if self.security_context.added:
            made_of["capabilities"] = self.security_context.added
        made_of["limits"] = self.resources.numbers()
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:10]


def _refuse_repeats(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PydanticCustomError("FieldValueDuplicate", '"{name}" is there twice', {"name": name})
        seen.add(name)


def command_line(spec: Document) -> str:
    """Return the command of a job's spec and its arguments, as lists show them."""
    return " ".join([*spec.get("command", ()), *spec.get("args", ())])
