"""Devices among the limits of a job: `nvidia.com/gpu: 2`, as Kubernetes' extended resources. Pure.

Here: what such a name and its number may look like. Which kinds a host has, only the host knows.
"""

import re
from collections.abc import Mapping

from pydantic_core import PydanticCustomError

MOST_DEVICES = 1024
"""Of one kind for one run; more than any host has."""

_VENDOR = re.compile(r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_CLASS = re.compile(r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_LONGEST = 253


def is_kind(text: str) -> bool:
    """Say whether `text` is the name of a kind of devices, VENDOR/CLASS.

    >>> is_kind("nvidia.com/gpu"), is_kind("gpu"), is_kind("a/b/c")
    (True, False, False)
    """
    vendor, slash, class_ = text.partition("/")
    return bool(slash and len(text) <= _LONGEST and _VENDOR.fullmatch(vendor) and _CLASS.fullmatch(class_))


def counts(given: Mapping[str, object]) -> dict[str, int]:
    """Return how many of each kind of devices are asked for among limits that have no field of their own.

    >>> counts({"nvidia.com/gpu": "2", "unknown": 1})
    {'nvidia.com/gpu': 2}

    Raises:
        PydanticCustomError: a name or a number cannot be; `member` of its context says which.
    """
    return {name: _count(name, value) for name, value in given.items() if "/" in name}


def _count(name: str, value: object) -> int:
    if not is_kind(name):
        raise _refusal(name, "must be named as VENDOR/CLASS, such as nvidia.com/gpu")
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(MOST_DEVICES)):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_DEVICES:
        raise _refusal(name, f"must be a whole number of devices, from 0 to {MOST_DEVICES}")
    return value


def _refusal(name: str, why: str) -> PydanticCustomError:
    return PydanticCustomError("FieldValueInvalid", "{why}", {"why": why, "member": name})
