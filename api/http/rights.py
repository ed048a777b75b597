"""Who asks, and what that user may do: what reviews answer from. The one place that knows where a request keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from api.meta import Document


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something that might be done: to a resource, or to a path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Rights(Protocol):
    """A user, and its rights."""

    @property
    def name(self) -> str:
        """The user's name."""
        ...

    @property
    def groups(self) -> Sequence[str]:
        """The groups that it is in."""
        ...

    def allows(self, wanted: Wanted) -> tuple[bool, str]:
        """Return whether it may, and why or why not."""
        ...

    def rules(self, namespace: str) -> Sequence[Document]:
        """Return the rules that hold for it in a namespace, as roles write them."""
        ...


@dataclass(frozen=True, slots=True)
class Owner:
    """Whoever can open the unix socket, which is root's: it may do everything."""

    name: str = "root"
    groups: tuple[str, ...] = ("system:masters", "system:authenticated")

    def allows(self, _wanted: Wanted) -> tuple[bool, str]:
        """Return that it may."""
        return True, "the unix socket is open to its owner alone"

    def rules(self, _namespace: str) -> Sequence[Document]:
        """Return the rules that allow everything."""
        return (
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        )


def rights_of(_request: Request) -> Rights:
    """Return the rights of whoever sends a request."""
    return Owner()
