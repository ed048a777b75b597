"""The audit log: who asked for what, from where, and what was answered; written before the answer is sent.

What lasts (a watch, a session in a run, …) has a second entry at its end.
Never here: bodies, queries, tokens, or the file (`controller/daemon/audit_file.py`). Health pages are not logged.
"""

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.rules import Asked
from api.access.users import User
from api.meta import Document, wire_micro_time
from api.objects.verbs import Clock
from api.ports import AuditLog

HEALTH_PAGES = ("/healthz", "/livez", "/readyz")
_KEY = "runwright.facts"
_MOST_TEXT = 256
_NOBODY_HEARD = 499
_CODES = {"websocket.accept": 101, "websocket.close": 403}
_STARTS = ("http.response.start", "websocket.http.response.start", *_CODES)


@dataclass(slots=True)
class Facts:
    """What is found out about a request while it is being answered."""

    user: User | None = None
    asked: Asked | None = None
    name: str = ""
    reason: str = ""
    address: str = ""
    lasts: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


def facts_of(scope: Scope) -> Facts:
    """Return the facts of a request, to be added to."""
    facts: Facts = scope.setdefault(_KEY, Facts())
    return facts


class Audit:
    """Stands around everything else, and writes one line for each request."""

    def __init__(self, app: ASGIApp, log: AuditLog, clock: Clock) -> None:
        """Log what `app` answers."""
        self._app = app
        self._log = log
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; whatever is answered is on record first."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in HEALTH_PAGES:
            await self._app(scope, receive, send)
            return
        facts, begun, answered = facts_of(scope), monotonic(), 0

        def write(code: int) -> None:
            nonlocal answered
            if not answered:
                answered = code
                self._log.write(_entry(scope, code) | {"time": wire_micro_time(self._clock.now())})

        async def sending(message: Message) -> None:
            if message["type"] in _STARTS:
                write(message.get("status") or _CODES.get(message["type"], 0))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            write(_NOBODY_HEARD)
            if facts.lasts and answered < 400:
                lasted = {"ended": True, "seconds": round(monotonic() - begun, 3)}
                self._log.write(_entry(scope, answered) | {"time": wire_micro_time(self._clock.now())} | lasted)


def _entry(scope: Scope, code: int) -> Document:
    facts, headers = facts_of(scope), Headers(scope=scope)
    user, asked = facts.user, facts.asked
    entry: Document = {"time": "", "code": code, "method": scope.get("method", "GET"), "path": scope["path"][:1024]}
    if user is not None:
        entry |= {"user": user.name, "groups": list(user.groups), "via": user.via}
    if asked is not None:
        entry |= _object(asked, facts.name)
    entry |= {"sourceIP": facts.address, "userAgent": headers.get("user-agent", "")[:_MOST_TEXT]}
    entry |= {"dryRun": True} if b"dryRun=" in scope.get("query_string", b"") else {}
    return entry | ({"reason": facts.reason[:_MOST_TEXT]} if facts.reason else {}) | facts.fields


def _object(asked: Asked, name: str) -> Document:
    if not asked.resource:
        return {"verb": asked.verb}
    named = {
        "group": asked.group,
        "resource": asked.resource,
        "subresource": asked.subresource,
        "namespace": asked.namespace,
        "name": asked.name or name,
    }
    return {"verb": asked.verb, "object": {key: value for key, value in named.items() if value}}
