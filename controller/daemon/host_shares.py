"""Parts of what a host has, as settings say them: an amount, a share such as "50%", or "none". Pure."""

import re
from collections.abc import Callable

NO_LIMIT = "none"
_PERCENT = re.compile(r"(\d{1,3})%", re.ASCII)


def share(text: str, whole: int, read: Callable[[str], int]) -> int | None:
    """Return the part of `whole` that `text` means; None is no limit.

    >>> share("50%", 10, int), share("7", 10, int), share("none", 10, int)
    (5, 7, None)

    Raises:
        ValueError: it is none of the three.
    """
    if text == NO_LIMIT:
        return None
    percent = _PERCENT.fullmatch(text)
    if percent is None:
        return read(text)
    if not 1 <= int(percent[1]) <= 100:
        raise ValueError("a share of the host must be between 1% and 100%")
    return whole * int(percent[1]) // 100
