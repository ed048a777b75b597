"""Runtime: these versions of this runtime, installed on the host."""

from enum import StrEnum

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api import runtime_spec
from api.conditions import Condition
from api.meta import ApiModel, Resource


class RuntimeReason(StrEnum):
    """Why a runtime is, or is not, ready."""

    INSTALLED = "Installed"
    INSTALLING = "Installing"
    REGISTRY_UNAVAILABLE = "RegistryUnavailable"
    RUNTIME_NOT_FOUND = "RuntimeNotFound"
    PLATFORM_UNSUPPORTED = "PlatformUnsupported"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    INSUFFICIENT_SPACE = "InsufficientSpace"
    INVALID_RUNTIME = "InvalidRuntime"
    CONFLICT = "Conflict"
    IN_USE = "InUse"
    NOTHING_WANTED = "NothingWanted"
    RUNTIMES_DISABLED = "RuntimesDisabled"


class RuntimeSpec(ApiModel):
    """Which versions are wanted, and from where."""

    versions: tuple[str, ...] = Field(
        default=("latest",),
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description='Versions wanted: exact ones such as "1.3.2", or "latest". Versions no longer named are removed when unused.',
    )
    registry: str | None = Field(default=None, description="The Registry to install from; unset asks all by priority.")

    @field_validator("versions")
    @classmethod
    def _are_versions(cls, versions: tuple[str, ...]) -> tuple[str, ...]:
        seen: set[str] = set()
        for version in versions:
            try:
                runtime_spec.parse(f"x@{version}")
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
            if version in seen:
                raise PydanticCustomError("FieldValueDuplicate", '"{v}" is there twice', {"v": version})
            seen.add(version)
        return versions


class VersionState(StrEnum):
    """How far an installed version is."""

    INSTALLED = "Installed"
    INSTALLING = "Installing"
    FAILED = "Failed"
    REMOVING = "Removing"


class RuntimeVersion(ApiModel):
    """One version of the runtime on this host."""

    version: str = Field(description="The exact version.")
    state: VersionState = Field(description="Installed, Installing, Failed or Removing.")
    path: str = Field(default="", description="Its tree on the host.")
    checksum: str = Field(default="", description="sha256 of the archive it came from.")
    registry: str = Field(default="", description="The Registry it came from; empty if it was there before.")
    installed_at: str | None = Field(default=None, description="When it was installed, RFC 3339.")
    done_bytes: int | None = Field(default=None, description="Bytes of the archive read so far, while installing.")
    size_bytes: int | None = Field(default=None, description="Bytes of the archive.")
    message: str = Field(default="", description="What went wrong and what to do.")


class RuntimeStatus(ApiModel):
    """What is installed."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    conditions: tuple[Condition, ...] = Field(default=(), description="Ready: every wanted version is installed.")
    versions: tuple[RuntimeVersion, ...] = Field(default=(), description="The versions on this host.")
    latest: str = Field(default="", description="The highest installed version.")


class Runtime(Resource):
    """Versions of one runtime that are to be installed; its name is the runtime's name."""

    kind: str = "Runtime"
    spec: RuntimeSpec = Field(default_factory=RuntimeSpec, description="What is wanted.")
    status: RuntimeStatus = Field(default_factory=RuntimeStatus, description="What is.")
