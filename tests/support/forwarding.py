"""A port of this host behind which a server on a unix socket answers, as a proxy in front of it would have it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def forwarded(path: Path) -> Iterator[str]:
    """Give the URL at which the server at the socket `path` answers for the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as opened:
        threading.Thread(target=_accept, args=(listening, path, opened), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, path: Path, opened: contextlib.ExitStack) -> None:
    with contextlib.suppress(OSError):  # The block is over.
        while True:
            theirs, _ = listening.accept()
            ours = opened.enter_context(socket.socket(socket.AF_UNIX))
            ours.connect(str(path))
            opened.enter_context(theirs)
            for source, target in ((theirs, ours), (ours, theirs)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
