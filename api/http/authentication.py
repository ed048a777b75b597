"""Who asks: from a request's headers and its peer to a user. Pure but for what it is given.

A bearer token comes first, then the certificate of the connection, then the process behind a unix socket. Invariant:
a proof that does not hold is refused, and never passed over for another or for nobody.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from starlette.datastructures import Headers

from api.access import users
from api.access.certificates import BadCertificate, presented
from api.access.directory import Snapshot
from api.access.giving import check_becoming
from api.access.rules import Rule, Scope
from api.access.users import AUTHENTICATED, User, known
from api.errors import Forbidden, Unauthorized
from api.http.peers import Peer
from api.meta import Document, read_time

HostUser: TypeAlias = Callable[[int, frozenset[int]], User | None]
"""Who a process on this host is, by its uid and gids; None: it may not come this way."""

MOST_TOKEN = 4096
_BECOMING = "impersonate-"
_BECOMING_USER, _BECOMING_GROUP = "impersonate-user", "impersonate-group"


def owner_only(host_uid: int, _host_gids: frozenset[int]) -> User | None:
    """Let root in, and whoever runs the daemon, and nobody else."""
    return users.ROOT_ITSELF if host_uid in (0, os.geteuid()) else None


def is_plain_master(headers: Headers, peer: Peer, host_user: HostUser) -> bool:
    """Whether it is known without looking anything up that who asks may do everything, and asks as itself."""
    if peer.host_uid is None or "authorization" in headers or _BECOMING_USER in headers:
        return False
    user = host_user(peer.host_uid, peer.host_gids)
    return user is not None and user.is_master


def user_of(headers: Headers, peer: Peer, snapshot: Snapshot, now: datetime, host_user: HostUser) -> User:
    """Return who asks.

    Raises:
        Unauthorized: there is no proof, or one that does not hold.
    """
    given = headers.getlist("authorization")
    if given:
        return _of_token(given, snapshot, now)
    if peer.certificate is not None:
        return _of_certificate(peer.certificate, snapshot, now)
    if peer.host_uid is not None:
        user = host_user(peer.host_uid, peer.host_gids)
        if user is not None:
            return user
    raise Unauthorized("Unauthorized")


def become(headers: Headers, user: User, snapshot: Snapshot) -> User:
    """Return whom `user` asks to act as, itself if nobody; the scope of a token stays.

    Raises:
        Forbidden: it may not, or asks for more than a user and groups.
    """
    asked = [name for name in headers if name.startswith(_BECOMING)]
    if not asked:
        return user
    name, groups = headers.get(_BECOMING_USER, ""), tuple(headers.getlist(_BECOMING_GROUP))
    wrong = [each for each in asked if each not in (_BECOMING_USER, _BECOMING_GROUP)]
    if wrong or not name or len(headers.getlist(_BECOMING_USER)) > 1:
        raise Forbidden("cannot act as another user: give one Impersonate-User, and Impersonate-Group if need be")
    check_becoming(snapshot.policy, user, name, groups)
    plain = tuple(group for group in groups if group != AUTHENTICATED)
    return known(name, plain, via=f"{user.via or 'user'} as {user.name}", scope=user.scope, until=user.until)


def digest_of(token: str) -> str:
    """Return what is kept of a token. It is random and long, so a plain hash cannot be searched."""
    return hashlib.sha256(token.encode()).hexdigest()


def _of_token(given: list[str], snapshot: Snapshot, now: datetime) -> User:
    scheme, _, token = given[0].partition(" ")
    token = token.strip()
    if len(given) > 1 or scheme.lower() != "bearer" or not token or len(token) > MOST_TOKEN:
        raise Unauthorized("Unauthorized")
    found = snapshot.tokens.get(digest_of(token))
    until = None if found is None else _end_of(found)
    if found is None or until is None or until <= now:
        raise Unauthorized("Unauthorized")
    spec = found["spec"]
    groups, via = tuple(spec.get("groups") or ()), f"token {found['metadata']['name']}"
    return known(spec["user"], groups, via=via, scope=scope_of(spec.get("scope")), until=until)


def scope_of(parts: list[Mapping[str, Any]] | None) -> tuple[Scope, ...] | None:
    """Return the scope of a token's JSON; an empty list is a scope of nothing."""
    if parts is None:
        return None
    return tuple(
        Scope(Rule.of({"apiGroups": ["*"], "resources": ["*"], **part}), tuple(part.get("namespaces") or ()))
        for part in parts
    )


def _of_certificate(der: bytes, snapshot: Snapshot, now: datetime) -> User:
    """The handshake has checked who signed it; here: what for, until when, and whether it still stands."""
    try:
        shown = presented(der)
    except BadCertificate:
        raise Unauthorized("Unauthorized") from None
    issued = snapshot.certificates.get(shown.serial)
    if issued is None or not shown.is_client or not shown.begins <= now <= shown.ends:
        raise Unauthorized("Unauthorized")
    spec = issued["spec"]
    if (spec["user"], tuple(spec.get("groups") or ())) != (shown.user, shown.groups):
        raise Unauthorized("Unauthorized")  # Somebody else's object has its name.
    return known(shown.user, shown.groups, via=f"certificate {shown.serial}", until=shown.ends)


def _end_of(document: Document) -> datetime | None:
    try:
        return read_time(document["spec"]["expires"])
    except (ValueError, KeyError):
        return None
