"""Uploads that jobs refer to: whether they are here, whether they fit, and which of all are referred to.

What holds a reference is any object, of whatever kind: the template of a job may be part of it. Never here: contents
themselves (`controller.contents`).
"""

from collections.abc import Iterator
from typing import Any

from api import kinds
from api.errors import Cause
from api.meta import Document
from api.ports import Storage
from api.types.job_file import DIGEST
from api.types.job_spec import JobSpec
from controller.contents.store import Contents

_PAGE_BYTES = 4096  # A file in memory takes whole pages.


def problem(namespace: str, spec: JobSpec, contents: Contents) -> str:
    """Return which upload is not here; empty if all are. Those that are, are kept for a while from now."""
    for file in spec.files:
        if file.upload is not None and contents.size(namespace, file.upload) is None:
            return f"{file.upload} of spec.files was not uploaded in namespace {namespace}: upload it again"
    return ""


def judge(namespace: str, spec: JobSpec, contents: Contents, usual_work_bytes: int) -> list[Cause]:
    """Return what is wrong with the uploads of a job: each that is not here, or that all do not fit into /work."""
    causes, total = [], 0
    for index, file in enumerate(spec.files):
        if file.upload is None:
            continue
        size = contents.size(namespace, file.upload)
        if size is None:
            fix = "send it first, as rnx job run --upload does"
            why = f'Not found: "{file.upload}" was not uploaded in namespace {namespace}: {fix}'
            causes.append(Cause(f"spec.files[{index}].upload", "FieldValueNotFound", why))
        total += -(-(size or 0) // _PAGE_BYTES) * _PAGE_BYTES
    room = spec.resources.limits.storage_bytes or usual_work_bytes
    if total > room:
        fix = "set spec.resources.limits.ephemeral-storage higher (rnx job run --max-disk)"
        why = f"Invalid value: the uploads need {total} bytes, /work has {room}: {fix}"
        causes.append(Cause("spec.files", "FieldValueInvalid", why))
    return causes


def referred(storage: Storage) -> set[tuple[str, str]]:
    """Return all uploads that anything stored refers to, by namespace and digest."""
    found = set()
    for kind in kinds.KINDS:
        if not kind.namespaced or kind.confidential:
            continue
        for document in storage.each(kind.name, words=('"upload"',)):
            namespace = document["metadata"].get("namespace", "")
            found |= {(namespace, digest) for digest in referred_by(document)}
    return found


def referred_by(document: Document) -> set[str]:
    """Return the uploads that an object refers to, of whatever kind it is."""
    return set(_digests(document.get("spec")))


def _digests(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        upload = value.get("upload")
        if isinstance(upload, str) and DIGEST.fullmatch(upload):
            yield upload
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _digests(each)
