"""What each way of writing makes of the live object: the document to be stored. Pure.

Here: create, update (PUT and patches), apply, on the object or its status; ownership of fields; what
a dry run answers. What the server owns (uid, generation, …) the store sets; `verbs.py` calls both.
Invariant: a write that changes nothing returns the very `live` it was given.
"""

import json
import uuid
from datetime import datetime
from typing import Any

from api import server_owned
from api.errors import BadRequest, Conflict, Invalid, NotFound
from api.kinds import Kind
from api.meta import Document, wire_time
from api.objects import admission, apply, field_sets, giving_way, managed_fields, shapes
from api.objects.admission import WriteOptions
from api.objects.managed_fields import APPLY, UPDATE, Entry

STATUS = "status"
_KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SET_BY_SERVER = (*server_owned.IDENTITY, *server_owned.DELETION, "resourceVersion", "managedFields")


def for_create(kind: Kind, received: Document, options: WriteOptions, now: datetime) -> Document:
    """Return a new object as POST makes it.

    Raises:
        BadRequest: it names a resourceVersion.
        Invalid: it breaks its rules.
    """
    document = _new(kind, received)
    admission.validate(kind, document)
    if found := managed_fields.check(received["metadata"].get("managedFields") or []):
        raise Invalid.of(admission.about_kind(kind, document["metadata"].get("name", "")), found)
    writer = _writer(kind, options, UPDATE, "", now)
    part = field_sets.owned_part(document, "", has_status=kind.has_status)
    owned = managed_fields.after_update(_entries(received), writer, {}, part, shapes.of(kind.type))
    return _with_finalizer(kind, _with_entries(document, owned))


def _new(kind: Kind, received: Document) -> Document:
    metadata = received["metadata"]
    if metadata.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    kept = {name: value for name, value in metadata.items() if name not in _SET_BY_SERVER}
    named = {name: metadata[name] for name in ("name", "namespace", "generateName") if metadata.get(name)}
    document = received | {"metadata": named | kept}
    if kind.has_status:
        document.pop(STATUS, None)
    return document


def _completed(kind: Kind, document: Document) -> Document:
    """Fill in what every object of the kind has: not at the sender's word, so it is no manager's.

    A status is there from the first, as clients read conditions of what they have just created.
    """
    given: Document = {STATUS: {}} if kind.has_status else {}
    return document | {
        name: value for name, value in (given | dict(kind.definition.given)).items() if name not in document
    }


def _with_finalizer(kind: Kind, document: Document) -> Document:
    metadata = document["metadata"]
    document = _completed(kind, document)
    finalizers = metadata.get("finalizers", [])
    if kind.finalizer is None or kind.finalizer in finalizers:
        return document
    return document | {"metadata": metadata | {"finalizers": [*finalizers, kind.finalizer]}}


def for_update(
    kind: Kind, live: Document, received: Document, options: WriteOptions, now: datetime, subresource: str = ""
) -> Document:
    """Return `live` replaced by `received`, or with its status replaced.

    Raises:
        Invalid: the result breaks the kind's rules.
    """
    is_status = subresource == STATUS
    document = _with_status(live, received.get(STATUS)) if is_status else _replaced(kind, live, received)
    document = _completed(kind, document)
    if _is_same(live, document):
        return live
    writer = _writer(kind, options, UPDATE, subresource, now)
    if not is_status:
        document = giving_way.before_update(kind, live, document, _entries(live), writer)
    admission.validate(kind, document)
    admission.validate_change(kind, live, document)
    before, after = (field_sets.owned_part(each, subresource, has_status=kind.has_status) for each in (live, document))
    owned = managed_fields.after_update(_entries(document), writer, before, after, shapes.of(kind.type))
    return _unless_same(live, _with_entries(document, owned))


def _replaced(kind: Kind, live: Document, received: Document) -> Document:
    before, sent = live["metadata"], received["metadata"]
    if "managedFields" not in sent and "managedFields" in before:
        sent = sent | {"managedFields": before["managedFields"]}  # Absent says nothing; empty clears.
    metadata = server_owned.sent(sent) | server_owned.kept(before) | {"resourceVersion": before["resourceVersion"]}
    if causes := server_owned.added_finalizers(before, metadata):
        raise Invalid.of(admission.about_kind(kind, before["name"]), causes)
    document = server_owned.without_status(received) if kind.has_status else dict(received)
    document["metadata"] = metadata
    if kind.has_status and STATUS in live:
        document[STATUS] = live[STATUS]
    return document


def _with_status(live: Document, status: Any) -> Document:
    document = server_owned.without_status(live)
    return document if status is None else document | {STATUS: status}


def for_apply(
    kind: Kind, live: Document | None, received: Document, options: WriteOptions, now: datetime, subresource: str = ""
) -> Document:
    """Return the live object (None: there is none) with the manager's fields laid over it.

    Raises:
        BadRequest: it names managedFields.
        Conflict: another manager owns a field that would change; or a precondition does not hold.
        Invalid: the result breaks the kind's rules.
        NotFound: there is no object whose status this could be.
    """
    if received["metadata"].get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    applier = _writer(kind, options, APPLY, subresource, now)
    about = admission.about(kind, received["metadata"].get("name", ""))
    if live is None:
        if subresource:
            raise NotFound.of(about)
        return _first_applied(kind, received, applier)
    check_preconditions(kind, live, received)
    shape = shapes.of(kind.type)
    part = field_sets.owned_part(live, subresource, has_status=kind.has_status)
    wanted = field_sets.owned_part(received, subresource, has_status=kind.has_status)
    part, entries = giving_way.before_apply(kind, part, wanted, _entries(live), applier)
    applied = apply.apply(part, wanted, shape, entries, applier, force=options.force, about=about)
    if subresource == STATUS:
        document = _with_status(live, applied.document.get(STATUS))
    else:
        document = _put_back(kind, live, applied.document)
    document = _completed(kind, _with_last_applied(_with_entries(document, applied.entries), received, options))
    if _is_same(live, document):
        return live
    admission.validate(kind, document)
    admission.validate_change(kind, live, document)
    return document


def _with_last_applied(document: Document, received: Document, options: WriteOptions) -> Document:
    """Keep the annotation of kubectl's client-side apply true, where it is: who goes back to it loses no field.

    Source: k8s.io/apimachinery/pkg/util/managedfields/internal/lastappliedupdater.go.
    """
    annotations = document["metadata"].get("annotations", {})
    if options.field_manager != _KUBECTL or _LAST_APPLIED not in annotations:
        return document
    sent = received["metadata"]
    own = {name: text for name, text in sent.get("annotations", {}).items() if name != _LAST_APPLIED}
    kept = {name: value for name, value in sent.items() if name not in ("managedFields", "annotations")}
    applied = received | {"metadata": kept | {"annotations": own}}
    text = json.dumps(applied, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    return document | {"metadata": document["metadata"] | {"annotations": annotations | {_LAST_APPLIED: text}}}


def _first_applied(kind: Kind, received: Document, applier: Entry) -> Document:
    about = admission.about(kind, received["metadata"].get("name", ""))
    for field in ("uid", "resourceVersion"):
        if received["metadata"].get(field):
            why = f"{field} is set, and there is no such object"
            raise Conflict(f"Operation cannot be fulfilled on {about}: {why}", about)
    document = _new(kind, received)
    admission.validate(kind, document)
    part = field_sets.owned_part(document, "", has_status=kind.has_status)
    fields = frozenset(field_sets.leaves(part, shapes.of(kind.type))) - {()}
    owned = Entry(applier.manager, applier.operation, applier.api_version, applier.time, fields)
    return _with_finalizer(kind, _with_entries(document, [owned]))


def _put_back(kind: Kind, live: Document, part: Document) -> Document:
    metadata = part.get("metadata", {})
    kept = {name: live["metadata"][name] for name in _SET_BY_SERVER if name in live["metadata"]}
    document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata | kept}
    document |= {name: value for name, value in part.items() if name != "metadata"}
    if kind.has_status and STATUS in live:
        document[STATUS] = live[STATUS]
    return document


def check_preconditions(kind: Kind, live: Document, received: Document) -> None:
    """Check that `received` means this object, and this version if it names one.

    Raises:
        Conflict: it does not.
    """
    sent, stored = received["metadata"], live["metadata"]
    about = admission.about(kind, stored["name"])
    if sent.get("uid") and sent["uid"] != stored["uid"]:
        cause = f"UID in precondition: {str(sent['uid'])[:60]}, UID in object meta: {stored['uid']}"
        raise Conflict(f"Operation cannot be fulfilled on {about}: Precondition failed: {cause}", about)
    version = sent.get("resourceVersion")
    if version and version != stored["resourceVersion"]:
        raise Conflict.stale(about, sent=str(version)[:40], current=stored["resourceVersion"])


def pretend(live: Document | None, document: Document, now: datetime) -> Document:
    """Return what a dry run answers: the document as the store would have it, but for its revision."""
    metadata = document["metadata"]
    if live is None:
        owned = {"uid": str(uuid.uuid4()), "creationTimestamp": wire_time(now), "generation": 1}
        return document | {"metadata": metadata | owned}
    if server_owned.spec(live) == server_owned.spec(document):
        return document
    return document | {"metadata": metadata | {"generation": live["metadata"].get("generation", 0) + 1}}


def _writer(kind: Kind, options: WriteOptions, operation: str, subresource: str, now: datetime) -> Entry:
    return Entry(options.field_manager, operation, kind.api_version, wire_time(now), frozenset(), subresource)


def _entries(document: Document) -> tuple[Entry, ...]:
    return managed_fields.decode(document["metadata"].get("managedFields") or [])


def _with_entries(document: Document, entries: Any) -> Document:
    return document | {"metadata": document["metadata"] | {"managedFields": managed_fields.encode(entries)}}


def _unless_same(live: Document, document: Document) -> Document:
    return live if _is_same(live, document) else document


def _is_same(live: Document, document: Document) -> bool:
    """Return whether two documents say the same, whenever their fields were written."""
    one, other = server_owned.tidy(live["metadata"]), server_owned.tidy(document["metadata"])
    entries = one.pop("managedFields", []), other.pop("managedFields", [])
    if one != other or live | {"metadata": 0} != document | {"metadata": 0}:
        return False
    return managed_fields.same_but_times(*entries)
