"""Addresses with a name or a password in them, which every message about them would show.

Pure. Invariant: no address is refused here for anything but that.
"""

import re
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

HIDDEN = "(hidden)"
"""Stands in messages for what is not to be shown."""

_WHO = re.compile(r"(?<=://)[^/\s\"?#]*@")


def names_somebody(url: str) -> bool:
    """Whether `url` has a name or a password before its host.

    >>> names_somebody("https://me:secret@example.org/x"), names_somebody("https://example.org/me@1.0.0")
    (True, False)
    """
    try:
        return "@" in urlsplit(url.strip()).netloc
    except ValueError:
        return bool(_WHO.search(url))


def redacted(text: str) -> str:
    """Return `text` without the names and passwords of the addresses in it.

    >>> redacted("cannot read https://me:secret@example.org/x")
    'cannot read https://(hidden)@example.org/x'
    """
    return _WHO.sub(f"{HIDDEN}@", text)


def refuse_password(url: str, instead: str) -> str:
    """Return `url`; for a validator of a field, `instead` says what to do otherwise.

    Raises:
        PydanticCustomError: it names somebody.
    """
    if names_somebody(url):
        why = "must be without a name and a password before its host: what is told of it would show them: {instead}"
        raise PydanticCustomError("FieldValueInvalid", why, {"instead": instead})
    return url
