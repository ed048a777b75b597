"""Which jobs a quota is about, by its scopes. Pure.

A quota is about those that all of its scopes take; without any, about all jobs of its namespace.
Source: k8s.io/kubernetes, pkg/quota/v1/evaluator/core/pods.go, "podMatchesScopeFunc".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.types.quota_scopes import Operator, Scope
from controller.capacity.charges import Nature


@dataclass(frozen=True, slots=True)
class Requirement:
    """One scope, and how what it asks about is compared with `values`."""

    scope: str
    operator: str = Operator.EXISTS
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scopes:
    """All that a quota asks of jobs that it is about."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Scopes":
        """Return those of a quota's spec."""
        named = [Requirement(str(scope)) for scope in spec.get("scopes") or ()]
        said = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
        selected = [Requirement(each["scopeName"], each["operator"], tuple(each.get("values") or ())) for each in said]
        return cls((*named, *selected))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.requirements)

    def take(self, nature: Nature, default_class: Callable[[], str]) -> bool:
        """Whether a job that is so is one of them; one that names no class is of the one that `default_class` names."""
        return all(_takes(each, nature, default_class) for each in self.requirements)


def _takes(requirement: Requirement, nature: Nature, default_class: Callable[[], str]) -> bool:
    match requirement.scope:
        case Scope.TERMINATING:
            return nature.terminating
        case Scope.NOT_TERMINATING:
            return not nature.terminating
        case Scope.BEST_EFFORT:
            return nature.best_effort
        case Scope.NOT_BEST_EFFORT:
            return not nature.best_effort
        case Scope.PRIORITY_CLASS:
            return _is_of(requirement, nature.class_name or default_class())
    return False


def _is_of(requirement: Requirement, class_name: str) -> bool:
    """Whether a job of that class, empty for none, is meant; who has none is in no list, as of labels."""
    match requirement.operator:
        case Operator.EXISTS:
            return bool(class_name)
        case Operator.DOES_NOT_EXIST:
            return not class_name
        case Operator.IN:
            return class_name in requirement.values
        case Operator.NOT_IN:
            return class_name not in requirement.values
    return False
