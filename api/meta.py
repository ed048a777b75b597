"""What every object has: its key, its metadata, and the base of all API models.

Here: names, keys, times and the frozen pydantic base. JSON is camelCase, Python snake_case.
Unknown fields are kept when an object is read back, so that a downgrade loses nothing;
`api/objects/admission.py` finds and prunes them on the way in.
"""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Document: TypeAlias = dict[str, Any]
"""An object as JSON: what travels and what is stored."""

GROUP = "runwright.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
MANIFESTS_MANAGER_PREFIX = "manifests/"
"""Field managers of manifest sources begin so: what they have applied, they declare."""
MANIFESTS_ANNOTATION_PREFIX = f"manifests.{GROUP}/"
"""An object that a manifest source declares carries PREFIX + source, with the file or row it came from."""


OPEN = "x-kubernetes-preserve-unknown-fields"
"""In the schema of a model that has members of any names with a `/`, such as `nvidia.com/gpu`, besides its fields."""


class ApiModel(BaseModel):
    """Base of every API type: frozen, camelCase on the wire, unknown fields kept."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="allow", use_enum_values=False
    )

    def to_document(self) -> Document:
        """Return the JSON form: aliases, no nulls, defaults included."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Names one object; prints as `job/default/etl`, or `runtime/python-3.11` when cluster-scoped."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Print kind, namespace if any, and name."""
        parts = (self.kind.lower(), self.namespace, self.name)
        return "/".join(part for part in parts if part)

    @classmethod
    def of(cls, document: Document) -> "ObjectKey":
        """Return the key of an object's JSON form."""
        metadata = document["metadata"]
        return cls(document["kind"], metadata.get("namespace", ""), metadata["name"])


class OwnerReference(ApiModel):
    """Names the object that another exists for; when the owner goes, so does its dependent."""

    api_version: str = Field(description="The owner's apiVersion.")
    kind: str = Field(description="The owner's kind.")
    name: str = Field(description="The owner's name.")
    uid: str = Field(description="The owner's uid; another object of the same name is not the owner.")
    controller: bool | None = Field(default=None, description="True for the one owner that manages this object.")
    block_owner_deletion: bool | None = Field(
        default=None, description="True if a foreground deletion of the owner waits for this object."
    )


class ObjectMeta(ApiModel):
    """Metadata that every object has."""

    name: str = Field(default="", description="Unique in its namespace and kind; an RFC 1123 name.")
    namespace: str = Field(default="", description="The namespace; empty for cluster-scoped kinds.")
    generate_name: str | None = Field(default=None, description="Prefix of a name that the server makes unique.")
    uid: str = Field(default="", description="Set by the server; never used twice.")
    resource_version: str = Field(default="", description="Changes with every write; opaque to clients.")
    generation: int = Field(default=0, description="Counts changes of the spec.")
    creation_timestamp: str | None = Field(default=None, description="When the server created it, RFC 3339.")
    deletion_timestamp: str | None = Field(default=None, description="When its deletion was asked for, RFC 3339.")
    deletion_grace_period_seconds: int | None = Field(default=None, description="Seconds it has to end by itself.")
    labels: dict[str, str] = Field(default_factory=dict, description="Short facts to select objects by.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Free text that tools attach.")
    finalizers: tuple[str, ...] = Field(
        default=(),
        description="What must be cleaned up before it may go.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    owner_references: tuple[OwnerReference, ...] = Field(
        default=(),
        description="The objects this one exists for.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
    )
    managed_fields: tuple[dict[str, Any], ...] = Field(default=(), description="Which manager owns which fields.")

    @property
    def is_deleting(self) -> bool:
        """Whether its deletion was asked for."""
        return self.deletion_timestamp is not None


class Resource(ApiModel):
    """Base of the kinds: TypeMeta and metadata."""

    api_version: str = Field(
        default=API_VERSION, description="Group and version of the schema, runwright.dev/v1alpha1."
    )
    kind: str = Field(default="", description="The kind of the object.")
    metadata: ObjectMeta = Field(default_factory=ObjectMeta, description="Name, labels and what the server keeps.")

    @property
    def meta(self) -> ObjectMeta:
        """The object's metadata."""
        return self.metadata

    @property
    def key(self) -> ObjectKey:
        """The object's key."""
        return ObjectKey(self.kind, self.metadata.namespace, self.metadata.name)


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def wire_time(moment: datetime) -> str:
    """Return `moment` as the API writes times: RFC 3339, UTC, whole seconds, `Z`.

    >>> wire_time(datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def wire_micro_time(moment: datetime) -> str:
    """Return `moment` with microseconds, as MicroTime fields have them."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_time(text: str) -> datetime:
    """Return an RFC 3339 time as an aware datetime in UTC.

    Raises:
        ValueError: `text` is not an RFC 3339 time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f'cannot read "{text}" as a time: it has no zone: end it with Z')
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f'cannot read "{text}" as a time: there is no such year') from None


@functools.lru_cache(maxsize=1024)
def read_rfc3339(text: str) -> datetime:
    """Return the moment that a user wrote as RFC 3339 wants it, in UTC; unlike `read_time`, nothing else will do.

    Raises:
        ValueError: it is written in another way, or there is no such moment; the message says how to write one.
    """
    how = "write it as RFC 3339, such as 2026-12-31T23:59:00Z"
    if not _RFC3339.fullmatch(text):
        raise ValueError(f'cannot read "{text[:60]}" as a time: {how}')
    try:
        return read_time(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))
    except ValueError:
        raise ValueError(f'cannot read "{text[:60]}" as a time: there is no such moment: {how}') from None
