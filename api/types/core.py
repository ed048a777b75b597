"""Event and Namespace, from Kubernetes' core group, as far as runwright uses them."""

from pydantic import Field

from api.definition import Column, Definition, field
from api.meta import Document
from api.model import ApiModel, Resource


class ObjectReference(ApiModel):
    """Names the object that an event is about."""

    api_version: str = Field(default="", description="Its apiVersion.")
    kind: str = Field(default="", description="Its kind.")
    namespace: str = Field(default="", description="Its namespace.")
    name: str = Field(default="", description="Its name.")
    uid: str = Field(default="", description="Its uid.")
    resource_version: str = Field(default="", description="Its resourceVersion at that time.")
    field_path: str = Field(default="", description="The part of it, such as spec.containers{job}.")


class EventSource(ApiModel):
    """Which part said it."""

    component: str = Field(default="", description="The part of runwright.")
    host: str = Field(default="", description="The host.")


class EventSeries(ApiModel):
    """That it happened again and again."""

    count: int = Field(default=0, description="How often so far.")
    last_observed_time: str | None = Field(default=None, description="When it last did, RFC 3339 with microseconds.")


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
    event_time: str | None = Field(default=None, description="When it first happened, with microseconds.")
    series: EventSeries | None = Field(default=None, description="Set when it happens again and again.")
    action: str = Field(default="", description="What was done about it, one word.")
    related: ObjectReference | None = Field(default=None, description="Another object that it is about.")
    reporting_component: str = Field(default="", description="Who said it, in the newer form.")
    reporting_instance: str = Field(default="", description="Which one of them, such as the host.")


class NewEvent(Resource):
    """Something that happened to an object, in the shape of events.k8s.io; the same as the core group's Event."""

    api_version: str = "events.k8s.io/v1"
    kind: str = "Event"
    event_time: str | None = Field(default=None, description="When it happened, RFC 3339 with microseconds.")
    series: EventSeries | None = Field(default=None, description="Set when it happens again and again.")
    reporting_controller: str = Field(default="", description="Who said it.")
    reporting_instance: str = Field(default="", description="Which one of them, such as the host.")
    action: str = Field(default="", description="What was done about it, one word.")
    reason: str = Field(default="", description="One CamelCase word.")
    regarding: ObjectReference = Field(default_factory=ObjectReference, description="What it happened to.")
    related: ObjectReference | None = Field(default=None, description="Another object that it is about.")
    note: str = Field(default="", description="What happened, for a person.")
    type: str = Field(default="Normal", description="Normal or Warning.")
    deprecated_source: EventSource = Field(default_factory=EventSource, description="Who said it, in the older form.")
    deprecated_first_timestamp: str | None = Field(default=None, description="When it first happened, RFC 3339.")
    deprecated_last_timestamp: str | None = Field(default=None, description="When it last happened, RFC 3339.")
    deprecated_count: int = Field(default=1, description="How often it happened.")


class NamespaceStatus(ApiModel):
    """Whether the namespace takes new objects."""

    phase: str = Field(default="Active", description="Active or Terminating.")


class Namespace(Resource):
    """A space of names; `default` always exists."""

    api_version: str = "v1"
    kind: str = "Namespace"
    status: NamespaceStatus = Field(default_factory=NamespaceStatus, description="Whether it takes new objects.")


def _about(document: Document) -> str:
    return _object_of(document.get("involvedObject", {}))


def _regarding(document: Document) -> str:
    return _object_of(document.get("regarding", {}))


def _object_of(involved: Document) -> str:
    return f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"


EVENT_DEFINITION = Definition(
    type=Event,
    columns=(
        Column("Type", field("type"), description="Normal or Warning."),
        Column("Reason", field("reason"), description="One word."),
        Column("Object", _about, description="What it happened to."),
        Column("Count", field("count"), description="How often it happened."),
        Column("Message", field("message"), description="What happened."),
    ),
)
NAMESPACE_DEFINITION = Definition(
    type=Namespace,
    columns=(Column("Status", field("status.phase"), description="Active or Terminating."),),
)
NEW_EVENT_DEFINITION = Definition(
    type=NewEvent,
    columns=(
        Column("Type", field("type"), description="Normal or Warning."),
        Column("Reason", field("reason"), description="One word."),
        Column("Object", _regarding, description="What it happened to."),
        Column("Note", field("note"), description="What happened."),
    ),
)
