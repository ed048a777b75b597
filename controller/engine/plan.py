"""A plan: what an object needs next, as plain data that prints and compares.

A step is a frozen dataclass of the kind that plans it. Waiting is a plan, not an exception.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is waited for: one word, and the same for a person."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps to take in order, what is waited for, and when to look again.

    `then` are steps for which something must be on record: they are taken when the status is stored. `again` asks for
    another pass at once after that. Where there is `then`, this pass does not look at what came of its steps: that pass
    does, or nobody has to, as a step that did not work raises.
    """

    steps: tuple[Any, ...] = ()
    waiting: Waiting | None = None
    check_again_seconds: float | None = None
    again: bool = False
    then: tuple[Any, ...] = ()

    @classmethod
    def do(cls, *steps: Any, check_again_seconds: float | None = None, again: bool = False) -> "Plan":
        """Take `steps`, in order."""
        return cls(steps, None, check_again_seconds, again)

    @classmethod
    def once_recorded(cls, *then: Any, first: tuple[Any, ...] = ()) -> "Plan":
        """Take the steps `first`, put it on record, take the steps `then`, and look again at once."""
        return cls(first, None, None, again=True, then=then)

    @classmethod
    def wait(cls, reason: str, message: str, check_again_seconds: float | None = None) -> "Plan":
        """Do nothing now; say why, and when to look again if nobody wakes us."""
        return cls((), Waiting(reason, message), check_again_seconds)

    @classmethod
    def nothing(cls, check_again_seconds: float | None = None) -> "Plan":
        """Nothing is to be done."""
        return cls((), None, check_again_seconds)
