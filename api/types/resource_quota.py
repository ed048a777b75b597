"""ResourceQuota: what the jobs of a namespace may have and request together, from Kubernetes' core group."""

import re

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import quantity
from api.definition import Column, Definition
from api.errors import Cause
from api.meta import Document
from api.model import ApiModel, Resource
from api.types import device_resources, quota_scopes
from api.types.quota_scopes import Operator, Scope, ScopeSelector

COUNT = "count/"
CORE_COUNTS = ("configmaps", "resourcequotas", "secrets")
"""Kinds of the core group that are counted by their plural alone, too."""
_PLAIN = frozenset({"pods", *CORE_COUNTS, "cpu", "memory", "ephemeral-storage"})
_KNOWN = (
    "requests. or limits. before cpu, memory or ephemeral-storage; requests.VENDOR/CLASS; pods; "
    f"{', '.join(CORE_COUNTS)}; or count/PLURAL.GROUP, such as count/jobs.runwright.dev"
)
_STAYS = "Invalid value: field is immutable: delete the quota and make it again, or make another beside it"
_AMOUNTS = ("cpu", "memory", "ephemeral-storage")
_COUNTED = re.compile(r"count/[a-z][a-z0-9]*(\.[a-z0-9.-]+)?")


def is_known(name: str) -> bool:
    """Say whether a quota can be of `name`, as Kubernetes writes it.

    >>> is_known("requests.cpu"), is_known("count/jobs.runwright.dev"), is_known("requests.nvidia.com/gpu")
    (True, True, True)
    >>> is_known("cores")
    False
    """
    kind, dot, of = name.partition(".")
    if name in _PLAIN or _COUNTED.fullmatch(name):
        return True
    if not dot or kind not in ("requests", "limits"):
        return False
    return of in _AMOUNTS or (kind == "requests" and device_resources.is_kind(of))


class ResourceQuotaSpec(ApiModel):
    """How much there may be."""

    hard: dict[str, str] = Field(
        default_factory=dict,
        description="The most by name: requests.cpu, requests.memory, requests.ephemeral-storage, "
        "requests.VENDOR/CLASS, "
        "limits.cpu, limits.memory, limits.ephemeral-storage and pods, of jobs that are not over; "
        "count/PLURAL.GROUP of "
        "objects, such as count/jobs.runwright.dev or count/jobs, and secrets, configmaps and resourcequotas.",
    )
    scopes: tuple[Scope, ...] = Field(
        default=(),
        description="Of which jobs of its namespace it is, all of them if there is none: Terminating, which have "
        "activeDeadlineSeconds, or NotTerminating; BestEffort, which neither request nor limit cpu or memory, or "
        "NotBestEffort; PriorityClass, which have one. They cannot be changed.",
    )
    scope_selector: ScopeSelector | None = Field(
        default=None, description="Scopes as expressions, such as PriorityClass In high, low; they hold besides scopes."
    )

    @field_validator("hard", mode="before")
    @classmethod
    def _is_text(cls, hard: object) -> object:
        if not isinstance(hard, dict):
            return hard
        return {name: str(n) if type(n) in (int, float) else n for name, n in hard.items()}

    @field_validator("hard")
    @classmethod
    def _is_of_what_is_known(cls, hard: dict[str, str]) -> dict[str, str]:
        for name, amount in hard.items():
            if not is_known(name):
                why = f"must be a standard resource for quota: {_KNOWN}"
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": why, "member": name})
            try:
                number = quantity.parse(amount)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error), "member": name}) from None
            if number < 0:
                raise PydanticCustomError("FieldValueInvalid", "must be greater than or equal to 0", {"member": name})
        return hard

    @model_validator(mode="after")
    def _has_scopes_that_make_sense(self) -> "ResourceQuotaSpec":
        selected = [each.scope_name for each in self.scope_selector.match_expressions] if self.scope_selector else []
        quota_scopes.check(self.scopes, "scopes", self.hard)
        quota_scopes.check([*self.scopes, *selected], "scopeSelector", self.hard)
        return self


class ResourceQuotaStatus(ApiModel):
    """How much there is."""

    hard: dict[str, str] = Field(default_factory=dict, description="The limits that are in force.")
    used: dict[str, str] = Field(default_factory=dict, description="How much of them is used.")


class ResourceQuota(Resource):
    """Limits for all jobs and objects of a namespace together; what would exceed them is refused."""

    api_version: str = "v1"
    kind: str = "ResourceQuota"
    spec: ResourceQuotaSpec = Field(default_factory=ResourceQuotaSpec, description="How much there may be.")
    status: ResourceQuotaStatus = Field(default_factory=ResourceQuotaStatus, description="How much there is.")


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a ResourceQuota may not become `changed`: as in Kubernetes, its scopes stay."""
    before, after = (set((each.get("spec") or {}).get("scopes") or ()) for each in (live, changed))
    return [] if before == after else [Cause("spec.scopes", "FieldValueInvalid", _STAYS)]


def scopes(document: Document) -> str:
    """Return of which jobs a quota is, as a column shows it.

    >>> expression = {"scopeName": "PriorityClass", "operator": "In", "values": ["high", "low"]}
    >>> scopes({"spec": {"scopes": ["Terminating"], "scopeSelector": {"matchExpressions": [expression]}}})
    'Terminating, PriorityClass In (high, low)'
    """
    spec = document.get("spec") or {}
    told = [*(spec.get("scopes") or ())]
    for each in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        values = f" ({', '.join(each['values'])})" if each.get("values") else ""
        how = "" if each["operator"] == Operator.EXISTS else f" {each['operator']}{values}"
        told.append(f"{each['scopeName']}{how}")
    return ", ".join(told)


def used(document: Document) -> str:
    """Return what is used, of how much, as a column shows it."""
    status = document.get("status", {})
    uses = status.get("used", {})
    return ", ".join(f"{name}: {uses.get(name, '0')}/{most}" for name, most in status.get("hard", {}).items())


DEFINITION = Definition(
    type=ResourceQuota,
    columns=(
        Column("Used", used, description="What is used, of how much."),
        Column("Scopes", scopes, wide=True, description="Of which jobs it is."),
    ),
    problems_with_change=problems_with_change,
)
