"""What a request asks for, as rules see it: from its path and method to verb, resource and name. Pure.

The path is read by the same function that routes it, so that what is allowed is what is done.
Source: kubernetes apiserver/pkg/endpoints/request/requestinfo.go.
"""

import re

from starlette.requests import HTTPConnection

from api.access.rules import Asked
from api.errors import NotFound
from api.http import paths, requests
from api.meta import GROUP

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
_ENTERING = ("exec", "attach", "portforward", "files")
_ONE_NAME = re.compile(r"metadata\.name==?([^,=!]+)")
READING = frozenset({"get", "list", "watch"})


def asked_of(connection: HTTPConnection) -> Asked:
    """Return what is asked for.

    Raises:
        NotFound: the path has control characters, or a slash within a name, so that nothing is there.
        BadRequest: a parameter cannot be read.
    """
    path, method = connection.scope["path"], connection.scope.get("method", "GET")
    if not path.isprintable() or b"%2f" in connection.scope.get("raw_path", b"").lower():
        raise NotFound("the server could not find the requested resource")
    found = paths.parse(path)
    if found is None:
        return Asked(_VERBS["GET"] if method == "HEAD" else method.lower(), path=path)
    name, verb = found.name, _VERBS.get(method, method.lower())
    if (found.group, found.plural, method) == (GROUP, "uploads", "PUT"):
        verb = "create"  # Whoever may upload may begin, and go on after a break.
    elif found.subresource in _ENTERING:
        verb = "create"  # To enter a run is no reading, though a WebSocket and a copy of its files begin with GET.
    elif not name and verb in ("get", "delete"):
        verb = _of_many(connection, verb)
        name = _one_name(connection)
    space = found.name if (found.group, found.plural) == ("", "namespaces") else found.namespace
    return Asked(verb, found.group, found.plural, found.subresource, space, name)


def _of_many(connection: HTTPConnection, verb: str) -> str:
    if verb == "delete":
        return "deletecollection"
    return "watch" if requests.is_set(connection, "watch") else "list"


def _one_name(connection: HTTPConnection) -> str:
    """Return the one name that a list is restricted to, so that rules for single objects reach it."""
    match = _ONE_NAME.fullmatch(connection.query_params.get("fieldSelector", ""))
    return match[1] if match else ""
