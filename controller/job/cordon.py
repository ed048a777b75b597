"""Whether this host takes new runs: what its Node says, which `rnx cordon` and `uncordon` change, as kubectl does."""

from api.kinds import NODE
from api.meta import Document, ObjectKey
from api.ports import Change, ChangeType, Storage


class Cordon:
    """Knows it as it was told last. Not safe for several threads: who asks holds a lock."""

    def __init__(self, storage: Storage, node_name: str) -> None:
        """Read it of the node in `storage`."""
        self._key = ObjectKey(NODE.name, "", node_name)
        self.why = self._why(storage.get(self._key))
        """Why no run begins; empty if runs do."""

    def changed(self, change: Change) -> bool:
        """Know the node anew; return whether that made a difference."""
        if change.key != self._key:
            return False
        before, self.why = self.why, self._why(None if change.type is ChangeType.DELETED else change.document)
        return self.why != before

    def _why(self, node: Document | None) -> str:
        if node is None or not node.get("spec", {}).get("unschedulable"):
            return ""
        return "this host is cordoned, so no run begins on it: rnx uncordon opens it again"
