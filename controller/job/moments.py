"""Moments as whole microseconds, which compare and subtract fast and exactly. Pure."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment_: datetime) -> int:
    """Return a moment in whole microseconds.

    >>> moment(micros(_EPOCH + timedelta(microseconds=5))).microsecond
    5
    """
    return (moment_ - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """Return the moment of whole microseconds."""
    return _EPOCH + timedelta(microseconds=microseconds)
