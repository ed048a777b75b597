"""How long a connection may take to say what it wants, and how much it may say: before any request is made of it.

Here: heads of requests, which uvicorn itself waits for without end and keeps whatever their size; and how much of an
answer waits for a client that does not read. Bodies are `protection.py`'s.
"""

import asyncio

from api.http.presence import HttpProtocol

HEAD_SECONDS = 10.0
"""From a connection's beginning, or the first byte of a further request on it, to the end of its head."""

MOST_HEAD_BYTES = 64 << 10
UNREAD_BYTES = 16 << 10
"""So much of an answer is kept in memory for a client that reads slowly; whoever makes more of it waits."""

UNREAD_SECONDS = 30.0
"""A client that reads nothing at all for so long, while something waits for it, is cut off."""

_REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = _REFUSAL % b"408 Request Timeout"
_TOO_LONG = _REFUSAL % b"431 Request Header Fields Too Large"


class PatientProtocol(HttpProtocol):
    """HTTP/1.1 whose heads come in bounded time and size."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a head is complete; the head of a request comes first of all of it."""
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
        if self._length_of_head() > MOST_HEAD_BYTES:
            self._refuse(_TOO_LONG)
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on, unless the request was refused by its head."""
        if self.cycle is not None:
            super().on_body(body)

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
        if self.cycle is not None:
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

    def _refuse(self, answer: bytes) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(answer)
            self.transport.close()
