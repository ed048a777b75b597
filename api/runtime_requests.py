"""Requests of people to a Runtime: annotations `requests.runwright.dev/WHAT: VALUE`, each new value one request.

A value is any text, such as a time; where it begins with versions (`1.3.1`, or `1.3.1 1.4.0 2026-01-01T00:00:00Z`), the
request is about those, else about all; words `sha256:DIGEST` in it say which contents it is about, those that
whoever asks has seen. Heard ones are in `status.requestsHeard`, by WHAT, with their values.
Pure. Invariant: `versions_in(value(versions, at)) == tuple(versions)`.
"""

from collections.abc import Iterable
from enum import StrEnum
from itertools import takewhile

from api import runtime_spec
from api.meta import Document

PREFIX = "requests.runwright.dev/"
ASKED_BY_JOBS, ASKED_BY_RUNTIMES = "runwright/jobs", "runwright/runtimes"
ASKING_MANAGERS = frozenset({ASKED_BY_JOBS, ASKED_BY_RUNTIMES})
"""The field managers of versions that were asked for in passing: for a job, or to make another runtime of."""

_DIGEST = "sha256:"

GOES_NOW = "it goes now"
GOES_AT_GC = "at rnx runtime gc"
"""How the sentence `keptBecause` of a version ends that a request for gc removes."""

IS_VERIFIED = "is what was installed"
IS_WORKING = "works"
"""What a result says after the versions, `1.0.0, 1.1.0 works`, of which there is nothing else to say."""


NOTHING_NEWER = "there is nothing newer"
"""What a result of an update says that found no newer version, and every place where one could be."""


class Request(StrEnum):
    """What may be asked of a Runtime."""

    VERIFY = "verify"
    TEST = "test"
    GC = "gc"
    UPDATE = "update"
    ROLLBACK = "rollback"
    ACCEPT = "accept"


def value(versions: Iterable[str], at: str, digests: Iterable[str] | None = None) -> str:
    """Return the value of a request made at the time `at`, about `versions`, or about all where there are none.

    With `digests` it is about these contents and no other, without any of them about none.

    >>> value(["1.3.1"], "2026-01-01T00:00:00Z"), value([], "2026-01-01T00:00:00Z")
    ('1.3.1 2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')
    >>> value(["1.3.1"], "2026-01-01T00:00:00Z", ["ab", "cd"]), value([], "2026-01-01T00:00:00Z", [])
    ('1.3.1 sha256:ab sha256:cd 2026-01-01T00:00:00Z', 'sha256: 2026-01-01T00:00:00Z')
    """
    seen = [f"{_DIGEST}{digest}" for digest in (() if digests is None else list(digests) or [""])]
    return " ".join([*versions, *seen, at])


def versions_in(text: str) -> tuple[str, ...]:
    """Return the versions that a request's value is about; none where it is about all.

    >>> versions_in("1.3.1 1.4.0 2026-01-01T00:00:00Z"), versions_in("1.3.1"), versions_in("now 1.3.1")
    (('1.3.1', '1.4.0'), ('1.3.1',), ())
    """
    return tuple(takewhile(runtime_spec.is_version, text.split(" ")))


def version_in(text: str) -> str | None:
    """Return the version that a request's value begins with, for what can be about one only; None if with none."""
    return next(iter(versions_in(text)), None)


def is_about(text: str, version: str) -> bool:
    """Say whether a request with this value is about a version.

    >>> is_about("1.3.1 1.4.0 now", "1.4.0"), is_about("1.3.1 now", "1.4.0"), is_about("now", "1.4.0")
    (True, False, True)
    """
    versions = versions_in(text)
    return not versions or version in versions


def digests_in(text: str) -> frozenset[str] | None:
    """Return the digests of the contents that a request's value is about; None if it says none, and means any.

    >>> sorted(digests_in("1.3.1 sha256:ab sha256:cd now")), digests_in("sha256: now"), digests_in("1.3.1 now")
    (['ab', 'cd'], frozenset(), None)
    """
    words = [word.removeprefix(_DIGEST) for word in text.split() if word.startswith(_DIGEST)]
    return frozenset(filter(None, words)) if words else None


def unheard(runtime: Document) -> dict[Request, str]:
    """Return the requests on a Runtime document that its status has not heard, with their values."""
    asked = runtime.get("metadata", {}).get("annotations") or {}
    heard = runtime.get("status", {}).get("requestsHeard") or {}
    found = {request: asked.get(PREFIX + request) for request in Request}
    return {request: text for request, text in found.items() if text is not None and heard.get(request) != text}


def is_collectable(kept_because: str) -> bool:
    """Say whether a version goes at a request for gc, from the sentence in its status.

    >>> is_collectable("nothing wants or uses it; it goes now"), is_collectable("spec.versions names it")
    (True, False)
    """
    return kept_because.endswith((GOES_NOW, GOES_AT_GC))


def is_newest(result: str) -> bool:
    """Say whether an update found out what is newest: it says what an entry means now, or that nothing is newer.

    >>> is_newest("latest means 1.2.0"), is_newest("there is nothing newer; 1.3.0 does not work: it is sick")
    (True, True)
    >>> is_newest("cannot look up tool@latest: there is no enabled Registry: declare one")
    False
    """
    first = result.partition("; ")[0]
    asked, means, version = first.partition(" means ")
    return first == NOTHING_NEWER or bool(asked and means and runtime_spec.is_version(version))


def is_good(result: str) -> bool:
    """Say whether all versions that were looked at are what was installed, or work.

    >>> is_good("1.0.0, 1.1.0 works"), is_good("1.0.0: it has no /bin/sh; 1.1.0 works")
    (True, False)
    """
    for said in (IS_VERIFIED, IS_WORKING):
        if result.endswith(f" {said}"):
            return all(runtime_spec.is_version(version) for version in result[: -len(said) - 1].split(", "))
    return False
