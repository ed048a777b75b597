"""Who the processes of this host are to the API, by their uid and groups. Root is the master; others, who is let in."""

import grp
import os
import pwd
from collections.abc import Iterable

from api.access.users import ROOT_ITSELF, User, known


class HostUsers:
    """Knows root, the daemon's own user, and the members of the unix groups that the settings name."""

    def __init__(self, groups: Iterable[str]) -> None:
        """Let in the members of unix groups, given as UNIX=GROUP with the group that they are in for roles.

        Raises:
            LookupError: there is no such unix group; the message says which.
        """
        pairs = (text.partition("=") for text in groups)
        self._groups = {_gid(name): group for name, _, group in pairs}
        self._owner = os.geteuid()

    @property
    def are_many(self) -> bool:
        """Whether there are any but root."""
        return bool(self._groups)

    def user(self, host_uid: int, host_gids: frozenset[int]) -> User | None:
        """Return who a process is, or None if it may not come this way."""
        if host_uid in (0, self._owner):
            return ROOT_ITSELF
        groups = tuple(sorted({self._groups[gid] for gid in host_gids if gid in self._groups}))
        return known(_name(host_uid), groups, via="socket") if groups else None


def _gid(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(
            f"cannot let the unix group {name} use the API: there is no such group: see groupadd(8)"
        ) from None


def _name(host_uid: int) -> str:
    try:
        return f"unix:{pwd.getpwuid(host_uid).pw_name}"
    except KeyError:
        return f"unix:{host_uid}"
