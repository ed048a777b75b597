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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is to decide from: tokens by digest, certificates by serial number, and the policy."""

    policy: Policy = field(default_factory=Policy)
    tokens: Mapping[str, Document] = field(default_factory=dict)
    certificates: Mapping[str, Document] = field(default_factory=dict)


class Directory:
    """Keeps a snapshot of a store; safe to use from several threads."""

    def __init__(self, storage: Storage) -> None:
        """Follow `storage`."""
        self._storage = storage
        self._lock = threading.Lock()
        self._revision: int | None = None
        self._snapshot = Snapshot()

    def ready(self) -> Snapshot | None:
        """Return the snapshot if nothing was written since it was taken; quick.

        The revision is read and no wake-up relied on: of writes that share a commit, some return before it.
        """
        revision, snapshot = self._revision, self._snapshot
        return snapshot if revision is not None and self._storage.revision() == revision else None

    def current(self) -> Snapshot:
        """Return a snapshot that has all that was acknowledged before the call; reads the store if need be."""
        with self._lock:
            revision = self._storage.revision()
            if revision != self._revision:
                if self._is_changed():
                    self._revision, self._snapshot = None, self._read()
                self._revision = revision
            return self._snapshot

    def _is_changed(self) -> bool:
        since = self._revision
        if since is None:
            return True
        try:
            return any(self._storage.changes(since, kind=kind.name, limit=1) for kind in ACCESS_KINDS)
        except Expired:
            return True

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
