"""What an Event says: core/v1 Event documents, made and counted up. Pure.

An event's name is made of what it says, so that saying it again finds it, also after a restart, and
counts it up instead of adding another.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.meta import Document, ObjectKey, wire_time
from api.model import Resource

_MOST_MESSAGE_CHARACTERS = 1024  # Source: kubernetes pkg/apis/core/validation/events.go, NoteLengthLimit.
_MOST_NAME_CHARACTERS = 253
_HOME_OF_CLUSTER_SCOPED = "default"


class EventType(StrEnum):
    """Whether anybody should worry."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Also:
    """Another object of the same namespace that something is about as well."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Saying:
    """One thing said about one object; equal sayings are one event with a count."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    also: "Also | None" = None

    @property
    def key(self) -> ObjectKey:
        """The key of the Event that says it."""
        said = "\0".join((self.kind, self.uid, self.type, self.reason, self.message))
        digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        # What an event is about need not be an object: a file has a name that no object may have.
        about = re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-.") or "unnamed"
        name = f"{about[: _MOST_NAME_CHARACTERS - 17].rstrip('-.')}.{digest}"
        return ObjectKey("Event", self.namespace or _HOME_OF_CLUSTER_SCOPED, name)


def saying(obj: Document | Resource, type_: str, reason: str, message: str, also: Also | None = None) -> Saying:
    """Return `message` about `obj`, and about what it is `also` about, cut to what an Event may hold."""
    if isinstance(obj, Resource):
        meta = obj.metadata
        who = (obj.api_version, obj.kind, meta.namespace, meta.name, meta.uid)
    else:
        metadata = obj["metadata"]
        names = (metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))
        who = (obj["apiVersion"], obj["kind"], *names)
    cut = message if len(message) <= _MOST_MESSAGE_CHARACTERS else f"{message[: _MOST_MESSAGE_CHARACTERS - 1]}…"
    return Saying(*who, str(type_), reason, cut, also)


def event(said: Saying, count: int, first: datetime, last: datetime, component: str, host: str) -> Document:
    """Return the Event that says `said` for the first time, `count` times at once."""
    key = said.key
    involved = {"apiVersion": said.api_version, "kind": said.kind, "namespace": said.namespace}
    also = {} if said.also is None else {"related": _reference(said.also, said.namespace)}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "involvedObject": involved | {"name": said.name, "uid": said.uid},
        "type": said.type,
        "reason": said.reason,
        "message": said.message,
        "count": count,
        "firstTimestamp": wire_time(first),
        "lastTimestamp": wire_time(last),
        "source": {"component": component, "host": host},
        "reportingComponent": component,
        "reportingInstance": host,
        **also,
    }


def _reference(also: Also, namespace: str) -> Document:
    about = {"apiVersion": also.api_version, "kind": also.kind, "namespace": namespace}
    return about | {"name": also.name, "uid": also.uid}


def counted_again(document: Document, count: int, last: datetime) -> Document:
    """Return the Event `document`, said `count` times more."""
    return document | {"count": int(document.get("count", 1)) + count, "lastTimestamp": wire_time(last)}
