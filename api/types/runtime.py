"""Runtime: these versions of this runtime, installed on the host."""

from enum import StrEnum

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api import runtime_spec
from api.conditions import Condition, ReasonEnum
from api.meta import ApiModel, Resource


class RuntimeReason(ReasonEnum):
    """Why a runtime is, or is not, ready; listed in docs/reference/conditions.md."""

    INSTALLED = "Installed", "Every version that is wanted is installed."
    INSTALLING = "Installing", "A version is being installed; status.versions tells how far it is."
    REGISTRY_UNAVAILABLE = "RegistryUnavailable", "There is no registry to install from, or none of them can be read."
    RUNTIME_NOT_FOUND = "RuntimeNotFound", "No registry has a runtime of this name and version."
    PLATFORM_UNSUPPORTED = "PlatformUnsupported", "The registry has it, but not for this machine or distribution."
    CHECKSUM_MISMATCH = (
        "ChecksumMismatch",
        "The archive is not the one that the registry promised; nothing of it was kept.",
    )
    SIZE_MISMATCH = "SizeMismatch", "The archive is longer or shorter than the registry says; nothing of it was kept."
    DAMAGED_ARCHIVE = "DamagedArchive", "The archive ends early or cannot be unpacked; nothing of it was kept."
    INVALID_ARCHIVE = (
        "InvalidArchive",
        "The archive holds what a runtime may not hold, such as a path that leads out of it.",
    )
    INSUFFICIENT_SPACE = (
        "InsufficientSpace",
        "There is too little free space for the install; see the setting runtime.minimum_free.",
    )
    CANNOT_WRITE = "CannotWrite", "The archive cannot be unpacked onto the disk, for another reason than space."
    INVALID_RUNTIME = "InvalidRuntime", "It was unpacked, but its runtime.yml cannot be used."
    UNREACHABLE = "Unreachable", "The archive cannot be downloaded for now."
    NOT_FOUND = "NotFound", "The registry names an archive that is not there."
    REFUSED = "Refused", "The server refuses to give the archive."
    INVALID_LOCATION = "InvalidLocation", "The URL of the registry or of the archive is not one that can be used."
    INSTALL_IN_PROGRESS = "InstallInProgress", "Another process is installing or removing this very version."
    RUNTIME_ROOT_UNAVAILABLE = "RuntimeRootUnavailable", "The directory of runtimes cannot be read."
    CONFLICT = (
        "Conflict",
        "A tree that runwright did not install is in the way, or two trees claim one version; remove one.",
    )
    REMOVING = "Removing", "The runtime is being deleted, and its versions with it."
    IN_USE = "InUse", "A version that is no longer wanted stays until the runs that use it have ended."
    NOTHING_WANTED = "NothingWanted", "spec.versions is empty."
    RUNTIMES_DISABLED = "RuntimesDisabled", "The setting runtime.enabled is false."


class RuntimeSpec(ApiModel):
    """Which versions are wanted, and from where."""

    versions: tuple[str, ...] = Field(
        default=("latest",),
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description=(
            'Versions wanted: exact ones such as "1.3.2", or "latest". '
            "Versions no longer named are removed when unused."
        ),
    )
    registry: str | None = Field(default=None, description="The Registry to install from; unset asks all by priority.")

    @field_validator("versions")
    @classmethod
    def _are_versions(cls, versions: tuple[str, ...]) -> tuple[str, ...]:
        seen: set[str] = set()
        for version in versions:
            try:
                if version != runtime_spec.LATEST:
                    runtime_spec.check_version(version)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": f"{error}, or latest"}) from None
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
