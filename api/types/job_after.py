"""Order between jobs: what a job waits for before its first run, and how far that is.

Here: the words in the spec and in the status, and how a job ended. Deciding is in `controller/job/after.py`.
"""

import re
from enum import StrEnum

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api.conditions import Condition, ConditionStatus, find
from api.meta import Document
from api.model import ApiModel

MOST_AFTER = 256
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class AfterCondition(StrEnum):
    """What has to be true of another job."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"


class AfterState(StrEnum):
    """Whether it is true."""

    WAITING = "Waiting"
    MET = "Met"
    NEVER = "Never"


class After(ApiModel):
    """Another job of the same namespace that this one runs after."""

    job: str = Field(min_length=1, description="The other job's name; it is in the same namespace, now or soon.")
    condition: AfterCondition = Field(
        default=AfterCondition.COMPLETE,
        description="Complete, Failed, or Finished, which is either: how the other one must have ended.",
    )

    @field_validator("job")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise PydanticCustomError("FieldValueInvalid", "must be the name of a job in the same namespace")
        return name


class AfterStatus(ApiModel):
    """How far one of `spec.after` is. What was met once stays so, whatever becomes of the other job."""

    job: str = Field(description="The other job.")
    condition: AfterCondition = Field(description="What is waited for.")
    state: AfterState = Field(description="Waiting, Met, or Never: it cannot be met any more.")
    uid: str = Field(default="", description="The other job's uid, once it was seen.")
    missing_since: str | None = Field(default=None, description="Since when there is no such job, RFC 3339.")
    reason: str = Field(default="", description="Why it can never be met, one word.")
    message: str = Field(default="", description="The same for a person: what is waited for, or why it never comes.")


def check_list(after: tuple[After, ...]) -> tuple[After, ...]:
    """Return `after`, each job of which must be there once. Raises PydanticCustomError."""
    if len(after) > MOST_AFTER:
        raise PydanticCustomError("FieldValueTooMany", "must have at most {n} items", {"n": MOST_AFTER})
    names = [each.job for each in after]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise PydanticCustomError("FieldValueDuplicate", '"{name}" is there twice', {"name": repeated})
    return after


def outcome(job: Document) -> AfterCondition | None:
    """Return how a job ended, as its present spec wants it run: Complete or Failed; None if it has not.

    >>> outcome({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}})
    """
    status = job.get("status", {})
    if status.get("observedGeneration") != job["metadata"].get("generation"):
        return None
    told = tuple(Condition.model_validate(each) for each in status.get("conditions", ()))
    for condition in (AfterCondition.COMPLETE, AfterCondition.FAILED):
        found = find(told, condition.value)
        if found is not None and found.status is ConditionStatus.TRUE:
            return condition
    return None
