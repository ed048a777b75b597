"""Where a Runtime's trees come from, other than a registry: an archive, a recipe, a build, a template, other runtimes.

Here: what may be asked for, checked at admission.
Never here: carrying it out, the versions (`runtime.py`), and templates (`runtime_template.py`).
"""

import posixpath
import re

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import runtime_spec, urls
from api.model import ApiModel
from api.types.job_resources import Limits

_CHECKSUM = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_ENV_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
LONGEST_BUILD_SECONDS = 86_400


def _is_a_location(url: str) -> str:
    urls.refuse_password(url, "of an archive, headersFrom names the Registry whose token is sent")
    scheme, _, rest = url.partition("://")
    if url.startswith("/") and "\0" not in url:
        return url
    if scheme not in ("file", "http", "https") or not rest:
        raise PydanticCustomError("FieldValueInvalid", "must be /PATH, file:///PATH or http(s)://HOST/PATH")
    return url


def _is_a_checksum(checksum: str) -> str:
    if checksum and not _CHECKSUM.fullmatch(checksum):
        raise PydanticCustomError("FieldValueInvalid", "must be sha256: and 64 hexadecimal digits in lowercase")
    return checksum.removeprefix("sha256:")


def _names_variables(environment: dict[str, str]) -> dict[str, str]:
    for name in environment:
        if not _ENV_NAME.fullmatch(name) or name.startswith("JOB_"):
            raise PydanticCustomError("FieldValueInvalid", '"{n}" may not be the name of a variable', {"n": name})
    return environment


class ArchiveSource(ApiModel):
    """A finished tree, packed: .tar with gzip, xz or zstd, or .zip."""

    url: str = Field(min_length=1, max_length=2048, description="/PATH, file:///PATH or http(s)://HOST/PATH.")
    checksum: str = Field(description="sha256:HEX of the archive.")
    size: int | None = Field(default=None, ge=0, description="Bytes of the archive, where they are known.")
    headers_from: str | None = Field(
        default=None, description="The Registry whose credentials are sent, if the archive needs some."
    )

    _check_url = field_validator("url")(_is_a_location)

    @field_validator("checksum")
    @classmethod
    def _has_a_checksum(cls, checksum: str) -> str:
        if not checksum:
            raise PydanticCustomError("FieldValueRequired", "must be sha256:HEX: an archive is never taken on trust")
        return _is_a_checksum(checksum)


class BuildLimits(ApiModel):
    """What a build may use at most, and how long it may take."""

    limits: Limits = Field(default_factory=Limits, description="As of a job: cpu, memory, pids.")
    timeout_seconds: int = Field(
        default=3600, ge=1, le=LONGEST_BUILD_SECONDS, description="The build is ended after so many seconds."
    )


class RecipeSource(ApiModel):
    """A package with `setup.sh`, in the released format of Joblet's runtimes, run in a build sandbox."""

    url: str = Field(
        min_length=1,
        max_length=2048,
        description="A directory or a .tar.gz on this host (/PATH or file:///PATH), or http(s)://HOST/PATH.",
    )
    checksum: str = Field(default="", description="sha256:HEX of the archive; required for http and https.")
    env: dict[str, str] = Field(default_factory=dict, description="More variables for the script.")
    resources: BuildLimits = Field(default_factory=BuildLimits, description="Limits of the build.")

    _check_url = field_validator("url")(_is_a_location)
    _check_checksum = field_validator("checksum")(_is_a_checksum)

    @model_validator(mode="after")
    def _is_not_taken_on_trust(self) -> "RecipeSource":
        if self.url.startswith("http") and not self.checksum:
            raise PydanticCustomError(
                "FieldValueRequired", "needs a checksum: a script from the network is not trusted"
            )
        return self


class BuildBase(ApiModel):
    """What a build begins with."""

    language: str | None = Field(default=None, description="python, java, node, go or static; unset is no language.")
    version: str = Field(default="", description='Of the language, such as "3.11" or "17"; empty is what there is.')
    from_: str = Field(
        default="debian",
        alias="from",
        description='"debian" (packages of the configured archive), "host" (this machine\'s files), or NAME@VERSION.',
    )


class BuildFile(ApiModel):
    """A file that is put into the tree."""

    path: str = Field(description="Absolute, as jobs see it; example /etc/app.ini.")
    text: str | None = Field(default=None, description="Its content as text.")
    base64: str | None = Field(default=None, description="Its content as base64.")
    mode: int = Field(
        default=0o644, ge=0, le=0o777, description="Its permissions; only whether it is executable counts."
    )

    @field_validator("path")
    @classmethod
    def _is_absolute(cls, path: str) -> str:
        if not path.startswith("/") or posixpath.normpath(path) != path or path == "/":
            raise PydanticCustomError("FieldValueInvalid", "must be an absolute path without . or ..")
        return path

    @model_validator(mode="after")
    def _has_one_content(self) -> "BuildFile":
        if (self.text is None) == (self.base64 is None):
            raise PydanticCustomError("FieldValueInvalid", "needs exactly one of text and base64")
        return self


class Requirements(ApiModel):
    """What the runtime will say it needs of hosts and jobs."""

    min_memory: str | None = Field(default=None, description="A job with a lower limit is refused; such as 512MB.")
    recommended_memory: str | None = Field(default=None, description="A job with less is warned; such as 2GB.")
    architectures: tuple[str, ...] = Field(default=(), description="amd64, arm64; empty is the one it was built on.")


class BuildSource(ApiModel):
    """A tree that is made from a declaration, in a build sandbox."""

    description: str = Field(default="", max_length=256, description="Shown by list and info.")
    base: BuildBase = Field(default_factory=BuildBase, description="What it begins with.")
    apt: tuple[str, ...] = Field(default=(), description="Debian packages, NAME or NAME=VERSION.")
    pip: tuple[str, ...] = Field(
        default=(), description="Requirements as pip reads them, with --hash=sha256:… where hashes are to be checked."
    )
    npm: tuple[str, ...] = Field(default=(), description="npm packages, NAME or NAME@VERSION.")
    files: tuple[BuildFile, ...] = Field(default=(), description="Files put into the tree after the packages.")
    environment: dict[str, str] = Field(
        default_factory=dict, description="Variables of every job; PATH_PREPEND comes before PATH."
    )
    run: tuple[str, ...] = Field(
        default=(), description="Shell commands run in the build sandbox, in order, with the tree as their root."
    )
    requirements: Requirements = Field(default_factory=Requirements, description="What it needs.")
    resources: BuildLimits = Field(default_factory=BuildLimits, description="Limits of the build.")

    _check_environment = field_validator("environment")(_names_variables)


class ExtendsMount(ApiModel):
    """A mount that is added to those of the parents."""

    source: str = Field(description="Relative to the tree.")
    target: str = Field(description="Absolute, as jobs see it.")
    readonly: bool = Field(default=True, description="False gives each job a copy of its own.")
    selective: tuple[str, ...] = Field(default=(), description="The names of source that are shown; empty is all.")

    @field_validator("source")
    @classmethod
    def _is_relative(cls, source: str) -> str:
        if not source or source.startswith("/") or ".." in source.split("/") or "\0" in source:
            raise PydanticCustomError("FieldValueInvalid", "must be relative to the tree, without ..")
        return source

    @field_validator("target")
    @classmethod
    def _is_absolute(cls, target: str) -> str:
        if not target.startswith("/") or posixpath.normpath(target) != target or target == "/":
            raise PydanticCustomError("FieldValueInvalid", "must be an absolute path without . or ..")
        return target


class ExtendsSource(ApiModel):
    """Other runtimes, put together, and more: mounts append, the child's environment wins, requirements combine."""

    runtimes: tuple[str, ...] = Field(
        min_length=1, description="NAME or NAME@VERSION each; where two bring one file, the later one's is taken."
    )
    description: str = Field(default="", max_length=256, description="Shown by list and info.")
    mounts: tuple[ExtendsMount, ...] = Field(default=(), description="Added to those of the parents.")
    environment: dict[str, str] = Field(
        default_factory=dict, description="Wins over the parents'; PATH_PREPEND comes before theirs."
    )
    files: tuple[BuildFile, ...] = Field(default=(), description="Files put into the tree, at a mount's target.")
    requirements: Requirements = Field(default_factory=Requirements, description="Combined with the parents'.")

    _check_environment = field_validator("environment")(_names_variables)

    @field_validator("runtimes")
    @classmethod
    def _are_named(cls, runtimes: tuple[str, ...]) -> tuple[str, ...]:
        names: list[str] = []
        for spec in runtimes:
            try:
                parsed = runtime_spec.parse(spec)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
            if parsed.name is None:
                raise PydanticCustomError("FieldValueInvalid", "must name runtimes: write NAME or NAME@VERSION")
            names.append(parsed.name)
        if len(set(names)) < len(names):
            raise PydanticCustomError("FieldValueDuplicate", "a runtime is there twice")
        return runtimes


class TemplateSource(ApiModel):
    """A RuntimeTemplate, with values for its parameters."""

    name: str = Field(min_length=1, description="The RuntimeTemplate.")
    parameters: dict[str, str] = Field(default_factory=dict, description="Values; the others have their defaults.")


class HealthCheck(ApiModel):
    """What must work inside the real sandbox, beside the interpreter's start and whole libraries."""

    imports: tuple[str, ...] = Field(default=(), description="Modules that the language's interpreter must import.")
    command: tuple[str, ...] = Field(default=(), description="A command that must exit with 0.")
    timeout_seconds: int = Field(default=60, ge=1, le=3600, description="For each of them.")
