"""A client of `pods/NAME/portforward`, as kubectl speaks (SPDY in a WebSocket) and as libraries do (channels)."""

import socket
import zlib
from struct import Struct

import websocket

from api.http.port_forward import OVER_SPDY
from api.http.spdy import DICTIONARY, Type

WAIT_SECONDS = 20
_WORD = Struct(">I")
_HEAD = Struct(">II")
_CONTROL = Struct(">HHI")


def a_websocket(path, target, *subprotocols):
    """A WebSocket over the server's unix socket; the caller closes it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(WAIT_SECONDS)
    connection.connect(str(path))
    try:
        return websocket.create_connection(
            f"ws://runwright{target}", socket=connection, subprotocols=list(subprotocols), timeout=WAIT_SECONDS
        )
    except BaseException:
        connection.close()
        raise


class Compressor:
    """Headers as a client of SPDY sends them."""

    def __init__(self):
        self._compressor = zlib.compressobj(zdict=DICTIONARY)

    def block(self, headers):
        """The compressed block of these headers."""
        words = [text.encode() for pair in headers.items() for text in pair]
        plain = _WORD.pack(len(headers)) + b"".join(_WORD.pack(len(word)) + word for word in words)
        return self._compressor.compress(plain) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


def control(type_, body, flags=0):
    """A control frame."""
    return _CONTROL.pack(0x8003, type_, flags << 24 | len(body)) + body


def data(stream, content=b"", *, ended=False):
    """A frame of data."""
    return _HEAD.pack(stream, (1 << 24 if ended else 0) | len(content)) + content


class Tunnel:
    """kubectl's side. What comes is gathered: `received` by stream, `ended` and `resets`, `replied` and `pings`."""

    def __init__(self, path, target):
        self.websocket = a_websocket(path, target, OVER_SPDY)
        self._compressor = Compressor()
        self._buffer = bytearray()
        self._next = 1
        self.received, self.ended, self.resets, self.replied, self.pings = {}, set(), {}, set(), []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.websocket.shutdown()

    def send(self, frames):
        """Send bytes of frames as one message."""
        self.websocket.send_binary(frames)

    def open(self, **headers):
        """Open a stream with these headers; return its number."""
        stream, self._next = self._next, self._next + 2
        self.send(control(Type.SYN_STREAM, Struct(">IIH").pack(stream, 0, 0) + self._compressor.block(headers)))
        return stream

    def connect(self, port, request="0"):
        """Open both streams of a connection; return their numbers, that of errors first."""
        fields = {"port": str(port), "requestid": request}
        errors = self.open(streamtype="error", **fields)
        self.send(data(errors, ended=True))
        return errors, self.open(streamtype="data", **fields)

    def until(self, holds):
        """Read until `holds()`."""
        while not holds():
            self._buffer += self.websocket.recv()
            while self._take_frame():
                pass

    def _take_frame(self):
        if len(self._buffer) < _HEAD.size:
            return False
        first, second = _HEAD.unpack_from(self._buffer)
        end = _HEAD.size + (second & 0xFFFFFF)
        if len(self._buffer) < end:
            return False
        body = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        if first >> 31:
            self._control(first & 0xFFFF, body)
        else:
            self.received[first] = self.received.get(first, b"") + body
            self.ended |= {first} if second >> 24 & 1 else set()
        return True

    def _control(self, type_, body):
        first = _WORD.unpack_from(body)[0]
        match type_:
            case Type.SYN_REPLY:
                self.replied.add(first)
            case Type.RST_STREAM:
                self.resets[first] = _WORD.unpack_from(body, 4)[0]
            case Type.PING:
                self.pings.append(first)
