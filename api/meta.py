"""What every object is known by: its key, its group and version, the times it says; and what it travels as.

Never here: the types of objects, whose base is `api/model.py`: the command line gets by without them.
"""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
"""An object as JSON: what travels and what is stored."""

GROUP = "runwright.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
ACCESS_GROUP = f"access.{GROUP}"
ACCESS_VERSION = "v1alpha1"
ACCESS_API_VERSION = f"{ACCESS_GROUP}/{ACCESS_VERSION}"
RBAC_GROUP = "rbac.authorization.k8s.io"
RBAC_API_VERSION = f"{RBAC_GROUP}/v1"
SCHEDULING_GROUP = "scheduling.k8s.io"
MANIFESTS_MANAGER_PREFIX = "manifests/"
"""Field managers of manifest sources begin so: what they have applied, they declare."""
MANIFESTS_ANNOTATION_PREFIX = f"manifests.{GROUP}/"
"""An object that a manifest source declares carries PREFIX + source, with the file or row it came from."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Names one object; prints as `job/default/etl`, or `runtime/python-3.11` when cluster-scoped."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Print kind, namespace if any, and name."""
        parts = (self.kind.lower(), self.namespace, self.name)
        return "/".join(part for part in parts if part)

    @classmethod
    def of(cls, document: Document) -> "ObjectKey":
        """Return the key of an object's JSON form."""
        metadata = document["metadata"]
        return cls(document["kind"], metadata.get("namespace", ""), metadata["name"])


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def wire_time(moment: datetime) -> str:
    """Return `moment` as the API writes times: RFC 3339, UTC, whole seconds, `Z`.

    >>> wire_time(datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def wire_micro_time(moment: datetime) -> str:
    """Return `moment` with microseconds, as MicroTime fields have them."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_time(text: str) -> datetime:
    """Return an RFC 3339 time as an aware datetime in UTC.

    Raises:
        ValueError: `text` is not an RFC 3339 time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f'cannot read "{text}" as a time: it has no zone: end it with Z')
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f'cannot read "{text}" as a time: there is no such year') from None


@functools.lru_cache(maxsize=1024)
def read_rfc3339(text: str) -> datetime:
    """Return the moment that a user wrote as RFC 3339 wants it, in UTC; unlike `read_time`, nothing else will do.

    Raises:
        ValueError: it is written in another way, or there is no such moment; the message says how to write one.
    """
    how = "write it as RFC 3339, such as 2026-12-31T23:59:00Z"
    if not _RFC3339.fullmatch(text):
        raise ValueError(f'cannot read "{text[:60]}" as a time: {how}')
    try:
        return read_time(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))
    except ValueError:
        raise ValueError(f'cannot read "{text[:60]}" as a time: there is no such moment: {how}') from None
