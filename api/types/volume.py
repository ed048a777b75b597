"""Volume: what jobs keep beyond a run, of a size of its own.

Field names are those of PersistentVolume and its claim, in one object: one host has no pool to claim from. Here: the
fields and the rules that admission holds them to. What a host makes of them: `controller/volume`.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import conditions, quantity
from api.conditions import Condition, ReasonEnum
from api.definition import Column, Definition, condition, field
from api.errors import Cause
from api.meta import Document
from api.model import ApiModel, Resource

SMALLEST_BYTES = 4096


class VolumeType(StrEnum):
    """What a volume is made of."""

    FILESYSTEM = "filesystem"
    MEMORY = "memory"
    HOST_PATH = "hostPath"
    CACHE = "cache"


class AccessMode(StrEnum):
    """Who may have a volume at the same time: with Kubernetes' names, of runs instead of nodes."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_ONLY_MANY = "ReadOnlyMany"
    READ_WRITE_MANY = "ReadWriteMany"


class VolumeReason(ReasonEnum):
    """Why a volume is, or is not, ready; listed in docs/reference/conditions.md."""

    AVAILABLE = "Available", "It is there, and no run has it."
    IN_USE = "InUse", "It is there, and runs have it; the message names them."
    MAKING = "Making", "It is about to be made."
    SOURCE_NOT_READY = (
        "SourceNotReady",
        "What it is to be made from, spec.dataSource, is not there or not ready so far.",
    )
    SOURCE_UNUSABLE = (
        "SourceUnusable",
        "It can never be made from what spec.dataSource names, as both are; the message says why.",
    )
    MAKING_FAILED = "MakingFailed", "It cannot be made; the message says why. It is tried again."
    PATH_FORBIDDEN = (
        "PathForbidden",
        "The policy gives its namespace no such directory of the host: policy.host_paths names those that it may have.",
    )
    PATH_UNUSABLE = (
        "PathUnusable",
        "spec.path is no directory of this host that jobs could be shown; the message says why.",
    )
    SIZE_FORBIDDEN = "SizeForbidden", "It is larger than the setting volumes.most_size lets any be."
    RESIZING = "Resizing", "It is larger in spec.size than it is so far; the message says what is waited for."
    LOST = (
        "Lost",
        "What it was made of is gone from this host, and no run gets an empty one instead; the message says what.",
    )
    DAMAGED = (
        "Damaged",
        "Its file system is damaged: no run gets it, and those that have it read at most; the message says what e2fsck "
        "or the kernel found, and what to do.",
    )
    BEING_COPIED = "BeingCopied", "A copy of it is being made: what else is to be done to it is done after that."
    TERMINATING = "Terminating", "It is being deleted, and goes when no run has it any more."


class DataSource(ApiModel):
    """What a volume holds at first."""

    api_group: Literal["runwright.dev"] | None = Field(
        default=None, description="The group of both kinds; need not be said."
    )
    kind: Literal["Volume", "VolumeSnapshot"] = Field(
        default="Volume",
        description="Volume: a copy of it, as it is at that moment. VolumeSnapshot: what it holds.",
    )
    name: str = Field(min_length=1, max_length=253, description="Its name, in the same namespace.")


class VolumeSpec(ApiModel):
    """What kind of storage, and how much."""

    type: VolumeType = Field(
        default=VolumeType.FILESYSTEM,
        description="filesystem is on the host's disk and has its size to itself; memory is gone with the host's "
        "restart; hostPath is a directory of the host, where the policy allows it; cache loses its oldest files when "
        "it is larger than its size.",
    )
    size: str | None = Field(
        default=None,
        description='How much it can hold, such as "10Gi", exact to the block; unset is the setting\'s default. It can '
        "be made larger, not smaller.",
    )
    access_modes: tuple[AccessMode, ...] = Field(
        default=(AccessMode.READ_WRITE_MANY,),
        min_length=1,
        max_length=3,
        description="In which ways it may be had: ReadWriteOnce by one run at a time, ReadOnlyMany by many that only "
        "read, ReadWriteMany by many.",
    )
    path: str | None = Field(default=None, max_length=4096, description="Of hostPath: the directory of the host.")
    reclaim_policy: Literal["Delete", "Retain"] = Field(
        default="Delete",
        description="Delete removes what it holds with the object; Retain leaves that on the host's disk.",
    )
    data_source: DataSource | None = Field(
        default=None, description="A filesystem begins as a copy of this; it is never looked at again."
    )

    @field_validator("size", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("size")
    @classmethod
    def _is_a_size(cls, size: str | None) -> str | None:
        if size is not None and bytes_of(size) < SMALLEST_BYTES:
            raise PydanticCustomError("FieldValueInvalid", "must be at least 4Ki; write 64Mi, not 64, for mebibytes")
        return size

    @field_validator("path")
    @classmethod
    def _is_a_place(cls, path: str | None) -> str | None:
        if path is not None and (not path.startswith("/") or "\0" in path or not _is_plain(path)):
            raise PydanticCustomError("FieldValueInvalid", "must be an absolute path below /, without . or .. or //")
        return path

    @field_validator("access_modes")
    @classmethod
    def _is_a_set(cls, modes: tuple[AccessMode, ...]) -> tuple[AccessMode, ...]:
        return tuple(dict.fromkeys(modes))

    @model_validator(mode="after")
    def _fits_its_type(self) -> "VolumeSpec":
        if (self.path is None) == (self.type is VolumeType.HOST_PATH):
            why = "spec.path must be given for the type hostPath, and for no other"
            raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": why})
        if self.type is VolumeType.HOST_PATH and self.size is not None:
            raise PydanticCustomError("FieldValueForbidden", "a hostPath has no size of its own: leave spec.size out")
        if self.data_source is not None and self.type is not VolumeType.FILESYSTEM:
            raise PydanticCustomError("FieldValueForbidden", "spec.dataSource is for the type filesystem only")
        return self

    @property
    def size_bytes(self) -> int | None:
        """The size, where it is given."""
        return None if self.size is None else bytes_of(self.size)


def bytes_of(size: str) -> int:
    """Return how many bytes a size is. Raises PydanticCustomError."""
    try:
        return quantity.to_bytes(size)
    except ValueError as error:
        raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None


def _is_plain(path: str) -> bool:
    return all(part not in ("", ".", "..") for part in path.split("/")[1:])


class VolumeUser(ApiModel):
    """A run that has the volume."""

    job: str = Field(description="The job's name.")
    attempt: int = Field(description="Which of its runs.")
    read_only: bool = Field(default=False, description="Whether it may only read.")


CONDITIONS = frozenset({"Ready", "Resizing"})
"""The types of conditions that runwright sets on volumes."""


class VolumeStatus(ApiModel):
    """What there is of a volume."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    phase: Literal["Pending", "Available", "InUse", "Lost", "Damaged", "Terminating"] = Field(
        default="Pending", description="A printed summary of the conditions."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: runs can have it. Resizing: it is not as large as spec.size so far. What others add is "
        "left as it is.",
        json_schema_extra=conditions.LIST,
    )
    made: bool = Field(default=False, description="Whether it was made; it is never made a second time.")
    capacity_bytes: int | None = Field(default=None, description="How much it can hold, in bytes.")
    used_bytes: int | None = Field(default=None, description="How much of that was in use when it was last looked at.")
    used_by: tuple[VolumeUser, ...] = Field(default=(), description="The runs that have it.")


class Volume(Resource):
    """Storage that outlives the runs that use it."""

    kind: str = "Volume"
    spec: VolumeSpec = Field(default_factory=VolumeSpec, description="What is wanted.")
    status: VolumeStatus = Field(default_factory=VolumeStatus, description="What is.")


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a volume may not become `changed`: all but its size, modes and reclaimPolicy stays as it was made."""
    before, after = VolumeSpec.model_validate(live.get("spec", {})), VolumeSpec.model_validate(changed.get("spec", {}))
    causes = [
        Cause(f"spec.{name}", "FieldValueForbidden", "Forbidden: a volume is made once: make another one instead")
        for name, was, will in (
            ("type", before.type, after.type),
            ("path", before.path, after.path),
            ("dataSource", before.data_source, after.data_source),
        )
        if was != will
    ]
    held = live.get("status", {}).get("capacityBytes") or before.size_bytes or 0
    can_grow_only = before.type is VolumeType.FILESYSTEM
    if can_grow_only and after.size_bytes is not None and after.size_bytes < min(held, before.size_bytes or held):
        causes.append(Cause("spec.size", "FieldValueForbidden", "Forbidden: a filesystem can be made larger only"))
    return causes


def capacity(document: Document) -> str:
    """Return how much a volume can hold, for people."""
    return _size(document, "capacityBytes")


def used(document: Document) -> str:
    """Return how much of a volume is in use, for people."""
    return _size(document, "usedBytes")


def used_by(document: Document) -> str:
    """Return the jobs whose runs have a volume, for people."""
    return ",".join(str(user.get("job", "")) for user in document.get("status", {}).get("usedBy", ()))


def _size(document: Document, name: str) -> str:
    count = document.get("status", {}).get(name)
    return "" if count is None else quantity.rounded(int(count))


DEFINITION = Definition(
    type=Volume,
    conditions=CONDITIONS,
    columns=(
        Column("Phase", field("status.phase"), description="A summary of the volume's conditions."),
        Column("Type", field("spec.type"), description="What it is made of."),
        Column("Size", capacity, description="How much it can hold."),
        Column("Used", used, description="How much of that is in use."),
        Column("Used-By", used_by, description="The jobs whose runs have it."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
    problems_with_change=problems_with_change,
)
