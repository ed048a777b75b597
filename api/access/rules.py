"""Rules and what they allow, by Kubernetes' rules of matching. Pure.

Here: one request against one rule, and whether rules cover others. Never here: whose rules (`policy.py`).
Invariant: a rule only ever adds rights, and a scope only ever takes them away.
Source: kubernetes pkg/apis/rbac/v1/evaluation_helpers.go and pkg/registry/rbac/validation/policy_compact.go.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

ALL = "*"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: a verb on a resource, or on a path that is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """The resource as rules write it, such as `pods/exec`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role; no `names` are all of them."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Rule":
        """Return the rule that a role's JSON has."""
        return cls(
            tuple(document.get("verbs") or ()),
            tuple(document.get("apiGroups") or ()),
            tuple(document.get("resources") or ()),
            tuple(document.get("resourceNames") or ()),
            tuple(document.get("nonResourceURLs") or ()),
        )

    def to_document(self) -> dict[str, Any]:
        """Return its JSON."""
        named = {"verbs": self.verbs, "apiGroups": self.groups, "resources": self.resources}
        named |= {"resourceNames": self.names, "nonResourceURLs": self.paths}
        return {name: list(values) for name, values in named.items() if values}

    def allows(self, asked: Asked) -> bool:
        """Return whether the rule allows it.

        >>> Rule(("get",), ("",), ("pods/log",)).allows(Asked("get", "", "pods", "log", "default", "etl-1"))
        True
        >>> Rule(("get",), ("",), ("pods",)).allows(Asked("get", "", "pods", "log", "default", "etl-1"))
        False
        """
        if asked.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not asked.resource:
            return any(_is_path(path, asked.path) for path in self.paths)
        return (
            (asked.group in self.groups or ALL in self.groups)
            and _is_resource(self.resources, asked)
            and (not self.names or (bool(asked.name) and asked.name in self.names))
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for: a rule, in these namespaces; none named is everywhere."""

    rule: Rule
    namespaces: tuple[str, ...] = ()

    def allows(self, asked: Asked) -> bool:
        """Return whether it is within the scope. What is of no one namespace is not in any that is named."""
        return self.rule.allows(asked) and (not self.namespaces or asked.namespace in self.namespaces)


def _is_resource(resources: Iterable[str], asked: Asked) -> bool:
    wanted = asked.full_resource
    any_of_sub = f"{ALL}/{asked.subresource}" if asked.subresource else None
    return any(resource in (ALL, wanted, any_of_sub) for resource in resources)


def _is_path(pattern: str, path: str) -> bool:
    if pattern == ALL:
        return True
    return path.startswith(pattern[:-1]) if pattern.endswith(ALL) else path == pattern


def uncovered(held: Iterable[Rule], wanted: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the parts of `wanted` that no single rule of `held` covers; a wildcard is covered by a wildcard only."""
    held = tuple(held)
    return tuple(atom for rule in wanted for atom in atoms(rule) if not any(_covers(own, atom) for own in held))


def atoms(rule: Rule) -> Iterator[Rule]:
    """Yield the rules of one verb, group, resource and name, or of one verb and path, that make up `rule`."""
    for verb, path in product(rule.verbs, rule.paths):
        yield Rule((verb,), paths=(path,))
    for verb, group, resource, name in product(rule.verbs, rule.groups, rule.resources, rule.names or ("",)):
        yield Rule((verb,), (group,), (resource,), (name,) if name else ())


def _covers(own: Rule, atom: Rule) -> bool:
    if not _has(own.verbs, atom.verbs[0]):
        return False
    if atom.paths:
        return any(_is_path(path, atom.paths[0]) for path in own.paths)
    return (
        _has(own.groups, atom.groups[0])
        and _has_resource(own.resources, atom.resources[0])
        and (not own.names or (bool(atom.names) and atom.names[0] in own.names))
    )


def _has(own: Iterable[str], wanted: str) -> bool:
    return any(each in (ALL, wanted) for each in own)


def _has_resource(own: Iterable[str], wanted: str) -> bool:
    _, slash, subresource = wanted.partition("/")
    return any(each in (ALL, wanted) or (slash and each == f"{ALL}/{subresource}") for each in own)
