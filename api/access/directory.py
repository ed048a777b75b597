"""What the store holds of access, as one snapshot that is never older than the last acknowledged write.

Here: which tokens and certificates are known, and the policy of the roles. Never here: what is decided from it.
Invariant: a snapshot is whole, and who asks after a revocation was acknowledged does not get one from before it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.access.policy import Policy, policy_of
from api.errors import Expired
from api.kinds import ACCESS_KINDS, CERTIFICATE, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, TOKEN, Kind
from api.meta import Document
from api.ports import Storage

_KINDS = frozenset(kind.name for kind in ACCESS_KINDS)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is to decide from: tokens by digest, certificates by serial number, and the policy."""

    policy: Policy = field(default_factory=Policy)
    tokens: Mapping[str, Document] = field(default_factory=dict)
    certificates: Mapping[str, Document] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A snapshot, and a revision up to which nothing has made it another."""

    revision: int
    snapshot: Snapshot


class Directory:
    """Keeps a snapshot of a store; safe to use from several threads."""

    def __init__(self, storage: Storage) -> None:
        """Follow `storage`."""
        self._storage = storage
        self._lock = threading.Lock()
        self._moment: _Moment | None = None

    def ready(self) -> Snapshot | None:
        """Return the snapshot if nothing that was written since it was taken is of access; quick.

        The journal is read and no wake-up relied on: of writes that share a commit, some return before it.
        """
        return moment.snapshot if (moment := self._moved_on()) is not None else None

    def current(self) -> Snapshot:
        """Return a snapshot that has all that was acknowledged before the call; reads the store if need be."""
        with self._lock:
            moment = self._moved_on()
            if moment is None:
                revision = self._storage.revision()
                moment = self._moment = _Moment(revision, self._read())
            return moment.snapshot

    def _moved_on(self) -> _Moment | None:
        """Return the moment moved on to now, or None if the snapshot may be another by now.

        Whoever else moves it on meanwhile, each moment is true by itself.
        """
        moment = self._moment
        if moment is None:
            return None
        newest = self._storage.revision()
        if newest == moment.revision:
            return moment
        try:
            is_other = bool(self._storage.changes(moment.revision, kind=_KINDS, limit=1))
        except Expired:
            return None
        if is_other:
            return None
        self._moment = moment = _Moment(newest, moment.snapshot)
        return moment

    def _read(self) -> Snapshot:
        def items(kind: Kind) -> tuple[Document, ...]:
            return self._storage.list(kind.name).items

        tokens = {item["spec"]["sha256"]: item for item in items(TOKEN) if not _is_going(item)}
        certificates = {item["metadata"]["name"]: item for item in items(CERTIFICATE) if not _is_going(item)}
        policy = policy_of(items(CLUSTER_ROLE), items(ROLE), items(CLUSTER_ROLE_BINDING), items(ROLE_BINDING))
        return Snapshot(policy, tokens, certificates)


def _is_going(document: Document) -> bool:
    """Whether it is deleted but for its finalizers: that revokes it too."""
    return "deletionTimestamp" in document["metadata"]
