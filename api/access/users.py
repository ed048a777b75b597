"""Who asks: a user, the groups it is in, and what a token leaves it. Pure.

Names that begin with `system:` are the server's own to give, but for those of service accounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from api.access.rules import Scope

MASTERS = "system:masters"
"""The group that may do everything, whatever the roles say; so nobody can lock root out."""
AUTHENTICATED = "system:authenticated"
"""The group that every known user is in."""
ROOT = "system:root"
"""The user that root is on the unix socket."""
ANONYMOUS = "system:anonymous"
"""Who asks for the health pages, and nothing else."""
_RESERVED = "system:"
_OPEN = (AUTHENTICATED, "system:serviceaccount:", "system:serviceaccounts")

_NO_EXTRA: Mapping[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class User:
    """Somebody known; `scope` None is all that the user may do, anything else is the most of it that is left.

    `until` is when the proof that the user gave is over, None if it never is.
    """

    name: str
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_EXTRA)
    scope: tuple[Scope, ...] | None = None
    via: str = ""
    until: datetime | None = None

    @property
    def is_master(self) -> bool:
        """Whether no role is asked about this user."""
        return MASTERS in self.groups


NOBODY = User(ANONYMOUS)


def known(
    name: str,
    groups: tuple[str, ...],
    *,
    via: str,
    scope: tuple[Scope, ...] | None = None,
    until: datetime | None = None,
) -> User:
    """Return an authenticated user, who is in the group of all authenticated ones too.

    >>> known("alice", ("developers",), via="certificate").groups
    ('developers', 'system:authenticated')
    """
    return User(name, tuple(dict.fromkeys((*groups, AUTHENTICATED))), scope=scope, via=via, until=until)


ROOT_ITSELF = known(ROOT, (MASTERS,), via="socket")
"""Root of this host, on the unix socket."""


def is_reserved(name: str) -> bool:
    """Return whether the name of a user or a group is the server's own, so that no token or certificate carries it.

    >>> is_reserved("system:masters"), is_reserved("system:serviceaccount:default:ci"), is_reserved("admins")
    (True, False, False)
    """
    return name.startswith(_RESERVED) and not name.startswith(_OPEN)
