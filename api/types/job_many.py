"""Jobs of many runs: how many have to succeed, how many at a time, and which is which. As in batch/v1.

Here: the words and the rules of the fields `completions`, `parallelism`, `completionMode`, `backoffLimitPerIndex` and
`maxFailedIndexes` of a Job's spec. Never here: which run is begun (`controller/job/plan_many.py`).
"""

from enum import StrEnum
from typing import Protocol

from pydantic_core import PydanticCustomError

from api.errors import Cause
from api.meta import Document

MOST_COMPLETIONS = 100_000
MOST_PARALLELISM = 1_000
"""Each run that goes on is on record in the job's status."""
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
"""A label and an annotation of the pods of indexed jobs."""
FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-failure-count"
"""Of a pod whose job has a backoffLimitPerIndex: how often its index had failed before."""
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
INDEXED, NON_INDEXED = "Indexed", "NonIndexed"
_IMMUTABLE = "Invalid value: field is immutable"


class CompletionMode(StrEnum):
    """What has to succeed for a job to be complete."""

    NON_INDEXED = NON_INDEXED
    INDEXED = INDEXED


class Many(Protocol):
    """What a spec says of the runs of a job."""

    @property
    def completions(self) -> int | None:
        """How many have to succeed; None is any one, whose success lets no other begin."""
        ...

    @property
    def parallelism(self) -> int | None:
        """How many there are at a time at most; None is one."""
        ...

    @property
    def completion_mode(self) -> CompletionMode:
        """Whether each run has an index."""
        ...

    @property
    def backoff_limit_per_index(self) -> int | None:
        """How many retries each index has; None is no such limit."""
        ...

    @property
    def max_failed_indexes(self) -> int | None:
        """How many indexes may fail before the job does; None is all."""
        ...


def check(spec: Many) -> None:
    """Check what the fields say together. Raises PydanticCustomError."""
    indexed = spec.completion_mode is CompletionMode.INDEXED
    if indexed and spec.completions is None:
        raise PydanticCustomError("FieldValueRequired", "completions is needed when completionMode is Indexed: set it")
    if spec.backoff_limit_per_index is not None and not indexed:
        raise PydanticCustomError(
            "FieldValueInvalid", "backoffLimitPerIndex needs completionMode: Indexed: set it, or use backoffLimit"
        )
    if spec.max_failed_indexes is None:
        return
    if spec.backoff_limit_per_index is None:
        raise PydanticCustomError(
            "FieldValueRequired", "maxFailedIndexes needs backoffLimitPerIndex: set it, or leave both out"
        )
    if spec.max_failed_indexes > (spec.completions or 0):
        raise PydanticCustomError(
            "FieldValueInvalid", "maxFailedIndexes must be at most completions, {most}", {"most": spec.completions or 0}
        )


def is_indexed(document: Document) -> bool:
    """Whether the runs of a job have indexes."""
    return bool(document.get("spec", {}).get("completionMode") == INDEXED)


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a job may not become `changed`: what completes it stays, but for elastic indexed jobs.

    As in batch/v1: `completions` of an indexed job may change together with `parallelism`, so that both are the same.
    """
    before, after = live.get("spec", {}), changed.get("spec", {})
    found = [
        Cause(f"spec.{name}", "FieldValueInvalid", _IMMUTABLE)
        for name, default in (("completionMode", NON_INDEXED), ("backoffLimitPerIndex", None))
        if _said(before, name, default) != _said(after, name, default)
    ]
    was, will = _wanted(before), _wanted(after)
    if was == will or before.get("completions") == after.get("completions"):
        return found
    is_elastic = is_indexed(changed) and will is not None and will == _said(after, "parallelism", 1)
    if not is_elastic:
        why = f"{_IMMUTABLE}: an indexed job can be scaled with parallelism set to the same number"
        found.append(Cause("spec.completions", "FieldValueInvalid", why))
    return found


def _said(spec: Document, name: str, default: object) -> object:
    return default if spec.get(name) is None else spec[name]


def _wanted(spec: Document) -> object:
    """Return the completions; who says neither these nor a parallelism means 1."""
    return _said(spec, "completions", 1 if spec.get("parallelism") is None else None)


def completions(document: Document) -> str:
    """Return how many runs of a job have succeeded, and how many have to, as kubectl prints it.

    >>> completions({"spec": {"completions": 5}, "status": {"succeeded": 2}})
    '2/5'
    >>> completions({"spec": {"parallelism": 3}})
    '0/1 of 3'
    """
    spec, done = document.get("spec", {}), document.get("status", {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 1
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"
