"""What a list tells its client to go on with: opaque to the client, a few facts to whoever wrote it. Pure.

Nothing in a token is secret, and it may have been written by anybody: who reads one checks each fact.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from api.errors import BadRequest


def write(facts: Mapping[str, object]) -> str:
    """Return the token that holds these facts.

    >>> read(write({"rv": 7}))
    {'rv': 7}
    """
    text = json.dumps(facts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(token: str) -> dict[str, Any]:
    """Return the facts that a token holds, of any type.

    Raises:
        BadRequest: it holds none.
    """
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        facts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise unreadable() from None
    if not isinstance(facts, dict):
        raise unreadable()
    return facts


def unreadable() -> BadRequest:
    """Return the refusal of a token that nobody can read."""
    return BadRequest("continue key is not valid: list again without it")
