"""The gate: every request passes here once, is somebody's, is allowed or refused; then, and only then, a route runs.

It leaves in the state of the request who asks (`user`), what decides (`policy`), and what checks the objects that
are to be written (`admit`). What lasts is judged again while it does (`standing.py`).
Invariant: nothing but the health pages is answered to somebody unknown.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import anyio
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import giving
from api.access.directory import Directory, Snapshot
from api.access.policy import Policy, refusal
from api.access.rules import Asked
from api.access.users import NOBODY, ROOT_ITSELF, User
from api.errors import ApiError, ServiceUnavailable, Unauthorized
from api.http import answers, asking
from api.http.audit import HEALTH_PAGES, Facts, facts_of
from api.http.authentication import HostUser, become, is_plain_master, owner_only, user_of
from api.http.feed import Threads
from api.http.peers import Peer
from api.http.protection import is_stream
from api.http.standing import Lasting, Standing
from api.kinds import TOKEN, Kind
from api.meta import Document
from api.objects.patch import PatchType
from api.objects.verbs import Clock
from api.ports import AuditLog, CertificateAuthority, SecretsKey

log = logging.getLogger(__name__)

_THREADS = 8
_CLOSING_SECONDS = 5.0
_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1.
_UNKNOWN = Peer()
_NOTHING = Snapshot()


class _NoAuditLog:
    """Where no audit log is kept."""

    def write(self, entry: Document) -> None:
        """Keep nothing."""

    def problem(self) -> str:
        """Nothing is wrong."""
        return ""


@dataclass(frozen=True, slots=True)
class Access:
    """How users get in: by whose certificates, as which users of this host, and who keeps the record."""

    host_user: HostUser = owner_only
    audit: AuditLog = field(default_factory=_NoAuditLog)
    authority: CertificateAuthority | None = None
    secrets_key: SecretsKey | None = None


class _Judged(NamedTuple):
    """By what a request was let in, and as whom."""

    snapshot: Snapshot
    user: User


class Gate:
    """Authenticates and authorizes."""

    def __init__(self, app: ASGIApp, directory: Directory, access: Access, clock: Clock) -> None:
        """Stand before `app`."""
        self._app = app
        self._directory = directory
        self._access = access
        self._clock = clock
        self._threads = Threads(_THREADS)
        self._standing = Standing(self._newest, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            judged = await self._admit(scope)
        except ApiError as error:
            facts_of(scope).reason = error.message
            if scope["type"] == "http":
                raise
            await answers.refusal(error)(scope, receive, send)
            return
        if judged is not None and (scope["type"] == "websocket" or is_stream(scope)):
            await self._while_allowed(judged, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _while_allowed(self, judged: _Judged, scope: Scope, receive: Receive, send: Send) -> None:
        """Let what lasts go on for as long as its user may have it; what is cut off, its client sees to be."""
        facts_of(scope).lasts, begun = True, ""

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"]
            await send(message)

        lasting = Lasting(lambda newer: self._judge(scope, newer)[0].until, judged.snapshot, judged.user.until)
        why = await self._standing.while_allowed(lasting, partial(self._app, scope, receive, sending))
        if why is None:
            return
        facts_of(scope).reason = f"ended: {why.message}"
        log.warning("ended what its user may have no longer", extra={"user": judged.user.name, "path": scope["path"]})
        if not begun and scope["type"] == "http":
            raise why
        if not begun:
            await answers.refusal(why)(scope, receive, send)
        elif begun == "websocket.accept":
            with anyio.move_on_after(_CLOSING_SECONDS):
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": why.reason})

    async def _admit(self, scope: Scope) -> _Judged | None:
        """Leave in the state what decides; return by what it was let in, None if nothing had to be asked."""
        state, facts, headers = scope.setdefault("state", {}), facts_of(scope), Headers(scope=scope)
        peer: Peer = state.get("peer", _UNKNOWN)
        facts.address = peer.address
        is_plain = is_plain_master(headers, peer, self._access.host_user)
        if scope["type"] == "http" and scope["path"] in HEALTH_PAGES and scope["method"] in ("GET", "HEAD"):
            user = ROOT_ITSELF if is_plain else NOBODY
            state |= {"user": user, "policy": Policy(), "admit": _refuse_all, "user_of_token": _know_nobody}
            return None
        # Of a plain master nothing that is stored could say more or less.
        snapshot = _NOTHING if is_plain else await self._newest()
        user, asked = self._judge(scope, snapshot)
        self._check_record(asked)
        creates = asked if _may_create(HTTPConnection(scope), asked) else None
        state |= {"user": user, "policy": snapshot.policy, "user_of_token": self._user_of_token}
        state["admit"] = _admission(snapshot, user, creates, facts)
        return None if is_plain else _Judged(snapshot, user)

    def _judge(self, scope: Scope, snapshot: Snapshot) -> tuple[User, Asked]:
        """Return who asks for what, if it may; what is found out on the way is on record, allowed or not."""
        facts, headers = facts_of(scope), Headers(scope=scope)
        peer: Peer = scope["state"].get("peer", _UNKNOWN)
        facts.user = user = user_of(headers, peer, snapshot, self._clock.now(), self._access.host_user)
        facts.user = user = become(headers, user, snapshot)
        facts.asked = asked = asking.asked_of(HTTPConnection(scope))
        decision = snapshot.policy.decide(user, asked)
        if not decision.allowed:
            raise refusal(user, asked, decision.reason)
        facts.reason = decision.reason
        return user, asked

    async def _user_of_token(self, token: str) -> User | None:
        if not token.isascii():
            return None  # No header carries it: nobody could ask with it.
        snapshot = await self._newest()
        try:
            headers = Headers({"authorization": f"Bearer {token}"})
            return user_of(headers, _UNKNOWN, snapshot, self._clock.now(), self._access.host_user)
        except Unauthorized:
            return None

    async def _newest(self) -> Snapshot:
        ready = self._directory.ready()
        return ready if ready is not None else await self._threads.call(self._directory.current)

    def _check_record(self, asked: Asked) -> None:
        """Refuse to change anything that could not be put on record."""
        if asked.verb in asking.READING or (not asked.resource and asked.verb in ("head", "options")):
            return
        problem = self._access.audit.problem()
        if problem:
            raise ServiceUnavailable(f"cannot change anything: cannot write the audit log: {problem}")


def _may_create(connection: HTTPConnection, asked: Asked) -> bool:
    """Whether it is a patch that makes what is not there: an apply."""
    type_ = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    return asked.verb == "patch" and type_ == PatchType.APPLY


Admit = Callable[[Kind, Document | None, Document], None]


def _admission(snapshot: Snapshot, user: User, applied: Asked | None, facts: Facts) -> Admit:
    """Return what checks each object before it is stored, and puts its name on record."""
    policy = snapshot.policy

    def admit(kind: Kind, before: Document | None, after: Document) -> None:
        metadata = after["metadata"]
        facts.name = str(metadata.get("name", ""))
        if before is None and applied is not None:
            create = Asked("create", kind.group, kind.plural, "", metadata.get("namespace", ""))
            decision = policy.decide(user, create)
            if not decision.allowed:
                raise refusal(user, create, decision.reason)
        giving.check(policy, user, kind, before, after)
        if kind is TOKEN:
            giving.check_token(snapshot.tokens, before, after)

    return admit


async def _know_nobody(_token: str) -> User | None:
    return None


def _refuse_all(_kind: Kind, _before: Document | None, _after: Document) -> None:
    raise Unauthorized("Unauthorized")


def user_in(connection: HTTPConnection) -> User:
    """Return who asks, as the gate found it."""
    user: User = connection.state.user
    return user


def policy_in(connection: HTTPConnection) -> Policy:
    """Return what decides for this request."""
    policy: Policy = connection.state.policy
    return policy


__all__ = ["Access", "Admit", "Gate", "policy_in", "user_in"]
