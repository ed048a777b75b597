"""Documents and a real store for tests of the API."""

from pathlib import Path
from typing import Any

from api.kinds import JOB, RUNTIME, Kind
from api.meta import Document
from api.objects import admission
from api.objects.admission import Admitted
from api.objects.verbs import Verbs, WriteOptions
from state.store import Store
from support.hand_clock import HandClock


def a_job(name: str = "etl", *, metadata: Document | None = None, **spec: Any) -> Document:
    """Return a Job's document; `spec` fields are in JSON spelling."""
    body = {"command": ["true"]} | spec
    return {
        "apiVersion": JOB.api_version,
        "kind": "Job",
        "metadata": {"name": name} | (metadata or {}),
        "spec": {field: value for field, value in body.items() if value is not None},
    }


def a_runtime(name: str = "python-3.11", **spec: Any) -> Document:
    """Return a Runtime's document."""
    return {"apiVersion": RUNTIME.api_version, "kind": "Runtime", "metadata": {"name": name}, "spec": spec}


def admit(kind: Kind, document: object, namespace: str, options: WriteOptions) -> Admitted:
    """Return a whole object as the verbs store a new one: received, then validated."""
    admitted = admission.receive(kind, document, namespace, options)
    admission.validate(kind, admitted.document)
    return admitted


def by(manager: str, **options: Any) -> WriteOptions:
    """Return the write options of a field manager."""
    return WriteOptions(field_manager=manager, **options)


def open_verbs(path: Path, clock: HandClock | None = None) -> tuple[Verbs, Store]:
    """Return verbs over a new store in `path`, with the namespace `default`; the caller closes the store."""
    clock = clock or HandClock()
    store = Store.open(path / "store.db", clock)
    verbs = Verbs(store, clock)
    verbs.bootstrap()
    return verbs, store
