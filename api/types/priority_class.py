"""PriorityClass: how soon jobs of a class begin where others wait too, from Kubernetes' scheduling group."""

from enum import StrEnum

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from api.definition import Column, Definition, field
from api.errors import Cause
from api.meta import SCHEDULING_GROUP, Document
from api.model import Resource

HIGHEST_PRIORITY = 1_000_000_000
"""Of classes that users define. Source: Kubernetes, scheduling.HighestUserDefinablePriority."""
LOWEST_PRIORITY = -(1 << 31)
SYSTEM_PREFIX = "system-"


class PreemptionPolicy(StrEnum):
    """Whether runs of a lower priority are stopped for those that wait."""

    PREEMPT_LOWER_PRIORITY = "PreemptLowerPriority"
    NEVER = "Never"


class PriorityClass(Resource):
    """A class of jobs: those of a higher value begin first."""

    api_version: str = f"{SCHEDULING_GROUP}/v1"
    kind: str = "PriorityClass"
    value: int = Field(ge=LOWEST_PRIORITY, description="Jobs of a higher value come first; it cannot be changed.")
    global_default: bool = Field(default=False, description="True makes it the class of jobs that name none.")
    preemption_policy: PreemptionPolicy = Field(
        default=PreemptionPolicy.PREEMPT_LOWER_PRIORITY,
        description="PreemptLowerPriority stops runs of lower classes for its jobs, where the setting queue.preemption "
        "allows it; Never lets them wait. It cannot be changed.",
    )
    description: str = Field(default="", description="What it is for.")

    @model_validator(mode="after")
    def _is_not_the_systems(self) -> "PriorityClass":
        if self.value > HIGHEST_PRIORITY:
            raise PydanticCustomError(
                "FieldValueForbidden",
                "maximum allowed value of a user defined priority is {most}",
                {"most": HIGHEST_PRIORITY, "member": "value"},
            )
        if self.meta.name.startswith(SYSTEM_PREFIX):
            text = "priority class names with '{prefix}' prefix are reserved for system use only"
            raise PydanticCustomError("FieldValueForbidden", text, {"prefix": SYSTEM_PREFIX, "member": "metadata"})
        return self


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a PriorityClass may not become `changed`."""
    found = []
    if live.get("value") != changed.get("value"):
        found.append(Cause("value", "FieldValueForbidden", "Forbidden: may not be changed in an update."))
    default = PreemptionPolicy.PREEMPT_LOWER_PRIORITY.value
    if live.get("preemptionPolicy", default) != changed.get("preemptionPolicy", default):
        text = "Invalid value: field is immutable"
        found.append(Cause("preemptionPolicy", "FieldValueInvalid", text))
    return found


DEFINITION = Definition(
    type=PriorityClass,
    columns=(
        Column("Value", field("value"), description="Jobs of a higher value come first."),
        Column(
            "Global-Default",
            lambda document: str(document.get("globalDefault", False)).lower(),
            description="Whether it is the class of jobs that name none.",
        ),
        Column("PreemptionPolicy", field("preemptionPolicy"), wide=True, description="Whether its jobs may preempt."),
    ),
    problems_with_change=problems_with_change,
)
