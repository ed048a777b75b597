"""Runtime: these versions of this runtime, installed on the host."""

from enum import StrEnum

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import conditions, runtime_spec
from api.conditions import Condition, ReasonEnum
from api.definition import Column, Definition, condition
from api.meta import Document
from api.model import ApiModel, Resource
from api.types.runtime_sources import (
    ArchiveSource,
    BuildSource,
    ExtendsSource,
    HealthCheck,
    RecipeSource,
    TemplateSource,
)


class RuntimeReason(ReasonEnum):
    """Why a runtime is, or is not, ready; listed in docs/reference/conditions.md."""

    INSTALLED = "Installed", "Every version that is wanted is installed."
    INSTALLING = "Installing", "A version is being installed; status.versions tells how far it is."
    REGISTRY_UNAVAILABLE = "RegistryUnavailable", "There is no registry to install from, or none of them can be read."
    AMBIGUOUS = (
        "Ambiguous",
        "Several registries of one priority offer it; name one in spec.registry, or change a priority.",
    )
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
    REDIRECT_REFUSED = (
        "RedirectRefused",
        "The server redirects in circles, or to where it may not: a file, another scheme, from https to http.",
    )
    CREDENTIALS_UNUSABLE = (
        "CredentialsUnusable",
        "spec.credentials of the Registry names no token, or one that others may read or change.",
    )
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
    UPDATED = "Updated", "latest or a range means another version from now on."
    ROLLED_BACK = "RolledBack", "latest or a range means an earlier version again, as was asked for."
    REQUEST_REFUSED = "RequestRefused", "What was asked for by an annotation cannot be done; the message says why."
    OUTDATED = "Outdated", "What it is made of was changed: it is made anew, and exchanged when it is not in use."
    PARENT_NOT_READY = "ParentNotReady", "A runtime that it is made of is not installed yet; it is asked for."
    EXTENDS_CYCLE = "ExtendsCycle", "It is made of itself, by way of the runtimes that the message names."
    INVALID_COMPOSITION = "InvalidComposition", "The runtimes that it is made of do not go together."
    TEMPLATE_NOT_FOUND = "TemplateNotFound", "There is no RuntimeTemplate of that name."
    INVALID_TEMPLATE = "InvalidTemplate", "The template and its parameters make no valid build."
    BUILD_FAILED = "BuildFailed", "The recipe or build failed, in its own words; its log tells more."
    INTERNAL_ERROR = "InternalError", "The install met what runwright did not expect; the log tells more."
    LIMIT_UNENFORCEABLE = (
        "LimitUnenforceable",
        "This host cannot hold all that runs here together to what it may have, so no build is started.",
    )
    CANNOT_START = "CannotStart", "The sandbox of builds cannot be made on this host; the message says what is missing."
    SOURCE_UNSUPPORTED = "SourceUnsupported", "This host cannot make runtimes of this source."
    HEALTHY = "Healthy", "What is installed starts and works in the sandbox."
    UNHEALTHY = "Unhealthy", "What is installed does not work; the version before it is used where there is one."
    DEGRADED = (
        "Degraded",
        "What is installed works, but parts of it need libraries that are not in it; see status.versions.",
    )
    NOT_CHECKED = "NotChecked", "It was not looked at yet, or could not be; that is tried again."
    LAUNCHER_UNAVAILABLE = "LauncherUnavailable", "Whether it works cannot be looked at now; it is tried again."
    VERIFIED = "Verified", "The trees hold what was installed."
    DRIFTED = "Drifted", "A tree does not hold what was installed; it is installed again."
    PINNED = "Pinned", "What is installed is bound to one content: whoever makes it again gets the same."
    INPUTS_UNPINNED = (
        "InputsUnpinned",
        "What is installed was made of inputs that have no exact version or hash; the message names them.",
    )
    INPUTS_UNKNOWN = (
        "InputsUnknown",
        "What is installed was made by a script, or put there by somebody else: nobody can tell of what.",
    )
    LOCK_DISAGREES = (
        "LockDisagrees",
        "The versions.lock of a tree does not say what is in the tree; the message names packages.",
    )
    CONTENT_CHANGED = (
        "ContentChanged",
        "A version does not hold what it held when it was first installed; rnx runtime accept takes it as it is.",
    )
    SAME_CONTENT = "SameContent", "Each version holds what it held when it was first installed, or what was accepted."
    RECORD_LOST = (
        "RecordLost",
        "A tree that runwright installed has lost its record, so nothing is made of it; the message says what to do.",
    )


class UpdatePolicy(StrEnum):
    """Whether `latest` and ranges move on by themselves."""

    AUTO = "Auto"
    MANUAL = "Manual"


MADE_SOURCES = ("archive", "recipe", "build", "extends", "template")
"""The fields of a spec that make one tree of one version."""

SOURCES = ("registry", *MADE_SOURCES)
"""The fields of a spec that say where the trees come from; at most one is set, none asks all registries."""

FIRST_VERSION = "1.0.0"
"""What a tree that is made is called where `versions` is left out."""


class RuntimeSpec(ApiModel):
    """Which versions are wanted, and from where."""

    registry: str | None = Field(default=None, description="The Registry to install from; unset asks all by priority.")
    archive: ArchiveSource | None = Field(default=None, description="A packed tree, of the one version named.")
    recipe: RecipeSource | None = Field(default=None, description="A package with a setup script, run in a sandbox.")
    build: BuildSource | None = Field(default=None, description="What the tree is made of, declared.")
    extends: ExtendsSource | None = Field(default=None, description="Other runtimes and more.")
    template: TemplateSource | None = Field(default=None, description="A RuntimeTemplate to build from.")
    versions: tuple[str, ...] = Field(
        default_factory=lambda: (runtime_spec.LATEST,),
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description=(
            'Versions wanted: exact ones such as "1.3.2", ranges such as "^1.3" or ">=1.3 <2", or "latest", which is '
            "the default. What an archive, recipe, build, extends or template makes is of the one exact version "
            f"named here, {FIRST_VERSION} by default. Versions no longer named are removed when unused."
        ),
    )
    update_policy: UpdatePolicy = Field(
        default=UpdatePolicy.AUTO,
        description="Auto moves latest and ranges on at each resync; Manual keeps what they first meant.",
    )
    retain: int = Field(
        default=1,
        ge=0,
        le=100,
        description="Versions that latest or a range moved on from and that stay installed, for a rollback.",
    )
    health_check: HealthCheck = Field(default_factory=HealthCheck, description="What must work before it is used.")

    @field_validator(*MADE_SOURCES)
    @classmethod
    def _is_the_only_source(cls, source: ApiModel | None, info: ValidationInfo) -> ApiModel | None:
        others = [name for name in SOURCES if info.data.get(name) is not None]
        if source is not None and others:
            raise PydanticCustomError(
                "FieldValueForbidden", "may not be set together with spec.{other}: keep one", {"other": others[0]}
            )
        return source

    @field_validator("versions")
    @classmethod
    def _are_versions(cls, versions: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        seen: dict[str, None] = {}
        for asked in versions:
            try:
                version = runtime_spec.check_wanted(asked)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
            if version in seen:
                raise PydanticCustomError("FieldValueDuplicate", '"{v}" is there twice', {"v": asked})
            seen[version] = None
        made = next((name for name in MADE_SOURCES if info.data.get(name) is not None), None)
        if made and (len(seen) != 1 or not runtime_spec.is_version(next(iter(seen)))):
            why = {"made": made, "first": FIRST_VERSION}
            raise PydanticCustomError(
                "FieldValueInvalid", "must be the one exact version that spec.{made} makes, such as {first}", why
            )
        return tuple(seen)

    @model_validator(mode="after")
    def _has_a_version(self) -> "RuntimeSpec":
        """Give a tree that is made its version where its author did not care to name one."""
        if self.made_by and "versions" not in self.model_fields_set:
            return self.model_copy(update={"versions": (FIRST_VERSION,)})
        return self

    @property
    def made_by(self) -> str:
        """The one of MADE_SOURCES that is set; empty for a runtime from registries."""
        return next((name for name in MADE_SOURCES if getattr(self, name) is not None), "")


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
    reason: str = Field(default="", description="Why it is not there, as Ready says it of the first that is not.")
    message: str = Field(default="", description="What went wrong and what to do.")
    source: str = Field(default="", description="registry, archive, recipe, build or extends.")
    digest: str = Field(default="", description="sha256 of the tree's content; runs record it too.")
    health: str = Field(default="", description="Healthy, Degraded, Unhealthy, or empty where it was not looked at.")
    health_message: str = Field(default="", description="What does not work in it.")
    checked_at: str | None = Field(default=None, description="When its health was last looked at, RFC 3339.")
    verified_at: str | None = Field(default=None, description="When its content was last compared, RFC 3339.")
    drift: str = Field(default="", description="What differs from the content that was installed.")
    reproducible: str = Field(
        default="", description="True if it is bound to one content, False, Unknown, or empty where nobody looked."
    )
    reproducible_message: str = Field(default="", description="What binds it, or what does not.")
    former_digest: str = Field(default="", description="sha256 of what this version held before, if that is another.")
    former_since: str | None = Field(default=None, description="Since when it held that, RFC 3339.")
    disk_bytes: int | None = Field(default=None, description="Bytes of its files.")
    shared_bytes: int | None = Field(default=None, description="Bytes of them that other versions share.")
    last_used_at: str | None = Field(default=None, description="When a run last used it, RFC 3339.")
    kept_because: str = Field(default="", description="Why it is kept, or why and when it may be collected.")


class HistoryEntry(ApiModel):
    """One change of what latest or a range means."""

    asked: str = Field(description="The entry of spec.versions.")
    version: str = Field(description="The version that it meant from then on.")
    at: str = Field(description="Since when, RFC 3339.")
    reason: str = Field(default="", description="Why: first, update or rollback.")


CONDITIONS = frozenset({"Ready", "Healthy", "Verified", "Reproducible", "DigestMismatch"})
"""The types of conditions that runwright sets on runtimes."""


class RuntimeStatus(ApiModel):
    """What is installed."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: every wanted version is installed. Healthy, Verified, Reproducible, DigestMismatch. "
        "What others add is left as it is.",
        json_schema_extra=conditions.LIST,
    )
    versions: tuple[RuntimeVersion, ...] = Field(default=(), description="The versions on this host.")
    latest: str = Field(default="", description="The highest installed version.")
    history: tuple[HistoryEntry, ...] = Field(default=(), description="What latest and ranges meant, newest last.")
    request_results: dict[str, str] = Field(
        default_factory=dict, description="What became of the requests by annotation, for a person."
    )
    requests_heard: dict[str, str] = Field(
        default_factory=dict, description="The requests by annotation that were carried out, with their values."
    )


class Runtime(Resource):
    """Versions of one runtime that are to be installed; its name is the runtime's name."""

    kind: str = "Runtime"
    spec: RuntimeSpec = Field(default_factory=RuntimeSpec, description="What is wanted.")
    status: RuntimeStatus = Field(default_factory=RuntimeStatus, description="What is.")


def _installed(document: Document) -> str:
    versions = document.get("status", {}).get("versions", ())
    return ",".join(v["version"] for v in versions if v.get("state") == "Installed")


def _wanted(document: Document) -> str:
    spec = document.get("spec", {})
    is_made = any(spec.get(name) is not None for name in MADE_SOURCES)
    return ",".join(spec.get("versions", (FIRST_VERSION if is_made else runtime_spec.LATEST,)))


DEFINITION = Definition(
    type=Runtime,
    conditions=CONDITIONS,
    columns=(
        Column("Ready", condition("Ready", "status"), description="Whether every wanted version is installed."),
        Column("Reason", condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("Wanted", _wanted, description="The versions wanted."),
        Column("Installed", _installed, description="The versions installed."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
)
