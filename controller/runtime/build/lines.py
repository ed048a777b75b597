"""A build's output as lines: cut, made printable, and rid of secrets, before anybody sees them.

Invariant: no line that leaves here has a secret it was told of, nor the password of a URL.
"""

import re
from collections.abc import Callable, Iterable

LONGEST_LINE_BYTES = 8192
_PASSWORD = re.compile(r"(?<=://)[^/@\s:]*:?[^/@\s]*(?=@)")
_SHORTEST_SECRET = 4


def without_secrets(line: str, secrets: Iterable[str]) -> str:
    """Return `line` with `***` for each of `secrets`, and for users and passwords in URLs.

    >>> without_secrets("get https://me:pass@host/x with token abcd", ["abcd"])
    'get https://***@host/x with token ***'
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            line = line.replace(secret, "***")
    return _PASSWORD.sub("***", line) if "://" in line else line


class Lines:
    """Bytes in, lines out: to a callback, and returned."""

    def __init__(self, callback: Callable[[str], None], secrets: tuple[str, ...] = ()) -> None:
        """Call `callback` with each line."""
        self._callback = callback
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._rest = b""

    def feed(self, piece: bytes) -> list[str]:
        """Take in output; return the lines that it made whole."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        while len(self._rest) > LONGEST_LINE_BYTES:
            whole.append(self._rest[:LONGEST_LINE_BYTES])
            self._rest = self._rest[LONGEST_LINE_BYTES:]
        return [self._tell(line) for line in whole]

    def finish(self) -> list[str]:
        """Take what is left as the last line."""
        rest, self._rest = self._rest, b""
        return [self._tell(rest)] if rest else []

    def _tell(self, raw: bytes) -> str:
        text = raw.decode(errors="replace").rstrip("\r")
        text = text.rpartition("\r")[2]  # Of a progress bar, what would be seen in the end.
        text = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
        line = without_secrets(text, self._secrets)
        self._callback(line)
        return line
