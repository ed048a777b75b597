"""A TCP port that leads to a unix socket, for clients that know no others."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def a_tcp_gate(path: Path) -> Iterator[str]:
    """Give the URL of a port on this host that leads to the unix socket at `path`."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        threads = [threading.Thread(target=_serve, args=(listener, path, stack), daemon=True)]
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join()


def _serve(listener: socket.socket, path: Path, stack: contextlib.ExitStack) -> None:
    threads = []
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(path))
        except OSError:
            client.close()
            continue
        stack.callback(client.close), stack.callback(server.close)
        threads.append(threading.Thread(target=_pump, args=(client, server), daemon=True))
        threads[-1].start()
        stack.callback(threads[-1].join)
        for end in (client, server):
            stack.callback(_shut, end)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until both sides have ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while selector.get_map():
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                try:
                    chunk = source.recv(1 << 16)
                    target.sendall(chunk)
                except OSError:
                    chunk = b""
                if not chunk:
                    selector.unregister(source)
                    _shut(target, socket.SHUT_WR)


def _shut(end: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(how)
