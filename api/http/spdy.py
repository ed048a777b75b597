"""SPDY/3.1 as Kubernetes' clients speak it inside a WebSocket to forward ports: frames to bytes and back. Pure.

Only what they use: streams that the client opens, data, the end of either side, resets and pings. Their library has no
flow control, so windows are neither kept nor updated. Invariant: what is read is bounded, whatever a header block
would grow to; a frame of data is passed on as it comes, however long it is.

Source: SPDY Protocol, draft 3.1, with its dictionary of headers.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, error
from typing import TypeAlias

MOST_DATA_BYTES = 1 << 15
"""Of one frame of ours."""
MOST_CONTROL_BYTES = 1 << 14
MOST_HEADER_BYTES = 1 << 14

_VERSION = 3
_CONTROL = 1 << 15
_FIN = 1
_STREAM = (1 << 31) - 1
_HEAD = Struct(">II")
_CONTROL_HEAD = Struct(">HHI")
_WORD = Struct(">I")
_TWO_WORDS = Struct(">II")
_SYN_STREAM_HEAD = Struct(">IIH")

_WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges
age allow authorization cache-control connection content-base content-encoding content-language
content-length content-location content-md5 content-range content-type date etag expect expires from
host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location
max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer
transfer-encoding upgrade user-agent vary via warning www-authenticate method get status"""
_MORE_WORDS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritat"
    "ive Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found5"
    "00 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct N"
    "ov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,applic"
    "ation/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf"
    "-8charset=iso-8859-1,utf-,*,enq=0."
)


def _prefixed(text: str) -> bytes:
    return _WORD.pack(len(text)) + text.encode()


DICTIONARY = b"".join(map(_prefixed, (*_WORDS.split(), *_MORE_WORDS))) + _TEXT.encode()
"""What both sides' compressors begin with."""


class Type(IntEnum):
    """What a control frame is."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7
    HEADERS = 8


class Cause(IntEnum):
    """Why a stream is reset."""

    PROTOCOL_ERROR = 1
    REFUSED_STREAM = 3
    CANCEL = 5


class ProtocolError(ValueError):
    """The client says what cannot be understood; there is no going on with it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The client opens a stream, and has nothing to send on it if it is `ended`."""

    stream: int
    headers: dict[str, str]
    ended: bool


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; `ended`: the last that the client sends."""

    stream: int
    content: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The client wants no more of a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back as it is."""

    number: int


Event: TypeAlias = Opened | Data | Reset | Ping


class Reader:
    """Bytes as they arrive, in any pieces, to what they say."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers = zlib.decompressobj(zdict=DICTIONARY)
        self._stream, self._left, self._ends = 0, 0, False  # Of the frame of data that is being read.

    def feed(self, received: bytes) -> Iterator[Event]:
        """Yield what `received` completes, and what there is of a frame of data.

        Raises:
            ProtocolError: it is not understood.
        """
        self._buffer += received
        while True:
            if self._left:
                if not self._buffer:
                    return
                yield self._data()
            elif (frame := self._frame()) is None:
                return
            elif frame:
                yield frame[0]

    def _data(self) -> Data:
        content = bytes(self._buffer[: self._left])
        del self._buffer[: len(content)]
        self._left -= len(content)
        return Data(self._stream, content, self._ends and not self._left)

    def _frame(self) -> tuple[Event, ...] | None:
        """Return what a frame says, if anything; None if there is none that is whole."""
        if len(self._buffer) < _HEAD.size:
            return None
        first, second = _HEAD.unpack_from(self._buffer)
        flags, length = second >> 24, second & 0xFFFFFF
        if not first >> 31:
            del self._buffer[: _HEAD.size]
            self._stream, self._left, self._ends = first, length, bool(flags & _FIN)
            return () if length else (Data(first, b"", self._ends),)
        if length > MOST_CONTROL_BYTES:
            raise ProtocolError(f"a control frame of {length} bytes is too long")
        end = _HEAD.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        try:
            return self._control(first & 0xFFFF, flags, body)
        except (error, zlib.error, UnicodeDecodeError) as bad:
            raise ProtocolError(f"a control frame is not understood: {bad}") from bad

    def _control(self, type_: int, flags: int, body: bytes) -> tuple[Event, ...]:
        match type_:
            case Type.SYN_STREAM:
                stream, _, _ = _SYN_STREAM_HEAD.unpack_from(body)
                headers = self._header_block(body[_SYN_STREAM_HEAD.size :])
                return (Opened(stream & _STREAM, headers, bool(flags & _FIN)),)
            case Type.HEADERS:
                self._header_block(body[_WORD.size :])  # Not used, but the next block is compressed after it.
                return ()
            case Type.RST_STREAM:
                return (Reset(_TWO_WORDS.unpack(body)[0] & _STREAM),)
            case Type.PING:
                return (Ping(_WORD.unpack(body)[0]),)
            case _:
                return ()  # Settings, windows and farewells: nothing here depends on them.

    def _header_block(self, compressed: bytes) -> dict[str, str]:
        block = self._headers.decompress(compressed, MOST_HEADER_BYTES)
        if self._headers.unconsumed_tail or self._headers.eof:
            raise ProtocolError("headers are too long, or end where they must not")
        (count,) = _WORD.unpack_from(block)
        headers: dict[str, str] = {}
        place = _WORD.size
        for _ in range(count):
            name, place = _read_text(block, place)
            value, place = _read_text(block, place)
            headers[name.lower()] = value
        return headers


class Writer:
    """What the server says, as bytes; they are sent in the order in which they were made."""

    def __init__(self) -> None:
        self._headers = zlib.compressobj(zdict=DICTIONARY)

    def reply(self, stream: int) -> bytes:
        """Return what accepts a stream, without headers of its own."""
        block = self._headers.compress(_WORD.pack(0)) + self._headers.flush(zlib.Z_SYNC_FLUSH)
        return _control_frame(Type.SYN_REPLY, _WORD.pack(stream) + block)

    @staticmethod
    def data(stream: int, content: bytes, *, ended: bool = False) -> bytes:
        """Return a frame of data; with `ended`, the last of the stream."""
        return _HEAD.pack(stream, (_FIN << 24 if ended else 0) | len(content)) + content

    @staticmethod
    def reset(stream: int, cause: Cause) -> bytes:
        """Return what ends a stream for both sides."""
        return _control_frame(Type.RST_STREAM, _TWO_WORDS.pack(stream, cause))

    @staticmethod
    def ping(number: int) -> bytes:
        """Return a ping."""
        return _control_frame(Type.PING, _WORD.pack(number))


def _control_frame(type_: Type, body: bytes) -> bytes:
    return _CONTROL_HEAD.pack(_CONTROL | _VERSION, type_, len(body)) + body


def _read_text(block: bytes, place: int) -> tuple[str, int]:
    (length,) = _WORD.unpack_from(block, place)
    begin = place + _WORD.size
    if begin + length > len(block):
        raise ProtocolError("headers are cut short")
    return block[begin : begin + length].decode(), begin + length
