"""The streams of a process over one WebSocket, as Kubernetes carries them: `v5.channel.k8s.io`. Pure.

A message is one byte, which names its channel, and what goes over it. Server and client both speak this.
Of our own is SIGNAL alone, which no other client sends.
"""

import json
from enum import IntEnum
from typing import Any

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
SUBPROTOCOLS = (V5, V4)
"""What is spoken, the best first. V4 has no way to say that stdin ends."""
OWN_USER_AGENT = "rnx"
"""How our own client begins to call itself."""
MOST_BYTES = 1 << 15
"""Of a stream in one message of ours."""


class Channel(IntEnum):
    """What a message is of."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    STATUS = 3
    RESIZE = 4
    SIGNAL = 5
    CLOSE = 255


def frame(channel: Channel, payload: bytes) -> bytes:
    """Return a message.

    >>> frame(Channel.STDOUT, b"hi")
    b'\\x01hi'
    """
    return bytes((channel,)) + payload


def split(message: bytes) -> tuple[int, bytes]:
    """Return the channel of a message and what goes over it; of an empty one, stdin and nothing.

    >>> split(b"\\xff\\x00")
    (255, b'\\x00')
    """
    return (message[0], message[1:]) if message else (Channel.STDIN, b"")


def choose(offered: list[str]) -> str | None:
    """Return the best of the subprotocols that a client offers; None if there is none that we speak."""
    return next((name for name in SUBPROTOCOLS if name in offered), None)


def size(payload: bytes) -> tuple[int, int] | None:
    """Return the columns and rows that a RESIZE says; None if it is none.

    >>> size(b'{"Width":80,"Height":24}')
    (80, 24)
    """
    try:
        said = json.loads(payload)
        columns, rows = said["Width"], said["Height"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not (type(columns) is int and type(rows) is int and 0 <= columns <= 65535 and 0 <= rows <= 65535):
        return None
    return columns, rows


def resize(columns: int, rows: int) -> bytes:
    """Return the message that says how large the terminal is."""
    return frame(Channel.RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())


def end_of(exit_code: int) -> dict[str, Any]:
    """Return the Status of a process that ended by itself."""
    if exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {exit_code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
    }


def exit_code_of(status: dict[str, Any]) -> int | None:
    """Return the exit code that a Status tells of; None if it is not about one.

    >>> exit_code_of(end_of(3)), exit_code_of({"status": "Failure", "message": "it was lost"})
    (3, None)
    """
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or ()
    codes = [cause.get("message", "") for cause in causes if cause.get("reason") == "ExitCode"]
    return int(codes[0]) if codes and str(codes[0]).isdecimal() else None
