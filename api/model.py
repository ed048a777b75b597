"""The frozen pydantic base of all API types, and what every object has: its kind and its metadata.

JSON is camelCase, Python snake_case. Unknown fields are kept when an object is read back, so that a downgrade loses
nothing; `api/objects/admission.py` finds and prunes them on the way in.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.meta import API_VERSION, Document, ObjectKey

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
