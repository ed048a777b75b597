"""What there is of a CronJob, as plain data: its jobs, and the newest of its times that is known to have had one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.cron import CronSchedule


class Ended(StrEnum):
    """How a job has ended, if it has."""

    NOT = ""
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Child:
    """A job that is the CronJob's own. `scheduled` is the time it was made for, None if a person made it."""

    name: str
    uid: str
    created: datetime
    ended: Ended = Ended.NOT
    started: datetime | None = None
    completed: datetime | None = None
    scheduled: datetime | None = None
    is_manual: bool = False
    is_deleting: bool = False

    @property
    def is_active(self) -> bool:
        """Whether it has not ended, and was started by the CronJob; one that is being deleted may still run."""
        return self.ended is Ended.NOT and not self.is_manual


@dataclass(frozen=True, slots=True)
class ObservedCronJob:
    """All that a plan is decided from, beside the CronJob itself.

    `schedule` is None if it cannot be followed, for `problem`, a reason and a message. `started` is the newest time
    that this process has started a job for.
    """

    now: datetime
    schedule: CronSchedule | None
    children: tuple[Child, ...] = ()
    started: datetime | None = None
    problem: tuple[str, str] = ("", "")

    @property
    def active(self) -> tuple[Child, ...]:
        """The jobs of it that have not ended."""
        return tuple(child for child in self.children if child.is_active)
