"""What a job wants: its command, runtime, environment, files, limits and what to do on failure.

Field names are batch/v1's and Pod's wherever they have one. Here: the spec and its rules, all of which are checked at
admission. Limits are in `job_resources.py`, the kind itself and its status in `job.py`.
"""

import base64
import binascii
import hashlib
import json
import posixpath
import re
from enum import StrEnum
from pathlib import PurePosixPath

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import runtime_spec
from api.meta import ApiModel
from api.types.job_resources import Resources
from api.types.job_security import SecurityContext, SecurityProfile
from api.types.references import EnvFromSource, EnvVarSource, KeySelector

ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
RESERVED_ENV_PREFIX = "JOB_"
_LONGEST_NAME = 255
FILES_MOST_BYTES = 1_000_000
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
        if len(value.encode()) > LONGEST_WORD_BYTES - _LONGEST_NAME:
            raise PydanticCustomError("FieldValueInvalid", "is too long to be passed on: use a file of spec.files")
        return value

    @model_validator(mode="after")
    def _has_one_value(self) -> "EnvVar":
        if self.value and self.value_from is not None:
            raise PydanticCustomError("FieldValueInvalid", "valueFrom may not be specified when `value` is not empty")
        return self


class JobFile(ApiModel):
    """A file, or a symbolic link, put into /work before the command starts."""

    path: str = Field(description="Where in /work, relative, without `..`; example `conf/app.ini`.")
    text: str | None = Field(default=None, description="Its content as text.")
    base64: str | None = Field(default=None, description="Its content as base64, for anything that is not text.")
    link: str | None = Field(
        default=None, description="Instead of a content: where a symbolic link leads, relative, inside /work."
    )
    secret_key_ref: KeySelector | None = Field(
        default=None, description="Its content is a key of a Secret, looked up when a run starts."
    )
    config_map_key_ref: KeySelector | None = Field(
        default=None, description="Its content is a key of a ConfigMap, looked up when a run starts."
    )
    mode: int = Field(
        default=0o644, ge=0, le=0o777, description="Permission bits as a number; 420 is 0644, 493 is 0755."
    )

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = path.split("/")
        if not path or path.startswith("/") or ".." in parts or "" in parts or "." in parts or "\0" in path:
            raise PydanticCustomError("FieldValueInvalid", "must be a relative path inside /work, without . or ..")
        if len(path) > 1024 or any(len(part.encode()) > 255 for part in parts):
            raise PydanticCustomError("FieldValueInvalid", "is too long for a file name")
        return path

    @model_validator(mode="after")
    def _leads_inside(self) -> "JobFile":
        if self.link is not None:
            end = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), self.link))
            if not self.link or "\0" in self.link or end.startswith(("/", "..")):
                raise PydanticCustomError("FieldValueInvalid", "link must be a relative path that stays inside /work")
        return self

    @model_validator(mode="after")
    def _has_one_content(self) -> "JobFile":
        contents = (self.text, self.base64, self.link, self.secret_key_ref, self.config_map_key_ref)
        if contents.count(None) != len(contents) - 1:
            what = "text, base64, link, secretKeyRef and configMapKeyRef"
            raise PydanticCustomError("FieldValueInvalid", "needs exactly one of {what}", {"what": what})
        if self.base64 is not None:
            try:
                base64.b64decode(self.base64, validate=True)
            except (binascii.Error, ValueError):
                raise PydanticCustomError("FieldValueInvalid", "base64 cannot be decoded") from None
        return self

    @property
    def content(self) -> bytes:
        """The file's bytes; a link has none, nor has what is not looked up yet."""
        return self.text.encode() if self.text is not None else base64.b64decode(self.base64 or "")


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
    working_dir: str = Field(default="/work", description="The directory that the command starts in.")
    files: tuple[JobFile, ...] = Field(
        default=(),
        description="Files put into /work, at most 1 MB together.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
    )
    resources: Resources = Field(default_factory=Resources, description="Limits that the kernel enforces.")
    security_profile: SecurityProfile = Field(
        default=SecurityProfile.STRICT,
        description="strict, or baseline, which allows the system calls that Docker's default profile does, such as "
        "ptrace, where the host's policy lets jobs of this namespace have it.",
    )
    security_context: SecurityContext = Field(
        default_factory=SecurityContext, description="Capabilities; there are none unless they are asked for."
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

    @field_validator("runtime")
    @classmethod
    def _is_a_runtime(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                runtime_spec.parse(text)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
        return text

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

    @field_validator("files")
    @classmethod
    def _files_fit(cls, files: tuple[JobFile, ...]) -> tuple[JobFile, ...]:
        _refuse_repeats([file.path for file in files])
        _refuse_files_as_directories({file.path for file in files})
        total = sum(len(file.content) for file in files)
        if total > FILES_MOST_BYTES:
            raise PydanticCustomError(
                "FieldValueInvalid", "must be at most 1 MB together, these are {n} bytes", {"n": total}
            )
        return files

    def template_hash(self) -> str:
        """Return a short hash of everything that a run is made of: another hash, another run.

        Of what it means, not of how it is written: `500m` is `0.5`. Defaults are left out, so that a field
        that a later version adds changes no hash.
        """
        wanted = {"runtime", "command", "args", "env", "env_from", "working_dir", "files", "security_profile"}
        made_of = self.model_dump(mode="json", by_alias=True, include=wanted, exclude_defaults=True)
        if self.security_context.added:
            made_of["capabilities"] = self.security_context.added
        made_of["limits"] = self.resources.numbers()
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:10]


def _refuse_files_as_directories(paths: set[str]) -> None:
    for above in sorted({str(above) for path in paths for above in PurePosixPath(path).parents} & paths):
        raise PydanticCustomError("FieldValueInvalid", '"{at}" cannot be both a file and a directory', {"at": above})


def _refuse_repeats(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PydanticCustomError("FieldValueDuplicate", '"{name}" is there twice', {"name": name})
        seen.add(name)
