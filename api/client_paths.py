"""Where the client asks: the path of a kind's objects, or of one of them. Pure.

Two functions, because the two are never to be mistaken: who means one object and has no name for it gets
`BadName`, before anything is sent. Invariant: a path that names one object reaches no other, and never all.
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from api.kinds import JOB, POD, Kind
from api.meta import API_VERSION


class BadName(Exception):
    """No object can have that name, or no request that word, so nothing was sent."""


_MOST_WORDS_BYTES = 60_000
"""Of a request whose words are in its address: a server takes heads of 64 KiB."""


def path_of_all(kind: Kind, namespace: str | None) -> str:
    """Return the path of a kind's objects; `namespace` None is all of them.

    >>> from api import kinds
    >>> path_of_all(kinds.JOB, "default")
    '/apis/runwright.dev/v1alpha1/namespaces/default/jobs'
    """
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    inside = f"/namespaces/{_segment('namespace', namespace)}" if kind.namespaced and namespace else ""
    return f"{root}{inside}/{kind.plural}"


def path_of_one(kind: Kind, namespace: str | None, name: str) -> str:
    """Return the path of one object.

    >>> from api import kinds
    >>> path_of_one(kinds.JOB, "default", "etl")
    '/apis/runwright.dev/v1alpha1/namespaces/default/jobs/etl'

    Raises:
        BadName: the name is empty or leads elsewhere, or the namespace that it is in does.
    """
    if kind.namespaced:
        check_name("namespace", namespace or "")
    return f"{path_of_all(kind, namespace)}/{_segment(kind.singular, name)}"


def path_of_pod(namespace: str, pod: str) -> str:
    """Return the path of a Pod. Raises BadName.

    >>> path_of_pod("default", "etl-1")
    '/api/v1/namespaces/default/pods/etl-1'
    """
    return path_of_one(POD, namespace, pod)


def path_of_artifacts(namespace: str, job: str) -> str:
    """Return the path of what was kept of a job's runs. Raises BadName."""
    return f"{path_of_one(JOB, namespace, job)}/artifacts"


def path_of_uploads(namespace: str) -> str:
    """Return the path of a namespace's uploads. Raises BadName."""
    return f"/apis/{API_VERSION}/namespaces/{_segment('namespace', namespace)}/uploads"


def path_of_upload(namespace: str, name: str) -> str:
    """Return the path of an upload, which is named by its digest. Raises BadName."""
    return f"{path_of_uploads(namespace)}/{_segment('upload', name)}"


def path_of_usages(namespace: str | None) -> str:
    """Return the path of what runs use; `namespace` None is all of them. Raises BadName."""
    inside = f"/namespaces/{_segment('namespace', namespace)}" if namespace else ""
    return f"/apis/metrics.k8s.io/v1beta1{inside}/pods"


def check_name(what: str, name: str) -> None:
    """Refuse what cannot be one part of a path. Source: apimachinery, IsValidPathSegmentName.

    >>> check_name("job", "../x")
    Traceback (most recent call last):
    api.client_paths.BadName: cannot name a job "../x": a name may not contain "/": write it without
    """
    if not isinstance(name, str):
        raise BadName(f"cannot name a {what} {name!r}: a name is text: quote it")
    if not name:
        raise BadName(f'cannot name a {what} "": a name may not be empty: write the name')
    if name in (".", ".."):
        raise BadName(f'cannot name a {what} "{name}": a name may not be "." or "..": write the name')
    if wrong := next((sign for sign in "/%" if sign in name), ""):
        raise BadName(f'cannot name a {what} "{name[:80]}": a name may not contain "{wrong}": write it without')
    if not name.isprintable():
        raise BadName(f"cannot name a {what} {name[:80]!r}: a name may have printable characters only: write them")


def field_selector(kind: Kind, name: str) -> str:
    """Return the selector of the one object of that name. Raises BadName.

    >>> from api import kinds
    >>> field_selector(kinds.JOB, "etl")
    'metadata.name=etl'
    """
    check_name(kind.singular, name)
    if wrong := next((sign for sign in ", " if sign in name), ""):
        raise BadName(f'cannot look for a {kind.singular} "{name[:80]}": its name has a "{wrong}": rnx get tells of it')
    return f"metadata.name={name}"


def _segment(what: str, name: str) -> str:
    check_name(what, name)
    return quote(name, safe=":")


def check_text(what: str, word: str) -> None:
    """Raise BadName if `word`, which is said to be `what`, is no text: then it came from bytes that are no UTF-8."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise BadName(f"cannot send {what} {word!r:.200}: it holds bytes that are no UTF-8") from None


def check_command(command: Sequence[str]) -> None:
    """Raise BadName if a word of `command` is no text, or if they are too many to be sent."""
    for word in command:
        check_text("the word", word)
    size = len(urlencode([("command", word) for word in command]))
    if size > _MOST_WORDS_BYTES:
        raise BadName(
            f"cannot send a command of {size} bytes: {_MOST_WORDS_BYTES} at most go at once, as addresses spell them: "
            "put a script into the job with rnx cp, or give it its words by standard input"
        )
