"""What was asked of a Runtime in passing gives way to what its author declares. Pure.

A job, or a Runtime that is made of others, asks for versions of a Runtime that nobody declared yet. Whoever then
declares how it is made, whether by apply, PUT or a patch, says what there is of it, and those requests are void: what
they ask for is not on offer.
Invariant: nothing goes that another manager asked for too.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from api import runtime_spec
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
    if not _is_declared(kind, wanted, applier):
        return live, tuple(entries)
    void = _void(entries)
    left = [replace(e, fields=e.fields - void) if e.manager in ASKING_MANAGERS else e for e in entries]
    return _without(live, void), tuple(left)


def before_update(kind: Kind, live: Document, sent: Document, entries: Sequence[Entry], updater: Entry) -> Document:
    """Return what `updater` sent to replace `live`, without the requests in `live` that came along with it.

    A patch never saw them, and who sends back a changed object does not mean all that was in it before. What was said
    of versions is left as it was said: other ones than in `live`, or the one exact version that can be made.
    """
    versions = _versions(sent)
    is_said = versions != _versions(live) or (len(versions) == 1 and runtime_spec.is_version(versions[0]))
    return sent if is_said or not _is_declared(kind, sent, updater) else _without(sent, _void(entries))


def _is_declared(kind: Kind, document: Document, writer: Entry) -> bool:
    """Say whether `writer`, who does not ask in passing, says of a Runtime how it is made."""
    spec = document.get("spec")
    is_made = isinstance(spec, dict) and any(spec.get(name) is not None for name in MADE_SOURCES)
    return kind is RUNTIME and is_made and writer.manager not in ASKING_MANAGERS


def _void(entries: Sequence[Entry]) -> set[Path]:
    """Return the versions that nobody asked for but in passing."""
    kept = {path for entry in entries if entry.manager not in ASKING_MANAGERS for path in entry.fields}
    asked = {path for entry in entries if entry.manager in ASKING_MANAGERS for path in entry.fields}
    return {path for path in asked - kept if path[:2] == _VERSIONS}


def _versions(document: Document) -> list[Any]:
    spec = document.get("spec")
    versions = spec.get("versions") if isinstance(spec, dict) else None
    return versions if isinstance(versions, list) else []


def _without(live: Document, void: set[Path]) -> Document:
    versions = _versions(live)
    if not void or not versions:
        return live
    left = [version for version in versions if (*_VERSIONS, f'v:"{version}"') not in void]
    spec = {name: value for name, value in live["spec"].items() if name != "versions"}
    return live | {"spec": spec | ({"versions": left} if left else {})}
