"""Reads ahead in a thread of its own, so that decompressing and writing go on side by side.

Never here: what is read. Invariants: at most `_PIECES` pieces wait to be read; what the source raised is raised to
the reader, in its place; after `close` nobody reads the source any more.
"""

import contextvars
import queue
import threading

from controller.registry.fetch import Readable

_PIECES = 4


class ReadAhead:
    """A source whose next pieces are being read while one is used. Close it before its source is used otherwise."""

    def __init__(self, source: Readable, piece_bytes: int) -> None:
        """Read `source` in pieces of at most `piece_bytes`."""
        self._source = source
        self._piece_bytes = piece_bytes
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(_PIECES)
        self._left = memoryview(b"")
        self._last: bytes | BaseException | None = None
        self._closing = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="read-ahead", daemon=True)
        self._thread.start()

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, nothing at the end. Raises what the source raised."""
        if size < 0:
            raise ValueError("say how much: a stream may be of any length")
        if not self._left:
            if self._last is None:
                piece = self._queue.get()
                if isinstance(piece, BaseException) or not piece:
                    self._last = piece
                else:
                    self._left = memoryview(piece)
            if isinstance(self._last, BaseException):
                raise self._last
        taken, self._left = self._left[:size], self._left[size:]
        return bytes(taken)

    def close(self) -> None:
        """Stop reading ahead; return when the source is free."""
        self._closing = True
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                continue
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing:
                piece = self._source.read(self._piece_bytes)
                self._queue.put(piece)
                if not piece:
                    return
        except BaseException as error:  # noqa: BLE001 -- raised in the thread that reads.
            self._queue.put(error)
