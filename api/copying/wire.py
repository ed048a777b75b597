"""What a stream of files is: a tar of POSIX's pax format, and what is said in it beside files. Pure.

It ends with one record of our own, `END`: a stream without it was cut short. Its value is what could not be packed.
"""

import json

MEDIA_TYPE = "application/x-tar"
END = "RUNWRIGHT.end"
"""The name of the last member, and the pax keyword in it."""
BASE_NAME = "RUNWRIGHT.name"
"""The pax keyword, of the first member, with the name that what was asked for had where it was."""
NAME = "."
"""The name of what was asked for: the tar's members are `.`, or below it."""
TIME = "mtime"
"""The pax keyword for when it was changed: decimal seconds, which no float holds to the nanosecond."""
MOST_PROBLEMS = 100
_PER_SECOND = 1_000_000_000
_LONGEST_TIME = 40
_LATEST = (1 << 63) - 1


def time_of(nanoseconds: int) -> str:
    """Return the value of `TIME`; before 1970 is 1970.

    >>> time_of(1_500_000_000_000_000_001)
    '1500000000.000000001'
    """
    seconds, rest = divmod(max(0, nanoseconds), _PER_SECOND)
    return f"{seconds}.{rest:09d}"


def nanoseconds_of(value: str) -> int:
    """Return the time that `TIME` says; 1970 if it is none.

    >>> nanoseconds_of("1500000000.000000001"), nanoseconds_of("nan")
    (1500000000000000001, 0)
    """
    seconds, _, rest = value.partition(".")
    if not (seconds.isdecimal() and rest.isdecimal() and len(value) <= _LONGEST_TIME):
        return 0
    return min(int(seconds) * _PER_SECOND + int(f"{rest:0<9.9}"), _LATEST)


def end_of(problems: list[str]) -> str:
    """Return the value of `END`.

    >>> problems_of(end_of(["a: gone"]))
    ['a: gone']
    """
    more = len(problems) - MOST_PROBLEMS
    return json.dumps(problems[:MOST_PROBLEMS] + ([f"… and {more} more"] if more > 0 else []))


def problems_of(value: str) -> list[str]:
    """Return what could not be packed, from the value of `END`.

    Raises:
        ValueError: it is no such value.
    """
    said = json.loads(value)
    if not isinstance(said, list):
        raise ValueError(f"cannot read the end of a stream of files: {value[:80]!r}")
    return [str(problem) for problem in said]


def parts_of(name: str) -> tuple[str, ...] | None:
    """Return the parts of a member's name below `NAME`, none for that itself; None for a name that may not be.

    >>> parts_of("./a/b"), parts_of("."), parts_of("./a/../../etc"), parts_of("/etc/passwd")
    (('a', 'b'), (), None, None)
    """
    head, *parts = name.split("/")
    if head != NAME or any(part in ("", ".", "..") or "\0" in part for part in parts):
        return None
    return tuple(parts)
