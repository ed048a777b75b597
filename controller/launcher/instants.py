"""Instants as text: what records and logs write for the nanoseconds since 1970 that the kernel counts. Pure."""

import time

_SECOND = 1_000_000_000


def utc_text(nanoseconds: int) -> str:
    """Return an instant as RFC 3339 in UTC, to the nanosecond.

    >>> utc_text(1475712429_669794202)
    '2016-10-06T00:07:09.669794202Z'
    """
    seconds, rest = divmod(nanoseconds, _SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
