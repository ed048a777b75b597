"""Stores on real files, and small objects to put into them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.meta import Document, ObjectKey
from state.store import Store
from support.hand_clock import HandClock

FINALIZER = "runwright.dev/test"


def a_document(name: str = "etl", *, spec: Document | None = None, **metadata: Any) -> Document:
    """Return a Job in namespace default, as a client would send it."""
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"command": ["true"]} if spec is None else spec,
    }


def an_event(name: str = "etl.1") -> Document:
    """Return a core/v1 Event in namespace default."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {"kind": "Job", "name": "etl"},
        "reason": "Started",
    }


def job_key(name: str = "etl") -> ObjectKey:
    return ObjectKey("Job", "default", name)


def with_spec(document: Document, **fields: Any) -> Document:
    return document | {"spec": document["spec"] | fields}


def with_status(document: Document, **fields: Any) -> Document:
    return document | {"status": fields}


def with_metadata(document: Document, **fields: Any) -> Document:
    return document | {"metadata": document["metadata"] | fields}


def version(document: Document) -> int:
    return int(document["metadata"]["resourceVersion"])


def names(documents: Any) -> list[str]:
    return [document["metadata"]["name"] for document in documents]


@contextmanager
def a_store(directory: Path, clock: HandClock | None = None) -> Iterator[Store]:
    """Open DIRECTORY/store.db for the block."""
    store = Store.open(directory / "store.db", clock or HandClock())
    try:
        yield store
    finally:
        store.close()
