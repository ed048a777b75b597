"""The steps that a CronJob's plan is made of, as plain data; `act.py` carries them out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Missed(StrEnum):
    """Why a time had no job, as it is counted."""

    TOO_LATE = "too_late"
    """It was noticed after startingDeadlineSeconds were over."""
    SUPERSEDED = "superseded"
    """A later time had come too when it was noticed, and only the newest gets a job."""


@dataclass(frozen=True, slots=True)
class StartJob:
    """Make the job for a time; doing so twice makes one. `missed` earlier times get none."""

    name: str
    moment: datetime
    missed: int = 0


@dataclass(frozen=True, slots=True)
class MakeAhead:
    """Make the job for a time that is to come, to start then; doing so twice makes one."""

    name: str
    moment: datetime


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a job of it: a later one replaces it, or enough later ones have ended."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Delete a job that was made ahead of a time that it is not to start at any more: that time has had none."""

    name: str
    uid: str
    moment: datetime


@dataclass(frozen=True, slots=True)
class PassOver:
    """Start nothing for a time that it is too late for, nor for the `missed` before it."""

    moment: datetime
    missed: int = 0
