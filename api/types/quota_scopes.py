"""Scopes of a ResourceQuota: of which jobs of its namespace it is; and which of them make no sense together.

Source: k8s.io/kubernetes, pkg/apis/core/validation, "validateResourceQuotaScopes", "validateScopeSelector".
"""

from collections.abc import Collection
from enum import StrEnum

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from api.model import ApiModel


class Scope(StrEnum):
    """What a quota may ask of jobs."""

    TERMINATING = "Terminating"
    NOT_TERMINATING = "NotTerminating"
    BEST_EFFORT = "BestEffort"
    NOT_BEST_EFFORT = "NotBestEffort"
    PRIORITY_CLASS = "PriorityClass"


class Operator(StrEnum):
    """How a scope compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_OPPOSITES = ((Scope.TERMINATING, Scope.NOT_TERMINATING), (Scope.BEST_EFFORT, Scope.NOT_BEST_EFFORT))
_LISTS = (Operator.IN, Operator.NOT_IN)


class ScopeRequirement(ApiModel):
    """One scope, as an expression."""

    scope_name: Scope = Field(description="Terminating, NotTerminating, BestEffort, NotBestEffort or PriorityClass.")
    operator: Operator = Field(
        description="Of PriorityClass In, NotIn, Exists or DoesNotExist; of the others there is Exists only."
    )
    values: tuple[str, ...] = Field(default=(), description="With In and NotIn: names of PriorityClasses.")

    @model_validator(mode="after")
    def _can_be_compared(self) -> "ScopeRequirement":
        if self.scope_name is not Scope.PRIORITY_CLASS and self.operator is not Operator.EXISTS:
            raise _wrong("operator", f"must be Exists for the scope {self.scope_name}")
        if self.operator in _LISTS and not self.values:
            text = "at least one value with the operator {operator}"
            raise PydanticCustomError("FieldValueRequired", text, {"operator": self.operator, "member": "values"})
        if self.operator not in _LISTS and self.values:
            raise _wrong("values", f"must be no value with the operator {self.operator}")
        return self


class ScopeSelector(ApiModel):
    """Scopes as expressions."""

    match_expressions: tuple[ScopeRequirement, ...] = Field(default=(), description="All of them have to hold.")


def check(scopes: Collection[Scope], member: str, hard: Collection[str]) -> None:
    """Refuse scopes that no job has together, and those that have nothing of what a quota is of, which is `hard`.

    Raises:
        PydanticCustomError: it says what is wrong, of that member of the spec.
    """
    for one, other in _OPPOSITES:
        if one in scopes and other in scopes:
            raise _wrong(member, f"conflicting scopes: no job is both {one} and {other}")
    for scope in scopes:
        for name in hard:
            if why := _why_not_of(scope, name):
                raise _wrong(member, f"unsupported scope applied to resource: {why}")


def _why_not_of(scope: Scope, name: str) -> str:
    """Return why a quota of such jobs cannot be of `name`; empty if it can."""
    if scope is Scope.BEST_EFFORT and name != "pods":
        return f"a quota of jobs that are BestEffort can be of pods only, not of {name}: they ask for nothing"
    plain = name.removeprefix("requests.").removeprefix("limits.")
    if plain == name and name not in ("pods", "cpu", "memory", "ephemeral-storage"):
        return f"a quota of {scope} is of what jobs have and request, not of {name}: make it another quota"
    return ""


def _wrong(member: str, why: str) -> PydanticCustomError:
    return PydanticCustomError("FieldValueInvalid", "{why}", {"why": why, "member": member})
