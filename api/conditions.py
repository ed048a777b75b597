"""Conditions: facts about an object, with the time each last changed.

Source: Kubernetes API conventions, "Typical status properties".
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import Field
from pydantic.config import JsonDict

from api.meta import wire_time
from api.model import ApiModel


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ReasonEnum(StrEnum):
    """Reasons of conditions and statuses: each member is its word, and says in `meaning` what it tells a person.

    `docs/reference/conditions.md` is made of them.
    """

    _value_: str
    meaning: str

    def __new__(cls, word: str, meaning: str) -> "ReasonEnum":
        """Make the member that is `word`."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member


class CommonReason(ReasonEnum):
    """What an object of any kind may say, beside the reasons of its own kind."""

    HOST_ERROR = "HostError", "The host refused something for now; it is tried again, with growing pauses."
    HOST_UNSUPPORTED = "HostUnsupported", "The kernel does not know what was asked of it; another kernel is needed."


class Condition(ApiModel):
    """One fact about an object."""

    type: str = Field(description="What is stated, such as Complete or Ready.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(default="", description="One CamelCase word for the cause of the last change.")
    message: str = Field(default="", description="The same for a person: what happened and what to do.")
    last_transition_time: str | None = Field(default=None, description="When the status last changed, RFC 3339.")
    observed_generation: int | None = Field(default=None, description="The generation this was said of.")


LIST: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
"""How conditions are declared: each is somebody's own, whoever else sets others."""


def merge(
    current: Sequence[Condition], wanted: Iterable[Condition], now: datetime, *, ours: Collection[str]
) -> tuple[Condition, ...]:
    """Return `wanted` with the transition times of `current` kept where the status did not change.

    Of the types in `ours`, those that `wanted` does not name are dropped: a status is a fresh observation. All others
    are somebody else's, and stay as they are.
    """
    before = {condition.type: condition for condition in current}
    said = tuple(_stamped(condition, before.get(condition.type), now) for condition in wanted)
    named = {condition.type for condition in said}
    return (*said, *(each for each in current if each.type not in ours and each.type not in named))


def _stamped(condition: Condition, before: Condition | None, now: datetime) -> Condition:
    same = before is not None and before.status == condition.status and before.last_transition_time
    stamp = before.last_transition_time if same and before is not None else wire_time(now)
    return condition.model_copy(update={"last_transition_time": stamp})


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type_), None)
