"""Whose rules: roles and bindings as one policy, and what it decides. Pure.

Invariant: nothing is allowed that no rule allows; there are no rules that deny, so the order of bindings says nothing.
Source: kubernetes.io, "Using RBAC Authorization".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from api.access.rules import ALL, Asked, Rule, uncovered
from api.access.users import User
from api.errors import About, Forbidden
from api.meta import Document

RBAC = "rbac.authorization.k8s.io"
READ_ONLY = ("get", "head")
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/", "/", "/ca")
_HEALTH = ("/healthz", "/livez", "/readyz")
EVERYBODY: tuple[Rule, ...] = (
    Rule(READ_ONLY, paths=(*_DISCOVERY, *_HEALTH)),
    Rule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews", "tokenreviews")),
)
"""What every known user may, in every scope: ask what there is, and what it may."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and by what."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A binding with the rules of its role; `namespace` empty is everywhere."""

    binding: str
    namespace: str
    users: frozenset[str]
    groups: frozenset[str]
    rules: tuple[Rule, ...]

    def is_for(self, user: User) -> bool:
        """Whether the user is one of its subjects."""
        return user.name in self.users or not self.groups.isdisjoint(user.groups)

    def reaches(self, namespace: str) -> bool:
        """Whether it holds for what is in `namespace`; for all namespaces at once only what holds everywhere does."""
        return not self.namespace or self.namespace == namespace


@dataclass(frozen=True, slots=True)
class Policy:
    """All grants there are, and the roles, by namespace and name; cluster roles are in the namespace ``."""

    grants: tuple[Grant, ...] = ()
    roles: tuple[tuple[tuple[str, str], tuple[Rule, ...]], ...] = ()

    def rules_of_role(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """Return the rules of a role, or None if there is none."""
        return next((rules for key, rules in self.roles if key == (namespace, name)), None)

    def rules_of(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yield the rules that the user's roles give in `namespace`, whatever the scope."""
        for grant in self._grants_of(user, namespace):
            yield from grant.rules

    def decide(self, user: User, asked: Asked) -> Decision:
        """Return whether the user may."""
        if any(rule.allows(asked) for rule in EVERYBODY):
            return Decision(allowed=True, reason="every known user may")
        if user.scope is not None and not any(scope.allows(asked) for scope in user.scope):
            return Decision(allowed=False, reason="the token is not for this")
        if user.is_master:
            return Decision(allowed=True, reason="the user is in system:masters")
        for grant in self._grants_of(user, asked.namespace):
            if any(rule.allows(asked) for rule in grant.rules):
                return Decision(allowed=True, reason=f"allowed by {grant.binding}")
        return Decision(allowed=False)

    def lacking(self, user: User, namespace: str, wanted: Iterable[Rule]) -> tuple[Rule, ...]:
        """Return what of `wanted`, in `namespace`, the user does not have, and so cannot give."""
        wanted = tuple(wanted)
        missing = () if user.is_master else uncovered((*EVERYBODY, *self.rules_of(user, namespace)), wanted)
        if user.scope is None:
            return missing
        within = [each.rule for each in user.scope if not each.namespaces or namespace in each.namespaces]
        return tuple(dict.fromkeys((*missing, *uncovered(within, wanted))))

    def _grants_of(self, user: User, namespace: str) -> Iterator[Grant]:
        return (grant for grant in self.grants if grant.reaches(namespace) and grant.is_for(user))


def policy_of(
    cluster_roles: Iterable[Document],
    roles: Iterable[Document],
    cluster_bindings: Iterable[Document],
    bindings: Iterable[Document],
) -> Policy:
    """Return the policy that these objects make; a binding to a role that is not there gives nothing."""
    found = {("", _name(role)): _rules(role) for role in cluster_roles}
    found |= {(role["metadata"]["namespace"], _name(role)): _rules(role) for role in roles}
    grants = [
        grant
        for binding in (*cluster_bindings, *bindings)
        if (grant := _grant(binding, binding["metadata"].get("namespace", ""), found)) is not None
    ]
    return Policy(tuple(grants), tuple(found.items()))


def role_of(binding: Document) -> tuple[str, str]:
    """Return the namespace and the name of the role that a binding refers to."""
    reference = binding.get("roleRef") or {}
    space = binding["metadata"].get("namespace", "") if reference.get("kind") == "Role" else ""
    return space, str(reference.get("name", ""))


def _grant(binding: Document, namespace: str, roles: dict[tuple[str, str], tuple[Rule, ...]]) -> Grant | None:
    reference = binding.get("roleRef") or {}
    if reference.get("kind") == "Role" and not namespace:
        return None
    rules = roles.get(role_of(binding))
    if rules is None:
        return None
    subjects = binding.get("subjects") or ()
    users = {_user_of(subject) for subject in subjects if subject.get("kind") in ("User", "ServiceAccount")}
    groups = {subject["name"] for subject in subjects if subject.get("kind") == "Group"}
    said = f'{binding["kind"]} "{_name(binding)}" of {reference.get("kind")} "{reference.get("name")}"'
    return Grant(said, namespace, frozenset(users), frozenset(groups), rules)


def _user_of(subject: Document) -> str:
    if subject["kind"] == "ServiceAccount":
        return f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"
    return str(subject["name"])


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])


def _rules(role: Document) -> tuple[Rule, ...]:
    return tuple(Rule.of(rule) for rule in role.get("rules") or ())


def refusal(user: User, asked: Asked, why: str = "") -> Forbidden:
    """Return the refusal in Kubernetes' words."""
    because = f": {why}" if why else ""
    if not asked.resource:
        return Forbidden(f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"{because}')
    about = About(asked.group, asked.resource, asked.name)
    named = str(about) if asked.name else str(about).partition(' "')[0]
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    what = f'cannot {asked.verb} resource "{asked.full_resource}" in API group "{asked.group}" {where}'
    return Forbidden(f'{named} is forbidden: User "{user.name}" {what}{because}', about)


__all__ = ["ALL", "EVERYBODY", "RBAC", "Decision", "Grant", "Policy", "policy_of", "refusal", "role_of"]
