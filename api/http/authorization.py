"""The gate: every request passes here once, is somebody's, is allowed or refused; then, and only then, a route runs.

It leaves in the state of the request who asks (`user`), what decides (`policy`), and what checks the objects that
are to be written (`admit`). Invariant: nothing but the health pages is answered to somebody unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import giving
from api.access.directory import Directory, Snapshot
from api.access.policy import Policy, refusal
from api.access.rules import Asked
from api.access.users import NOBODY, User
from api.errors import ApiError, ServiceUnavailable, Unauthorized
from api.http import answers, asking
from api.http.audit import HEALTH_PAGES, Facts, facts_of
from api.http.authentication import HostUser, become, is_plain_master, owner_only, user_of
from api.http.feed import Threads
from api.http.peers import Peer
from api.kinds import Kind
from api.meta import Document
from api.objects.patch import PatchType
from api.objects.verbs import Clock
from api.ports import AuditLog, CertificateAuthority

_THREADS = 8
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


class Gate:
    """Authenticates and authorizes."""

    def __init__(self, app: ASGIApp, directory: Directory, access: Access, clock: Clock) -> None:
        """Stand before `app`."""
        self._app = app
        self._directory = directory
        self._access = access
        self._clock = clock
        self._threads = Threads(_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope)
        except ApiError as error:
            facts_of(scope).reason = error.message
            if scope["type"] == "http":
                raise
            await answers.refusal(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        state, facts, headers = scope.setdefault("state", {}), facts_of(scope), Headers(scope=scope)
        peer: Peer = state.get("peer", _UNKNOWN)
        facts.address = peer.address
        if scope["type"] == "http" and scope["path"] in HEALTH_PAGES and scope["method"] in ("GET", "HEAD"):
            state |= {"user": NOBODY, "policy": Policy(), "admit": _refuse_all, "user_of_token": _know_nobody}
            return
        snapshot = await self._snapshot(headers, peer)
        facts.user = user = user_of(headers, peer, snapshot, self._clock.now(), self._access.host_user)
        facts.user = user = become(headers, user, snapshot)
        facts.asked = asked = asking.asked_of(HTTPConnection(scope))
        decision = snapshot.policy.decide(user, asked)
        if not decision.allowed:
            raise refusal(user, asked, decision.reason)
        facts.reason = decision.reason
        self._check_record(asked)
        creates = asked if _may_create(HTTPConnection(scope), asked) else None
        state |= {"user": user, "policy": snapshot.policy, "user_of_token": self._user_of_token}
        state["admit"] = _admission(snapshot.policy, user, creates, facts)

    def _user_of_token(self, token: str) -> User | None:
        try:
            headers = Headers({"authorization": f"Bearer {token}"})
            return user_of(headers, _UNKNOWN, self._directory.current(), self._clock.now(), self._access.host_user)
        except Unauthorized:
            return None

    async def _snapshot(self, headers: Headers, peer: Peer) -> Snapshot:
        if is_plain_master(headers, peer, self._access.host_user):
            return _NOTHING  # Nothing that is stored could say more or less of it.
        ready = self._directory.ready()
        return ready if ready is not None else await self._threads.call(self._directory.current)

    def _check_record(self, asked: Asked) -> None:
        """Refuse to change anything that could not be put on record."""
        if asked.verb in asking.READING or not asked.resource:
            return
        problem = self._access.audit.problem()
        if problem:
            raise ServiceUnavailable(f"cannot change anything: cannot write the audit log: {problem}")


def _may_create(connection: HTTPConnection, asked: Asked) -> bool:
    """Whether it is a patch that makes what is not there: an apply."""
    type_ = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    return asked.verb == "patch" and type_ == PatchType.APPLY


Admit = Callable[[Kind, Document | None, Document], None]


def _admission(policy: Policy, user: User, applied: Asked | None, facts: Facts) -> Admit:
    """Return what checks each object before it is stored, and puts its name on record."""

    def admit(kind: Kind, before: Document | None, after: Document) -> None:
        metadata = after["metadata"]
        facts.name = str(metadata.get("name", ""))
        if before is None and applied is not None:
            create = Asked("create", kind.group, kind.plural, "", metadata.get("namespace", ""))
            decision = policy.decide(user, create)
            if not decision.allowed:
                raise refusal(user, create, decision.reason)
        giving.check(policy, user, kind, before, after)

    return admit


def _know_nobody(_token: str) -> User | None:
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
