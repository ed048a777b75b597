"""Who may have a volume at the same time, by its access modes. Pure.

Invariant: a volume that one run writes to under ReadWriteOnce is nobody else's meanwhile.
"""

from collections.abc import Collection
from dataclasses import dataclass

from api.types.volume import AccessMode


@dataclass(frozen=True, slots=True)
class User:
    """A run that has a volume."""

    job: str
    attempt: int
    read_only: bool = False

    def __str__(self) -> str:
        """Print as `run 2 of job/default/etl`."""
        return f"run {self.attempt} of {self.job}"


def may_ever(modes: Collection[AccessMode], *, read_only: bool) -> bool:
    """Say whether any run may have it so.

    >>> may_ever([AccessMode.READ_ONLY_MANY], read_only=False)
    False
    """
    return read_only or bool({AccessMode.READ_WRITE_ONCE, AccessMode.READ_WRITE_MANY} & set(modes))


def in_the_way(modes: Collection[AccessMode], users: Collection[User], *, read_only: bool) -> User | None:
    """Return whose end has to be waited for before another run has it so; None if nobody's.

    >>> writer = User("job/default/a", 1)
    >>> in_the_way([AccessMode.READ_WRITE_ONCE], [writer], read_only=True) is writer
    True
    >>> in_the_way([AccessMode.READ_WRITE_MANY], [writer], read_only=False)
    """
    if AccessMode.READ_WRITE_MANY in modes or not users:
        return None
    if read_only and AccessMode.READ_ONLY_MANY in modes:
        return next((user for user in users if not user.read_only), None)
    return next(iter(users))
