"""A way to a server on a unix socket that counts what is sent on it, and can be cut."""

import contextlib
import socket
import threading
from pathlib import Path


class Counting:
    """A way to the server that counts what is sent on it, and cuts connections off after so many bytes."""

    def __init__(self, server: Path, path: Path) -> None:
        self._server, self._listener = str(server), socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.path = path
        self.cuts: list[int] = []
        self.sent = 0
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except OSError:
            return  # It was closed.

    def _serve(self, client: socket.socket) -> None:
        left = self.cuts.pop(0) if self.cuts else None
        with client, socket.socket(socket.AF_UNIX) as server:
            if server.connect_ex(self._server):
                return  # The server is down: so is this.
            back = threading.Thread(target=self._give_back, args=(server, client), daemon=True)
            back.start()
            with contextlib.suppress(OSError):  # One of them is gone.
                self._pass_on(client, server, left)
            for each in (server, client):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            back.join()

    def _pass_on(self, client: socket.socket, server: socket.socket, left: int | None) -> None:
        while left is None or left > 0:
            piece = client.recv(65536 if left is None else min(left, 65536))
            if not piece:
                return
            server.sendall(piece)
            self.sent += len(piece)
            left = None if left is None else left - len(piece)

    @staticmethod
    def _give_back(server: socket.socket, client: socket.socket) -> None:
        try:
            while piece := server.recv(65536):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return
