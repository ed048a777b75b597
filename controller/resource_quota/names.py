"""By which names quotas count objects, and of which kinds. Pure.

Here, not in the type: what there is of kinds is not known there, and what was stored before can still be read.
"""

from collections.abc import Mapping
from typing import Any

from api.errors import Cause, Invalid
from api.kinds import EVENT, GROUP, KINDS, PRIORITY_CLASS, RESOURCE_QUOTA, Kind
from api.meta import Document
from api.nearest import nearest
from api.objects import admission
from api.types.resource_quota import CORE_COUNTS, COUNT

COUNTED = tuple(kind for kind in KINDS if kind.namespaced and kind is not EVENT)
"""Kinds whose objects quotas count: those that somebody writes. Events come and go by themselves."""

WATCHED = (*COUNTED, PRIORITY_CLASS)
"""Kinds whose changes may change what is used: which class is the default, too."""

_RUNS = "count/pods"


def names_of(kind: Kind) -> tuple[str, ...]:
    """Return the names by which quotas count objects of a kind: as Kubernetes does, and ours without their group too.

    >>> from api.kinds import JOB, SECRET
    >>> names_of(JOB), names_of(SECRET)
    (('count/jobs.runwright.dev', 'count/jobs'), ('count/secrets', 'secrets'))
    """
    short = (f"{COUNT}{kind.plural}",) if kind.group == GROUP else ()
    plain = (kind.plural,) if not kind.group and kind.plural in CORE_COUNTS else ()
    return (f"{COUNT}{kind.resource}", *short, *plain)


def kind_counted(name: str) -> Kind | None:
    """Return the kind whose objects a quota counts by that name; None if it counts none."""
    return next((kind for kind in COUNTED if name in names_of(kind)), None)


def refuse_uncountable(quota: Document, live: Mapping[str, Any] | None) -> None:
    """Refuse a quota of objects that are not counted, which would seem to hold and not do so.

    What `live` has too was stored before this was asked.

    Raises:
        Invalid: it names each, and what is counted.
    """
    known = (live or {}).get("spec", {}).get("hard", {})
    causes = [
        Cause(f"spec.hard[{name}]", "FieldValueInvalid", f'Invalid value: "{name:.80}": {_why(name)}')
        for name in quota.get("spec", {}).get("hard", {})
        if name.startswith(COUNT) and name not in known and kind_counted(name) is None
    ]
    if causes:
        raise Invalid.of(admission.about_kind(RESOURCE_QUOTA, quota["metadata"].get("name", "")), causes)


def _why(name: str) -> str:
    if name.partition(".")[0] == _RUNS:
        return "runs are counted as pods: write pods, which is of those that are not over"
    near = nearest(name.removeprefix(COUNT).partition(".")[0], [kind.plural for kind in COUNTED])
    hint = next((f": did you mean {names_of(kind)[0]}?" for kind in COUNTED if kind.plural == near), "")
    return f"no such objects are counted{hint}: there are {', '.join(names_of(kind)[0] for kind in COUNTED)}"
