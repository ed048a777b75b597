"""What was asked of a Runtime in passing gives way to what its author declares. Pure.

A job, or a Runtime that is made of others, asks for versions of a Runtime that nobody declared yet. Whoever then
declares how it is made says what there is of it, and those requests are void: what they ask for is not on offer.
Invariant: nothing goes that another manager asked for too.
"""

from collections.abc import Sequence
from dataclasses import replace

from api.kinds import RUNTIME, Kind
from api.meta import Document
from api.objects.field_sets import Path
from api.objects.managed_fields import Entry
from api.runtime_requests import ASKING_MANAGERS
from api.types.runtime import MADE_SOURCES

_VERSIONS: Path = ("f:spec", "f:versions")


def before_apply(
    kind: Kind, live: Document, wanted: Document, entries: Sequence[Entry], applier: Entry
) -> tuple[Document, tuple[Entry, ...]]:
    """Return `live` and who owns what of it, as the parts `live` and `wanted` of an object are to be merged."""
    spec = wanted.get("spec")
    is_made = isinstance(spec, dict) and any(spec.get(name) is not None for name in MADE_SOURCES)
    if kind is not RUNTIME or not is_made or applier.manager in ASKING_MANAGERS:
        return live, tuple(entries)
    kept = {path for entry in entries if entry.manager not in ASKING_MANAGERS for path in entry.fields}
    asked = {path for entry in entries if entry.manager in ASKING_MANAGERS for path in entry.fields}
    void = {path for path in asked - kept if path[:2] == _VERSIONS}
    left = [replace(e, fields=e.fields - void) if e.manager in ASKING_MANAGERS else e for e in entries]
    return _without(live, void), tuple(left)


def _without(live: Document, void: set[Path]) -> Document:
    versions = live.get("spec", {}).get("versions")
    if not void or not isinstance(versions, list):
        return live
    left = [version for version in versions if (*_VERSIONS, f'v:"{version}"') not in void]
    spec = {name: value for name, value in live["spec"].items() if name != "versions"}
    return live | {"spec": spec | ({"versions": left} if left else {})}
