"""What the controller and the launcher say to each other over their socket. Pure: bytes and plain values.

A message is a JSON object on one line after its length in four bytes, big end first. Further lines, if there are any,
are what is attached to it: for somebody further on, and not looked into on the way. A request has `op` and `id`; its
answer has the same `id`, and either what was asked for or `error`. The first request is `hello` with `version`.
Answers may come in another order than their requests.
"""

import json
from collections.abc import Iterator
from struct import Struct
from typing import TypeAlias

PROTOCOL_VERSION = 6
MAX_MESSAGE_BYTES = 8 << 20

ATTACHED = "attached"
"""The field of a message that was read which has what is attached to it, as a tuple of bytes; no sender's own."""

Message: TypeAlias = dict[str, object]

_LENGTH = Struct(">I")


class ProtocolError(ValueError):
    """The other side says what cannot be understood; there is no going on with it."""


def encode(message: Message, *attached: bytes) -> bytes:
    """Return `message` as it goes over the socket; nothing `attached` has a line's end in it.

    Raises:
        ProtocolError: it is longer than a message may be.
    """
    body = b"\n".join((json.dumps(message, separators=(",", ":")).encode(), *attached))
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"cannot send a message of {len(body)} bytes: at most {MAX_MESSAGE_BYTES} are allowed")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Bytes as they arrive, in any pieces, to whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[Message]:
        """Yield the messages that `received` completes.

        Raises:
            ProtocolError: what came is too long or no JSON object.
        """
        self._buffer += received
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"cannot read a message of {length} bytes: at most {MAX_MESSAGE_BYTES} are allowed")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _parse(body)


def _parse(body: bytes) -> Message:
    head, *attached = body.split(b"\n")
    try:
        message = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"cannot read a message: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"cannot read a message: it is a {type(message).__name__}, not an object")
    message.pop(ATTACHED, None)
    if attached:
        message[ATTACHED] = tuple(attached)
    return message
