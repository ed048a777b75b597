"""VolumeSnapshot: what a volume held at one moment, to make other volumes of.

Field names are those of VolumeSnapshot, its content and its class in snapshot.storage.k8s.io/v1, in one object of our
own group: docs/design tells why. Here: the fields and the rules that admission holds them to. What a host makes of
them: `controller/volume/snapshot`.
"""

from typing import Literal

from pydantic import Field

from api import conditions, quantity
from api.conditions import Condition, ReasonEnum
from api.definition import Column, Definition, condition, field
from api.errors import Cause
from api.meta import Document
from api.model import ApiModel, Resource


class SnapshotReason(ReasonEnum):
    """Why a snapshot can, or cannot, be used; listed in docs/reference/conditions.md."""

    READY_TO_USE = "ReadyToUse", "It is there: volumes can be made of it."
    TAKING = "Taking", "It is about to be taken."
    SOURCE_NOT_READY = "SourceNotReady", "The volume that it is to be taken of is not there, or not ready so far."
    SOURCE_UNSUPPORTED = (
        "SourceUnsupported",
        "The volume that it is to be taken of is no filesystem: of others there are no snapshots.",
    )
    SNAPSHOT_FAILED = "SnapshotFailed", "It cannot be taken; the message says why. It is tried again."
    LOST = "Lost", "What it was kept in is gone from this host, and it is not taken a second time, at another moment."
    TERMINATING = "Terminating", "It is being deleted, and goes when the volumes that are being made of it are made."


class SnapshotSource(ApiModel):
    """What a snapshot is taken of."""

    volume_name: str = Field(
        min_length=1, max_length=253, description="The Volume, of the type filesystem, in the same namespace."
    )


class VolumeSnapshotSpec(ApiModel):
    """Of what, and what becomes of it."""

    source: SnapshotSource = Field(description="What it is taken of, once.")
    deletion_policy: Literal["Delete", "Retain"] = Field(
        default="Delete",
        description="Delete removes what it holds with the object; Retain leaves that on the host's disk.",
    )


class SnapshotError(ApiModel):
    """Why it could not be taken the last time."""

    time: str | None = Field(default=None, description="When that was, RFC 3339.")
    message: str = Field(default="", description="What happened and what to do.")


CONDITIONS = frozenset({"Ready"})
"""The types of conditions that runwright sets on snapshots."""


class VolumeSnapshotStatus(ApiModel):
    """What there is of a snapshot."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: volumes can be made of it. What others add is left as it is.",
        json_schema_extra=conditions.LIST,
    )
    ready_to_use: bool = Field(default=False, description="Whether volumes can be made of it.")
    creation_time: str | None = Field(
        default=None, description="The moment that it is of, RFC 3339; once this is set, it is never taken again."
    )
    restore_size: str | None = Field(default=None, description="The least size of a volume that is made of it.")
    disk_bytes: int | None = Field(
        default=None, description="How much of the host's disk it takes, what it shares with its volume counted."
    )
    error: SnapshotError | None = Field(default=None, description="Why it could not be taken the last time.")


class VolumeSnapshot(Resource):
    """What a volume held at one moment: name it as the dataSource of another."""

    kind: str = "VolumeSnapshot"
    spec: VolumeSnapshotSpec = Field(description="What is wanted.")
    status: VolumeSnapshotStatus = Field(default_factory=VolumeSnapshotStatus, description="What is.")


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a snapshot may not become `changed`: what it is taken of stays as it was."""
    before = VolumeSnapshotSpec.model_validate(live.get("spec", {}))
    after = VolumeSnapshotSpec.model_validate(changed.get("spec", {}))
    if before.source == after.source:
        return []
    why = "Forbidden: a snapshot is taken once: make another one instead"
    return [Cause("spec.source", "FieldValueForbidden", why)]


def disk(document: Document) -> str:
    """Return how much of the host's disk a snapshot takes, for people."""
    count = document.get("status", {}).get("diskBytes")
    return "" if count is None else quantity.rounded(int(count))


def ready_to_use(document: Document) -> str:
    """Return whether volumes can be made of a snapshot, as kubectl shows it."""
    return str(bool(document.get("status", {}).get("readyToUse"))).lower()


DEFINITION = Definition(
    type=VolumeSnapshot,
    conditions=CONDITIONS,
    columns=(
        Column("ReadyToUse", ready_to_use, description="Whether volumes can be made of it."),
        Column("SourceVolume", field("spec.source.volumeName"), description="What it is of."),
        Column("RestoreSize", field("status.restoreSize"), description="The least size of a volume made of it."),
        Column("Disk", disk, description="How much of the host's disk it takes."),
        Column("CreationTime", field("status.creationTime"), ago=True, description="How long ago it was taken."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
    problems_with_change=problems_with_change,
)
