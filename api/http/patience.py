"""How long a connection may take to say what it wants, and how much it may say: before any request is made of it.

Here: heads of requests, which uvicorn itself waits for without end and keeps whatever their size and number; how much
of an answer waits for a client that does not read; and bodies that nobody wants, since they are answered already. Other
bodies are `protection.py`'s.
"""

import asyncio
from itertools import chain

from api.http.presence import HttpProtocol

HEAD_SECONDS = 10.0
"""From a connection's beginning, or the first byte of a further request on it, to the end of its head."""

MOST_HEAD_BYTES = 64 << 10
MOST_PIPELINED = 32
"""So many requests may wait on a connection for the one before them: uvicorn would take them without end."""

UNWANTED_SECONDS = 5.0
"""How long the body of a request that is answered may still come, for its client to read why it need not."""

UNREAD_BYTES = 16 << 10
"""So much of an answer is kept in memory for a client that reads slowly; whoever makes more of it waits."""

UNREAD_SECONDS = 30.0
"""A client that reads nothing at all for so long, while something waits for it, is cut off."""

_REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = _REFUSAL % b"408 Request Timeout"
_TOO_LONG = _REFUSAL % b"431 Request Header Fields Too Large"
_TOO_MANY = _REFUSAL % b"429 Too Many Requests"
_BAD = _REFUSAL % b"400 Bad Request"


class PatientProtocol(HttpProtocol):
    """HTTP/1.1 whose heads come in bounded time and size."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _unwanted_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_in_head = True
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_waiting_for_reader()
        self._stop_bearing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a head is complete; the head of a request comes first of all of it."""
        if self._is_refused:
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._wait_for_head()
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(_TOO_LONG)

    def on_headers_complete(self) -> None:
        """The head is complete; the next one may begin when this request is."""
        self._is_in_head = False
        self._stop_waiting()
        if self._is_refused:
            return
        if self._length_of_head() > MOST_HEAD_BYTES:
            self._refuse(_TOO_LONG)
        elif len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(_TOO_MANY)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on, unless the request was refused by its head."""
        if not self._is_refused:
            super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket, unless it was refused, is early, or holds what is no text: uvicorn fails at that."""
        if self._is_refused:
            return
        is_early = self.cycle is not None and not self.cycle.response_complete
        if is_early or not all(map(bytes.isascii, (self.url, *chain.from_iterable(self.headers)))):
            self._refuse(_BAD)
            return
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """Go on to the next request; if the body of this one still comes, bear that for a moment only."""
        super().on_response_complete()
        if not self._is_in_head and self.cycle.response_complete and self._unwanted_timer is None:
            self._unwanted_timer = self.loop.call_later(UNWANTED_SECONDS, self.transport.close)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._wait_for_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has read."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def on_message_complete(self) -> None:
        """The request is complete: what comes next is another head."""
        self._is_in_head, self._head_bytes = True, 0
        self._stop_bearing()
        if not self._is_refused:
            super().on_message_complete()

    def _length_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _wait_for_reader(self, unread: int) -> None:
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self._cut_off_unless_it_reads, unread)

    def _stop_waiting_for_reader(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _cut_off_unless_it_reads(self, unread: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now >= unread:
            self.transport.abort()
        else:
            self._wait_for_reader(now)

    def _stop_bearing(self) -> None:
        if self._unwanted_timer is not None:
            self._unwanted_timer.cancel()
            self._unwanted_timer = None

    def _refuse(self, answer: bytes) -> None:
        self._stop_waiting()
        self._is_refused = True
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(answer)
            self.transport.close()
