"""Event and Namespace, from Kubernetes' core group, as far as runwright uses them."""

from pydantic import Field

from api.meta import ApiModel, Resource


class ObjectReference(ApiModel):
    """Names the object that an event is about."""

    api_version: str = Field(default="", description="Its apiVersion.")
    kind: str = Field(default="", description="Its kind.")
    namespace: str = Field(default="", description="Its namespace.")
    name: str = Field(default="", description="Its name.")
    uid: str = Field(default="", description="Its uid.")


class EventSource(ApiModel):
    """Which part said it."""

    component: str = Field(default="", description="The part of runwright.")
    host: str = Field(default="", description="The host.")


class Event(Resource):
    """Something that happened to an object; kept for an hour."""

    api_version: str = "v1"
    kind: str = "Event"
    involved_object: ObjectReference = Field(default_factory=ObjectReference, description="What it happened to.")
    reason: str = Field(default="", description="One CamelCase word.")
    message: str = Field(default="", description="What happened, for a person.")
    type: str = Field(default="Normal", description="Normal or Warning.")
    count: int = Field(default=1, description="How often it happened.")
    first_timestamp: str | None = Field(default=None, description="When it first happened, RFC 3339.")
    last_timestamp: str | None = Field(default=None, description="When it last happened, RFC 3339.")
    source: EventSource = Field(default_factory=EventSource, description="Who said it.")
    reporting_component: str = Field(default="", description="Who said it, in the newer form.")


class NamespaceStatus(ApiModel):
    """Whether the namespace takes new objects."""

    phase: str = Field(default="Active", description="Active or Terminating.")


class Namespace(Resource):
    """A space of names; `default` always exists."""

    api_version: str = "v1"
    kind: str = "Namespace"
    status: NamespaceStatus = Field(default_factory=NamespaceStatus, description="Whether it takes new objects.")
