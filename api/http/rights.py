"""Who asks, and what that user may do: what reviews answer from. The one place that knows where a request keeps it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from starlette.requests import Request

from api.access import presets
from api.access.policy import EVERYBODY, Policy
from api.access.rules import Asked
from api.access.users import User
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
class OwnRights:
    """The rights of a user, by the same policy that lets its requests pass."""

    user: User
    policy: Policy

    @property
    def name(self) -> str:
        """The user's name."""
        return self.user.name

    @property
    def groups(self) -> Sequence[str]:
        """The groups that it is in."""
        return self.user.groups

    def allows(self, wanted: Wanted) -> tuple[bool, str]:
        """Return whether it may, and why or why not."""
        asked = Asked(**asdict(wanted))
        decision = self.policy.decide(self.user, asked)
        return decision.allowed, decision.reason

    def rules(self, namespace: str) -> Sequence[Document]:
        """Return the rules that hold for it in a namespace; of a token with a scope, those of the scope."""
        if self.user.scope is not None:
            inside = (each for each in self.user.scope if not each.namespaces or namespace in each.namespaces)
            return [rule.to_document() for rule in (*EVERYBODY, *(each.rule for each in inside))]
        if self.user.is_master:
            return [rule.to_document() for rule in presets.ADMIN]
        rules = (*EVERYBODY, *self.policy.rules_of(self.user, namespace))
        return [rule.to_document() for rule in dict.fromkeys(rules)]


def rights_of(request: Request) -> Rights:
    """Return the rights of whoever sends a request, as the gate found them."""
    return OwnRights(request.state.user, request.state.policy)
