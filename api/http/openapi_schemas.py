"""The schemas that all OpenAPI documents share: metadata, lists' metadata, Status, DeleteOptions. Pure."""

from typing import Any

from api import crd
from api.meta import Document
from api.model import ObjectMeta

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
OBJECT_META = f"{_META}.ObjectMeta"
LIST_META = f"{_META}.ListMeta"
STATUS = f"{_META}.Status"
DELETE_OPTIONS = f"{_META}.DeleteOptions"
_OF_KUBERNETES = "k8s.io"


def schema_name(group: str, version: str, kind: str) -> str:
    """Return the name of a kind's schema, as Kubernetes' generators make it from the group.

    >>> schema_name("runwright.dev", "v1alpha1", "Job"), schema_name("", "v1", "Event")
    ('dev.runwright.v1alpha1.Job', 'io.k8s.api.core.v1.Event')
    """
    if not group or group.endswith(_OF_KUBERNETES):
        return f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}.{kind}"
    return ".".join([*reversed(group.split(".")), version, kind])


def reference(name: str) -> Document:
    """Return a reference to the schema called `name`."""
    return {"$ref": f"#/components/schemas/{name}"}


def meta_ref(name: str) -> Document:
    """Return a member's schema that is another one, with a description of its own."""
    return {"description": "Name, labels and what the server keeps.", "allOf": [reference(name)], "default": {}}


def list_meta_ref() -> Document:
    """Return the schema of a list's metadata."""
    return {"description": "Of when the list is, and where it goes on.", "allOf": [reference(LIST_META)], "default": {}}


def _text(description: str) -> Document:
    return {"type": "string", "description": description}


def _number(description: str) -> Document:
    return {"type": "integer", "format": "int64", "description": description}


def _object(description: str, **properties: Any) -> Document:
    return {"type": "object", "description": description, "properties": properties}


META_SCHEMAS: Document = {
    OBJECT_META: crd.schema_of_model(ObjectMeta),
    LIST_META: _object(
        "What a list says of itself.",
        resourceVersion=_text("The moment that the list shows; a watch may start after it."),
        **{"continue": _text("Set when there is more: send it back to get the next page.")},
        remainingItemCount=_number("How many objects come after this page, where that is known."),
    ),
    STATUS: _object(
        "What became of a request that answers with no object.",
        apiVersion=_text("v1."),
        kind=_text("Status."),
        metadata=_object("Nothing."),
        status=_text("Success or Failure."),
        message=_text("What happened, for a person."),
        reason=_text("What happened, one word."),
        code=_number("The HTTP code."),
        details={
            "type": "object",
            "description": "Which object it is about, and what is wrong with each field.",
            "x-kubernetes-preserve-unknown-fields": True,
        },
    ),
    DELETE_OPTIONS: _object(
        "How something is to be deleted.",
        apiVersion=_text("v1."),
        kind=_text("DeleteOptions."),
        gracePeriodSeconds=_number("Seconds that a run has to end by itself; 0 kills it at once."),
        propagationPolicy={
            "type": "string",
            "enum": ["Background", "Foreground", "Orphan"],
            "description": "What becomes of the objects that exist for this one. Default: Background.",
        },
        orphanDependents={"type": "boolean", "description": "The old form of propagationPolicy: Orphan."},
        dryRun={
            "type": "array",
            "items": {"type": "string", "enum": ["All"]},
            "description": "All: say what would happen, and do nothing.",
        },
        preconditions=_object(
            "What must be so, else the answer is 409.",
            uid=_text("The uid that the object must have."),
            resourceVersion=_text("The resourceVersion that it must have."),
        ),
    ),
}
